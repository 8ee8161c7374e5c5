"""The runs of cells: each at the top level, with its replicates under it."""

from collections.abc import Iterable, Mapping

from dn_distributed.config import Cell
from tracking import schema
from tracking.store.cell_params import describe_cell
from tracking.store.queries import StoredRun
from tracking.store.run_writer import NewRun
from tracking.store.runs import one_per_cell
from tracking.store.sweep_store import SweepStore


def cell_records(
    sweep: SweepStore, where: Mapping[str, str] | None = None, *, metrics: bool = False
) -> list[StoredRun]:
    """Return the cell runs with these tags, with what says which of them counts."""
    return sweep.records("cell", where, tags=(schema.CELL_KEY, schema.LABEL, schema.SUMMARIZED), metrics=metrics)


def runs_by_cell(sweep: SweepStore) -> dict[str, str]:
    """Return by cell key the id of the run that stands for it."""
    return {key: record.run_id for key, record in one_per_cell(cell_records(sweep)).items()}


def ensure_cell(sweep: SweepStore, cell: Cell, label: str) -> str:
    """Return the run id of a cell, made if absent and renamed if its label has changed."""
    found = one_per_cell(cell_records(sweep, {schema.CELL_KEY: cell.key})).get(cell.key)
    return create_cell(sweep, cell, label) if found is None else _renamed(sweep, found, label)


def ensure_cells(sweep: SweepStore, labels: Iterable[tuple[Cell, str]]) -> dict[str, str]:
    """Return the run ids of cells by cell key, as ``ensure_cell`` does: one look at the store for all of them.

    Replicates whose cell run was deleted are put under the one that there is now.
    """
    by_key = one_per_cell(cell_records(sweep))
    cells = {cell.key: (cell, label) for cell, label in labels}
    found = {key: _renamed(sweep, by_key[key], label) for key, (_, label) in cells.items() if key in by_key}
    absent = {key: _new_run(*cell) for key, cell in cells.items() if key not in by_key}
    made = sweep.writer.create(sweep.experiment_id, list(absent.values()))
    found |= {key: run_id for key, (run_id, _) in zip(absent, made, strict=True)}
    attach_replicates(sweep, found, {})
    return found


def attach_replicates(sweep: SweepStore, cell_runs: Mapping[str, str], where: Mapping[str, str]) -> None:
    """Put the replicates with the tags ``where`` under the runs of their cells, by cell key."""
    shown = (schema.CELL_KEY, schema.PARENT)
    for record in sweep.records("replicate", where, tags=shown):
        parent = cell_runs.get(record.tags[schema.CELL_KEY])
        if parent is not None and record.tags.get(schema.PARENT) != parent:
            sweep.client.set_tag(record.run_id, schema.PARENT, parent)


def _renamed(sweep: SweepStore, found: StoredRun, label: str) -> str:
    if found.tags.get(schema.LABEL) != label:
        sweep.client.set_tag(found.run_id, schema.LABEL, label)
        sweep.client.update_run(found.run_id, name=label)
    return found.run_id


def create_cell(sweep: SweepStore, cell: Cell, label: str) -> str:
    """Make a run for a cell, whether or not there is one, and return its id."""
    ((run_id, _),) = sweep.writer.create(sweep.experiment_id, [_new_run(cell, label)])
    return run_id


def _new_run(cell: Cell, label: str) -> NewRun:
    tags = {
        schema.KIND: "cell",
        schema.CELL_KEY: cell.key,
        schema.LABEL: label,
        schema.CELL: cell.model_dump_json(),
    }
    return NewRun(label, tags, describe_cell(cell))
