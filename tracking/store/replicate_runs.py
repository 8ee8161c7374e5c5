"""The runs of replicates: made or found again, filled epoch by epoch, and ended with their files and a marker."""

import importlib.metadata
import platform
import socket
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Metric

from dn_distributed import sparsity
from dn_distributed.config import Cell
from dn_distributed.text import one_line
from tracking import schema
from tracking.store import artifacts, checksums, commit, notes
from tracking.store.cell_params import check_length, describe_cell
from tracking.store.outcomes import dataset_input, final_metrics, write_outcome_files
from tracking.store.queries import StoredRun
from tracking.store.run_writer import Ending, NewRun
from tracking.store.runs import one_per_replicate, state_of
from tracking.store.sweep_store import SweepStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from dn_distributed.training import EpochReport, Outcome

FLUSH_SECONDS = 20.0
"""Per-epoch figures reach the store at most this late; short packs write them once."""


class ReplicateRun:
    """The run of one replicate. ``start_replicates`` makes them."""

    def __init__(
        self,
        sweep: SweepStore,
        cell: Cell,
        seed: int,
        run_id: str,
        began: int,
        logged_epoch: int,
        finished: bool,
        label: str,
        note: str = "",
    ) -> None:
        """``logged_epoch``: the last epoch whose figures the store has. A finished run is not written again.

        ``began``: when the run was made, in milliseconds. Figures are dated by it and their epoch: two workers that
        train the same, because a driver was taken for gone, write the same points, which MLflow keeps once.

        ``note``: what is there of its description.
        """
        self.run_id, self.finished = run_id, finished
        self._sweep, self._cell, self._seed, self._began = sweep, cell, seed, began
        self._logged_epoch = logged_epoch
        self._label, self._note = label, note
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
            self._sweep.client.log_batch(self.run_id, metrics=self._buffer)
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
            artifacts.add_folder(self._sweep.client, self.run_id, Path(folder))
        figures = final_metrics(outcome)
        self._add(figures)
        params = {**describe_cell(self._cell), schema.SEED: str(self._seed), schema.LAYERS: layers}
        note = notes.of_replicate(self._sweep.name, self._label, self._seed, self._cell, figures, self._note)
        tags = {"device": device, notes.NOTE: note, schema.SHA256: sums, schema.COMPLETE: "true"}
        ending = Ending("FINISHED", self._buffer, tags, params, dataset_input(self._cell))
        self._sweep.writer.end(self.run_id, ending)
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
        reason = one_line(text, schema.LONGEST_TEXT) or "no reason was given"
        self._sweep.writer.end(self.run_id, Ending(status, (), {tag: reason}, params))


def start_replicates(
    sweep: SweepStore, cell_run_id: str, cell: Cell, label: str, seeds: Sequence[int]
) -> list[ReplicateRun]:
    """Return a run per seed, marked RUNNING: found by its key before it is made, so a retry continues it."""
    where, shown = {schema.CELL_KEY: cell.key}, (schema.REPLICATE_KEY, schema.PARENT, notes.NOTE, *schema.MARKS)
    known = one_per_replicate(sweep.records("replicate", where, tags=shown, metrics=True))
    found = {seed: known[key] for seed in seeds if (key := cell.replicate_key(seed)) in known}
    absent = {seed: _new_run(cell_run_id, cell, label, seed) for seed in seeds if seed not in found}
    made = sweep.writer.create(sweep.experiment_id, list(absent.values()))
    runs = {
        seed: ReplicateRun(sweep, cell, seed, run_id, began, logged_epoch=0, finished=False, label=label)
        for seed, (run_id, began) in zip(absent, made, strict=True)
    }
    runs |= {seed: _found_again(sweep, cell_run_id, cell, label, seed, record) for seed, record in found.items()}
    return [runs[seed] for seed in seeds]


def forget_stops(sweep: SweepStore, keys: Collection[str]) -> None:
    """Have replicates that a search stopped early, by their keys, be incomplete: they are to run to their end."""
    shown = (schema.REPLICATE_KEY, *schema.MARKS)
    for key, record in one_per_replicate(sweep.records("replicate", tags=shown)).items():
        if key in keys and state_of(record) == "stopped":
            sweep.client.delete_tag(record.run_id, schema.STOPPED)


def _new_run(cell_run_id: str, cell: Cell, label: str, seed: int) -> NewRun:
    tags = {**replicate_tags(cell_run_id, cell, label, seed), **_versions()}
    return NewRun(replicate_name(label, seed), tags)


def _found_again(
    sweep: SweepStore, cell_run_id: str, cell: Cell, label: str, seed: int, record: StoredRun
) -> ReplicateRun:
    finished = state_of(record) == "finished"
    if not finished:
        _reopen(sweep.client, record.run_id, record.tags, cell_run_id)
    logged_epoch = int(record.metrics.get(schema.EPOCH, 0))
    note = record.tags.get(notes.NOTE, "")
    return ReplicateRun(sweep, cell, seed, record.run_id, record.start_time, logged_epoch, finished, label, note)


def replicate_tags(cell_run_id: str, cell: Cell, label: str, seed: int) -> dict[str, str]:
    """Return the tags by which the run of a replicate is found."""
    return {
        schema.PARENT: cell_run_id,
        schema.KIND: "replicate",
        schema.LABEL: label,
        schema.CELL_KEY: cell.key,
        schema.REPLICATE_KEY: cell.replicate_key(seed),
        schema.SEED_TAG: str(seed),
    }


def replicate_name(label: str, seed: int) -> str:
    """Return the name of the run of a replicate, as the UI shows it."""
    return f"{label} seed {seed}"


def _reopen(store: "MlflowClient", run_id: str, tags: Mapping[str, str], cell_run_id: str) -> None:
    store.update_run(run_id, status="RUNNING")
    if tags.get(schema.PARENT) != cell_run_id:
        store.set_tag(run_id, schema.PARENT, cell_run_id)
    for name in (schema.FAILURE, schema.STOPPED):
        if name in tags:
            store.delete_tag(run_id, name)


@cache
def _versions() -> dict[str, str]:
    packages = ("torch", "torchvision", "ray", "mlflow", "numpy", "dropneuron-distributed")
    found = {f"version.{name}": importlib.metadata.version(name) for name in packages}
    found |= {"version.python": platform.python_version(), "host": socket.gethostname()}
    at_work = commit.of(Path(__file__).parents[2])
    return found | ({"version.commit": at_work} if at_work else {})
