"""What a sweep writes to MLflow: experiment, cells, replicates, report. Explicit run ids, no global state.

A driver's lease, the preflight's proof and the addresses of files have modules of their own.
"""

import contextlib
import importlib.metadata
import json
import platform
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from safetensors.numpy import save_file

from dn_distributed import sparsity
from dn_distributed.config import Cell
from dn_distributed.text import one_line
from tracking import schema
from tracking.manifest import Manifest
from tracking.results.cells import deviation
from tracking.results.rows import Row, read, read_histories
from tracking.store import artifacts, checksums, commit, ui_view
from tracking.store.cell_params import check_length, describe_cell
from tracking.store.location import StoreLocation, location_of
from tracking.store.masks import save_masks, save_pattern
from tracking.store.record import Record
from tracking.store.runs import State, find_runs, one_per_cell, one_per_replicate, records, refuse_deleted, state_of
from tracking.store.sqlite import StoredRun

if TYPE_CHECKING:  # a report is attached without torch
    from dn_distributed.training.trainer import EpochReport, Outcome

_BATCH_LIMIT = 1000  # of MLflow: metrics in one log_batch
FLUSH_SECONDS = 20.0
"""Per-epoch figures reach the store at most this late; short packs write them once."""


def ensure_experiment(store: MlflowClient, location: StoreLocation, name: str) -> str:
    """Return the id of the experiment of the sweep ``name``, made if absent. Only the driver calls this.

    StoreError where it has been deleted: restored, it would have the runs too that were deleted one by one.
    """
    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(store.create_experiment(name, artifact_location=_artifact_location(location, name)))
        except MlflowException:
            found = store.get_experiment_by_name(name)
            if found is None:  # else another driver was quicker
                raise
    refuse_deleted(name, found.experiment_id, found.lifecycle_stage)
    return str(found.experiment_id)


def _artifact_location(location: StoreLocation, name: str) -> str | None:
    return (location.artifacts / name).as_uri() if location.artifacts else None


@cache
def _versions() -> dict[str, str]:
    packages = ("torch", "torchvision", "ray", "mlflow", "numpy", "dropneuron-distributed")
    found = {f"version.{name}": importlib.metadata.version(name) for name in packages}
    found |= {"version.python": platform.python_version(), "host": socket.gethostname()}
    at_work = commit.of(Path(__file__).parents[2])
    return found | ({"version.commit": at_work} if at_work else {})


_OF_A_CELL = (schema.CELL_KEY, schema.LABEL, schema.SUMMARIZED)


def ensure_cell(store: MlflowClient, experiment_id: str, cell: Cell, label: str) -> str:
    """Return the run id of a cell, made if absent and renamed if its label has changed."""
    found = records(location_of(store), experiment_id, "cell", {schema.CELL_KEY: cell.key}, tags=_OF_A_CELL)
    return _ensure_cell(store, experiment_id, cell, label, one_per_cell(found).get(cell.key))


def ensure_cells(store: MlflowClient, experiment_id: str, labels: Iterable[tuple[Cell, str]]) -> dict[str, str]:
    """Return the run ids of cells by cell key, as ``ensure_cell`` does: one look at the store for all of them.

    Replicates whose cell run was deleted are put under the one that there is now.
    """
    by_key = one_per_cell(records(location_of(store), experiment_id, "cell", {}, tags=_OF_A_CELL))
    found = {cell.key: _ensure_cell(store, experiment_id, cell, label, by_key.get(cell.key)) for cell, label in labels}
    _adopt(store, experiment_id, found, {})
    return found


def _adopt(store: MlflowClient, experiment_id: str, cell_runs: Mapping[str, str], where: Mapping[str, str]) -> None:
    """Put the replicates with the tags ``where`` under the runs of their cells, by cell key."""
    shown = (schema.CELL_KEY, schema.PARENT)
    for record in records(location_of(store), experiment_id, "replicate", where, tags=shown):
        parent = cell_runs.get(record.tags[schema.CELL_KEY])
        if parent is not None and record.tags.get(schema.PARENT) != parent:
            store.set_tag(record.run_id, schema.PARENT, parent)


