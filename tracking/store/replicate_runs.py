"""The runs of replicates: made or found again, filled epoch by epoch, and ended with their files and a marker."""

import importlib.metadata
import json
import platform
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from safetensors.numpy import save_file

from dn_distributed import sparsity
from dn_distributed.config import Cell
from dn_distributed.text import one_line
from tracking import schema
from tracking.store import artifacts, checksums, commit
from tracking.store.cell_params import check_length, describe_cell
from tracking.store.masks import save_masks, save_pattern
from tracking.store.record import Record
from tracking.store.runs import State, one_per_replicate, state_of
from tracking.store.sweep_store import SweepStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from dn_distributed.training import EpochReport, Outcome

FLUSH_SECONDS = 20.0
"""Per-epoch figures reach the store at most this late; short packs write them once."""
_WITH_THE_MARKER = 500
"""Figures that are written in one request with what says that a replicate is whole; MLflow takes 1000 entities."""


class ReplicateRun:
    """The run of one replicate. ``start_replicates`` makes them."""

    def __init__(
        self, store: "MlflowClient", cell: Cell, seed: int, run_id: str, began: int, logged_epoch: int, finished: bool
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
        if self._buffer:
            self._store.log_batch(self.run_id, metrics=self._buffer)
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
        self._store.log_batch(self.run_id, metrics=self._buffer[:-_WITH_THE_MARKER])
        params = {**describe_cell(self._cell), schema.SEED: str(self._seed), schema.LAYERS: layers}
        tags = {"device": device, schema.SHA256: sums, schema.COMPLETE: "true"}
        self._store.log_batch(
            self.run_id,
            metrics=self._buffer[-_WITH_THE_MARKER:],
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
    sweep: SweepStore, cell_run_id: str, cell: Cell, label: str, seeds: Sequence[int]
) -> list[ReplicateRun]:
    """Return a run per seed, marked RUNNING: found by its key before it is made, so a retry continues it."""
    where, shown = {schema.CELL_KEY: cell.key}, (schema.REPLICATE_KEY, schema.PARENT, *schema.MARKS)
    known = sweep.records("replicate", where, tags=shown, metrics=True)
    found = one_per_replicate(known)
    runs = []
    for seed in seeds:
        existing = found.get(cell.replicate_key(seed))
        if existing is None:
            run_id, began = _create_replicate(sweep, cell_run_id, cell, label, seed)
            runs.append(ReplicateRun(sweep.client, cell, seed, run_id, began, logged_epoch=0, finished=False))
            continue
        logged_epoch = int(existing.metrics.get(schema.EPOCH, 0))
        finished = state_of(existing) == "finished"
        if not finished:
            _reopen(sweep.client, existing.run_id, existing.tags, cell_run_id)
        runs.append(
            ReplicateRun(sweep.client, cell, seed, existing.run_id, existing.start_time, logged_epoch, finished)
        )
    return runs


def _create_replicate(sweep: SweepStore, cell_run_id: str, cell: Cell, label: str, seed: int) -> tuple[str, int]:
    """The run's id, and when it was made."""
    tags = {**_replicate_tags(cell_run_id, cell, label, seed), **_versions()}
    run = sweep.client.create_run(sweep.experiment_id, tags=tags, run_name=_replicate_name(label, seed))
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


def _reopen(store: "MlflowClient", run_id: str, tags: Mapping[str, str], cell_run_id: str) -> None:
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
    sweep: SweepStore,
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
    store = sweep.client
    made = store.create_run(sweep.experiment_id, start_time=record.start, tags=tags, run_name=name)
    run_id = made.info.run_id
    if record.finished:
        artifacts.add_folder(store, run_id, folder)
        store.set_tag(run_id, schema.SHA256, checksums.describe(folder))
        store.log_inputs(run_id, datasets=[_dataset_input(cell)])
    metrics = _metrics_of(record)
    store.log_batch(run_id, metrics=metrics[:-_WITH_THE_MARKER])
    tag, status = _ENDS[record.state]
    params = [Param(key, value) for key, value in record.params.items()]
    ended = [RunTag(tag, record.reason or "true")]
    store.log_batch(run_id, metrics=metrics[-_WITH_THE_MARKER:], params=params, tags=ended)
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


@cache
def _versions() -> dict[str, str]:
    packages = ("torch", "torchvision", "ray", "mlflow", "numpy", "dropneuron-distributed")
    found = {f"version.{name}": importlib.metadata.version(name) for name in packages}
    found |= {"version.python": platform.python_version(), "host": socket.gethostname()}
    at_work = commit.of(Path(__file__).parents[2])
    return found | ({"version.commit": at_work} if at_work else {})


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
