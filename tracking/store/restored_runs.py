"""The runs of replicates that another store held: written again, as an export has them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow.entities import Metric

from dn_distributed.config import Cell
from tracking import schema
from tracking.store import artifacts, checksums, notes
from tracking.store.outcomes import dataset_input
from tracking.store.record import Record
from tracking.store.replicate_runs import replicate_name, replicate_tags
from tracking.store.run_writer import Ending, NewRun
from tracking.store.runs import State
from tracking.store.sweep_store import SweepStore

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
    tags = {**replicate_tags(cell_run_id, cell, record.label, record.seed), **record.tags}
    name = replicate_name(record.label, record.seed)
    ((run_id, _),) = sweep.writer.create(sweep.experiment_id, [NewRun(name, tags, start=record.start)])
    tag, status = _ENDS[record.state]
    ended, data = {tag: record.reason or "true"}, None
    if record.finished:
        artifacts.add_folder(sweep.client, run_id, folder)
        note = notes.of_replicate(sweep.name, record.label, record.seed, cell, record.metrics)
        ended, data = {schema.SHA256: checksums.describe(folder), notes.NOTE: note, **ended}, dataset_input(cell)
    sweep.writer.end(run_id, Ending(status, _metrics_of(record), ended, record.params, data, record.end))
    for other in replaced:
        sweep.client.delete_run(other)


def _metrics_of(record: Record) -> list[Metric]:
    by_epoch = [(name, value, epoch) for name, points in record.curves.items() for epoch, value in points]
    final = [(name, value, record.last_epoch) for name, value in record.metrics.items()]
    return [Metric(name, value, record.end, step) for name, value, step in (*by_epoch, *final)]