def _ensure_cell(store: MlflowClient, experiment_id: str, cell: Cell, label: str, found: StoredRun | None) -> str:
    if found is None:
        return _create_cell(store, experiment_id, cell, label)
    if found.tags.get(schema.LABEL) != label:
        store.set_tag(found.run_id, schema.LABEL, label)
        store.update_run(found.run_id, name=label)
    return found.run_id


def _create_cell(store: MlflowClient, experiment_id: str, cell: Cell, label: str) -> str:
    tags = {
        schema.KIND: "cell",
        schema.CELL_KEY: cell.key,
        schema.LABEL: label,
        schema.CELL: cell.model_dump_json(),
    }
    run = store.create_run(experiment_id, tags=tags, run_name=label)
    store.log_batch(run.info.run_id, params=[Param(k, v) for k, v in describe_cell(cell).items()])
    return str(run.info.run_id)


class ReplicateRun:
    """The run of one replicate. ``start_replicates`` makes them."""

    def __init__(
        self, store: MlflowClient, cell: Cell, seed: int, run_id: str, began: int, logged_epoch: int, finished: bool
    ) -> None:
        """``logged_epoch``: the last epoch whose figures the store has. A finished run is not written again.

        ``began``: when the run was made, in milliseconds. Figures are dated by it and their epoch: two workers that
        train the same, because a driver was taken for gone, write the same points, which MLflow keeps once.
        """
        self.run_id, self.finished = run_id, finished
        self._store, self._cell, self._seed, self._began = store, cell, seed, began
        self._logged_epoch = logged_epoch
        self._buffer: list[Metric] = []
        self._last_flush = time.monotonic()

    def log_epoch(self, report: "EpochReport", row: int) -> None:
        """Log the figures of an epoch, unless an earlier try of the same pack has done so."""
        if report.epoch <= self._logged_epoch:
            return
        self._logged_epoch = report.epoch
        self._add({schema.EPOCH: report.epoch, **{name: values[row] for name, values in report.metrics.items()}})
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def _add(self, figures: Mapping[str, float]) -> None:
        epoch = self._logged_epoch
        self._buffer += [Metric(name, value, self._began + epoch, epoch) for name, value in figures.items()]

    def flush(self) -> None:
        """Write what is buffered."""
        _log_in_batches(self._store, self.run_id, self._buffer)
        self._buffer = []
        self._last_flush = time.monotonic()

    def finish(self, outcome: "Outcome", device: str) -> None:
        """Write the result, its files, and last the marker that it is whole."""
        if self.finished:
            return
        layers = sparsity.layers_as_json(outcome.counts)
        check_length("the list of the regularised layers", layers, schema.LONGEST_PARAM)
        with tempfile.TemporaryDirectory() as folder:
            write_outcome_files(outcome, Path(folder))
            sums = checksums.describe(Path(folder))
            artifacts.add_folder(self._store, self.run_id, Path(folder))
        self._store.log_inputs(self.run_id, datasets=[_dataset_input(self._cell)])
        self._add(final_metrics(outcome))
        *early, last = _batches(self._buffer)
        for batch in early:
            self._store.log_batch(self.run_id, metrics=batch)
        params = {**describe_cell(self._cell), schema.SEED: str(self._seed), schema.LAYERS: layers}
        tags = {"device": device, schema.SHA256: sums, schema.COMPLETE: "true"}
        self._store.log_batch(
            self.run_id,
            metrics=last,
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        self._store.set_terminated(self.run_id, "FINISHED")
        self._buffer = []  # all of it is written: the flush at a trial's end must not do it again
        self.finished = True

    def fail(self, reason: str) -> None:
        """Record that this replicate ended without a usable result."""
        self._end(schema.FAILURE, reason, "FAILED")

    def stop(self, where: str) -> None:
        """Record that a search ended this replicate early."""
        self._end(schema.STOPPED, where, "KILLED")

    def _end(self, tag: str, text: str, status: str) -> None:
        if self.finished:
            return
        self.flush()
        params = {**describe_cell(self._cell), schema.SEED: str(self._seed)}
        self._store.log_batch(
            self.run_id,
            params=[Param(k, v) for k, v in params.items()],
            tags=[RunTag(tag, one_line(text, schema.LONGEST_TEXT) or "no reason was given")],
        )
        self._store.set_terminated(self.run_id, status)


def start_replicates(
    store: MlflowClient, experiment_id: str, cell_run_id: str, cell: Cell, label: str, seeds: Sequence[int]
) -> list[ReplicateRun]:
    """Return a run per seed, marked RUNNING: found by its key before it is made, so a retry continues it."""
    where, shown = {schema.CELL_KEY: cell.key}, (schema.REPLICATE_KEY, schema.PARENT, *schema.MARKS)
    known = records(location_of(store), experiment_id, "replicate", where, tags=shown, metrics=True)
    found = one_per_replicate(known)
    runs = []
    for seed in seeds:
        existing = found.get(cell.replicate_key(seed))
        if existing is None:
            run_id, began = _create_replicate(store, experiment_id, cell_run_id, cell, label, seed)
            runs.append(ReplicateRun(store, cell, seed, run_id, began, logged_epoch=0, finished=False))
            continue
        logged_epoch = int(existing.metrics.get(schema.EPOCH, 0))
        finished = state_of(existing) == "finished"
        if not finished:
            _reopen(store, existing.run_id, existing.tags, cell_run_id)
        runs.append(ReplicateRun(store, cell, seed, existing.run_id, existing.start_time, logged_epoch, finished))
    return runs


def _create_replicate(
    store: MlflowClient, experiment_id: str, cell_run_id: str, cell: Cell, label: str, seed: int
) -> tuple[str, int]:
    """The run's id, and when it was made."""
    tags = {**_replicate_tags(cell_run_id, cell, label, seed), **_versions()}
    run = store.create_run(experiment_id, tags=tags, run_name=_replicate_name(label, seed))
    return str(run.info.run_id), int(run.info.start_time)


def _replicate_tags(cell_run_id: str, cell: Cell, label: str, seed: int) -> dict[str, str]:
    return {
        schema.PARENT: cell_run_id,
        schema.KIND: "replicate",
        schema.LABEL: label,
        schema.CELL_KEY: cell.key,
        schema.REPLICATE_KEY: cell.replicate_key(seed),
        schema.SEED_TAG: str(seed),
    }


def _replicate_name(label: str, seed: int) -> str:
    return f"{label} seed {seed}"


def _reopen(store: MlflowClient, run_id: str, tags: Mapping[str, str], cell_run_id: str) -> None:
    store.update_run(run_id, status="RUNNING")
    if tags.get(schema.PARENT) != cell_run_id:
        store.set_tag(run_id, schema.PARENT, cell_run_id)
    for name in (schema.FAILURE, schema.STOPPED):
        if name in tags:
            store.delete_tag(run_id, name)


_ENDS: Mapping[State, tuple[str, str]] = {
    "finished": (schema.COMPLETE, "FINISHED"),
    "failed": (schema.FAILURE, "FAILED"),
    "stopped": (schema.STOPPED, "KILLED"),
}
"""Per state of a replicate that is decided, the tag that says so and MLflow's status."""


def restore_replicate(
    store: MlflowClient,
    experiment_id: str,
    cell_run_id: str,
    cell: Cell,
    record: Record,
    folder: Path,
    replaced: Iterable[str] = (),
) -> None:
    """Write a replicate that another store held, with its files in ``folder``, and last what says that it is whole.

    It keeps its times: when it was trained stays true. Then the runs ``replaced``, which had less of it, are deleted.
    """
    tags = {**_replicate_tags(cell_run_id, cell, record.label, record.seed), **record.tags}
    name = _replicate_name(record.label, record.seed)
    run_id = store.create_run(experiment_id, start_time=record.start, tags=tags, run_name=name).info.run_id
    if record.finished:
        artifacts.add_folder(store, run_id, folder)
        store.set_tag(run_id, schema.SHA256, checksums.describe(folder))
        store.log_inputs(run_id, datasets=[_dataset_input(cell)])
    *early, last = _batches(_metrics_of(record))
    for batch in early:
        store.log_batch(run_id, metrics=batch)
    tag, status = _ENDS[record.state]
    params = [Param(key, value) for key, value in record.params.items()]
    store.log_batch(run_id, metrics=last, params=params, tags=[RunTag(tag, record.reason or "true")])
    store.set_terminated(run_id, status, record.end)
    for other in replaced:
        store.delete_run(other)


def _metrics_of(record: Record) -> list[Metric]:
    by_epoch = [(name, value, epoch) for name, points in record.curves.items() for epoch, value in points]
    final = [(name, value, record.last_epoch) for name, value in record.metrics.items()]
    return [Metric(name, value, record.end, step) for name, value, step in (*by_epoch, *final)]


def write_outcome_files(outcome: "Outcome", folder: Path) -> None:
    """Write a replicate's weights (before pruning), masks and pictures of its sparsity patterns."""
    # safetensors takes the memory of an array as it lies.
    weights = {name: np.ascontiguousarray(value) for name, value in outcome.parameters.items()}
    save_file(weights, folder / schema.WEIGHTS_FILE)
    save_masks(outcome.masks, folder / schema.MASKS_FILE)
    if outcome.curve:
        (folder / schema.CURVE_FILE).write_text(json.dumps(outcome.curve), encoding="utf-8")
    pictures = folder / schema.PATTERN_FOLDER
    pictures.mkdir()
    for name, mask in outcome.masks.items():
        save_pattern(mask, pictures / f"{name}.png")


def final_metrics(outcome: "Outcome") -> dict[str, float]:
    """Return the final figures of a replicate by metric name: scores, counts, and two ratios for the eye."""
    counts = outcome.counts
    metrics = dict(outcome.scores)
    metrics |= {schema.layer_nonzero(layer.name): layer.num_nonzero for layer in counts.layers}
    for unit in counts.units:
        metrics[schema.units(unit.name, "published")] = unit.published
        metrics[schema.units(unit.name, "alive")] = unit.alive
    metrics[schema.NEURONS_PUBLISHED] = counts.neurons_published
    metrics[schema.DENSITY] = counts.density
    if counts.compression_rate is not None:
        metrics[schema.COMPRESSION_RATE] = counts.compression_rate
    return {name: float(value) for name, value in metrics.items()}


def summarize_cell(store: MlflowClient, experiment_id: str, cell: Cell, label: str, rows: Sequence[Row]) -> None:
    """Write mean, standard deviation and n of a cell's finished replicates to its run, per epoch too.

    A cell run that already carries the means of fewer seeds, or some of the means because the writing of them was
    cut short, is replaced, so that no curve is drawn twice. In the end there is one run of the cell, with its
    replicates under it, wherever an earlier command was killed on the way there.
    """
    where, seeds = {schema.CELL_KEY: cell.key}, schema.seed_list(row.seed for row in rows)
    ensure_cell(store, experiment_id, cell, label)
    found = records(location_of(store), experiment_id, "cell", where, tags=_OF_A_CELL, metrics=True)
    counted = one_per_cell(found)[cell.key]
    run_id = counted.run_id
    if rows and counted.tags.get(schema.SUMMARIZED) != seeds:
        if counted.metrics:
            run_id = _create_cell(store, experiment_id, cell, label)
        metrics = list(_mean_curves(store, rows)) + _final_summary(rows)
        _log_in_batches(store, run_id, metrics)
        store.set_tag(run_id, schema.SUMMARIZED, seeds)
        store.set_terminated(run_id, "FINISHED")
    _adopt(store, experiment_id, {cell.key: run_id}, where)
    for record in found:
        if record.run_id != run_id:
            store.delete_run(record.run_id)


def summarize_rest(
    store: MlflowClient, experiment_id: str, cells: Iterable[tuple[Cell, str]], seeds: Iterable[int]
) -> None:
    """Summarize those of ``cells`` (each with its label) that have not one run with the means of all that is stored."""
    rows: dict[str, list[Row]] = {}
    wanted = set(seeds)
    for row in read(location_of(store), experiment_id).rows:
        if row.seed in wanted:
            rows.setdefault(row.cell_key, []).append(row)
    cell_runs = records(location_of(store), experiment_id, "cell", {}, tags=_OF_A_CELL)
    done = {key: record.tags.get(schema.SUMMARIZED, "") for key, record in one_per_cell(cell_runs).items()}
    num_runs = Counter(record.tags[schema.CELL_KEY] for record in cell_runs)
    for cell, label in cells:
        found = rows.get(cell.key, [])
        if num_runs[cell.key] > 1 or done.get(cell.key, "") != schema.seed_list(row.seed for row in found):
            summarize_cell(store, experiment_id, cell, label, found)


def _final_summary(rows: Sequence[Row]) -> list[Metric]:
    """Means and deviations of the final figures that every row has; a curve's last mean is with its curve."""
    now = _now()
    step = int(max(row.metrics.get(schema.EPOCH, 0) for row in rows))
    summary = [Metric("n", float(len(rows)), now, step)]
    for name in sorted(set.intersection(*(set(row.metrics) for row in rows)) - {schema.EPOCH}):
        values = [row.metrics[name] for row in rows]
        if not schema.is_curve(name):
            summary.append(Metric(name, statistics.fmean(values), now, step))
        if (std := deviation(values)) is not None:
            summary.append(Metric(schema.deviation(name), std, now, step))
    return summary


def _mean_curves(store: MlflowClient, rows: Sequence[Row]) -> Iterable[Metric]:
    """Means per epoch over the replicates that reached it."""
    histories = read_histories(location_of(store), [row.run_id for row in rows])
    for name in sorted({name for history in histories for name in history}):
        points: dict[int, list[float]] = {}
        for history in histories:
            for epoch, value in history.get(name, {}).items():
                points.setdefault(epoch, []).append(value)
        now = _now()
        for epoch, values in sorted(points.items()):
            yield Metric(name, statistics.fmean(values), now, epoch)


def ensure_report_run(store: MlflowClient, experiment_id: str) -> str:
    """Return the id of the experiment's report run, made if absent."""
    found = find_runs(store, experiment_id, "report", {})
    if found:
        return str(found[0].info.run_id)
    made = store.create_run(experiment_id, tags={schema.KIND: "report"}, run_name=schema.REPORT_NAME).info.run_id
    first = str(find_runs(store, experiment_id, "report", {})[0].info.run_id)
    if first != made:  # another driver was quicker
        store.delete_run(made)
    return first


def write_manifest(store: MlflowClient, report_run_id: str, manifest: Manifest) -> None:
    """Write what the sweep compares to its report run, and how the UI shows it to the experiment."""
    artifacts.add_text(store, report_run_id, manifest.model_dump_json(indent=1), schema.MANIFEST_FILE)
    if manifest.source:
        artifacts.add_text(store, report_run_id, manifest.source, schema.SWEEP_FILE)
    experiment_id = store.get_run(report_run_id).info.experiment_id
    store.set_experiment_tag(experiment_id, ui_view.TAG, ui_view.tag(manifest, _now()))


def attach_report(store: MlflowClient, run_id: str, folder: Path) -> None:
    """Attach the files of a finished report to its run."""
    artifacts.add_folder(store, run_id, folder, "report")
    store.set_terminated(run_id, "FINISHED")


def begin_report(store: MlflowClient, run_id: str) -> None:
    """Show the report run as running: a driver is at work."""
    store.update_run(run_id, status="RUNNING")


def end_report(store: MlflowClient, run_id: str) -> None:
    """Show the report run as ended: no driver is at work any more. A store that is away is let be."""
    with contextlib.suppress(MlflowException):
        store.set_terminated(run_id, "FINISHED")


def _dataset_input(cell: Cell) -> DatasetInput:
    name = str(cell.dataset["name"])
    return DatasetInput(
        Dataset(
            name=name,
            digest=cell.dataset_digest[:32],
            source_type="dropneuron",
            source=json.dumps(cell.dataset, sort_keys=True),
        )
    )


def _log_in_batches(store: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    if metrics:
        for batch in _batches(metrics):
            store.log_batch(run_id, metrics=batch)


def _batches(metrics: Sequence[Metric]) -> list[list[Metric]]:
    return [list(metrics[i : i + _BATCH_LIMIT]) for i in range(0, max(1, len(metrics)), _BATCH_LIMIT)]


def _now() -> int:
    return int(time.time() * 1000)
