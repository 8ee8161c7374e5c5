"""The runs of cells: each at the top level, with its replicates under it."""

from collections.abc import Iterable, Mapping

from mlflow.entities import Param

from dn_distributed.config import Cell
from tracking import schema
from tracking.store.cell_params import describe_cell
from tracking.store.queries import StoredRun
from tracking.store.runs import one_per_cell
from tracking.store.sweep_store import SweepStore


def cell_records(
    sweep: SweepStore, where: Mapping[str, str] | None = None, *, metrics: bool = False
) -> list[StoredRun]:
    """Return the cell runs with these tags, with what says which of them counts."""
    return sweep.records("cell", where, tags=(schema.CELL_KEY, schema.LABEL, schema.SUMMARIZED), metrics=metrics)


def ensure_cell(sweep: SweepStore, cell: Cell, label: str) -> str:
    """Return the run id of a cell, made if absent and renamed if its label has changed."""
    found = cell_records(sweep, {schema.CELL_KEY: cell.key})
    return _ensure_cell(sweep, cell, label, one_per_cell(found).get(cell.key))


def ensure_cells(sweep: SweepStore, labels: Iterable[tuple[Cell, str]]) -> dict[str, str]:
    """Return the run ids of cells by cell key, as ``ensure_cell`` does: one look at the store for all of them.

    Replicates whose cell run was deleted are put under the one that there is now.
    """
    by_key = one_per_cell(cell_records(sweep))
    found = {cell.key: _ensure_cell(sweep, cell, label, by_key.get(cell.key)) for cell, label in labels}
    attach_replicates(sweep, found, {})
    return found


def attach_replicates(sweep: SweepStore, cell_runs: Mapping[str, str], where: Mapping[str, str]) -> None:
    """Put the replicates with the tags ``where`` under the runs of their cells, by cell key."""
    shown = (schema.CELL_KEY, schema.PARENT)
    for record in sweep.records("replicate", where, tags=shown):
        parent = cell_runs.get(record.tags[schema.CELL_KEY])
        if parent is not None and record.tags.get(schema.PARENT) != parent:
            sweep.client.set_tag(record.run_id, schema.PARENT, parent)


def _ensure_cell(sweep: SweepStore, cell: Cell, label: str, found: StoredRun | None) -> str:
    if found is None:
        return create_cell(sweep, cell, label)
    if found.tags.get(schema.LABEL) != label:
        sweep.client.set_tag(found.run_id, schema.LABEL, label)
        sweep.client.update_run(found.run_id, name=label)
    return found.run_id


def create_cell(sweep: SweepStore, cell: Cell, label: str) -> str:
    """Make a run for a cell, whether or not there is one, and return its id."""
    tags = {
        schema.KIND: "cell",
        schema.CELL_KEY: cell.key,
        schema.LABEL: label,
        schema.CELL: cell.model_dump_json(),
    }
    run = sweep.client.create_run(sweep.experiment_id, tags=tags, run_name=label)
    sweep.client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in describe_cell(cell).items()])
    return str(run.info.run_id)
