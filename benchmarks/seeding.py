"""A store full of finished replicates, in minutes: one cell is trained and written, the others are copies of it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from dn_distributed.data import Data
from sweeps.planning import plan as planning
from sweeps.planning.manifest import manifest_of
from sweeps.planning.plan import Pack, PlannedCell
from sweeps.planning.stored import plan_from_store
from sweeps.spec.sweep import Sweep
from sweeps.tune.pack_training import trainer_of
from tracking import schema
from tracking.results import means
from tracking.results import rows as reader
from tracking.store import cell_runs, replicate_runs, report_run
from tracking.store.cell_params import describe_cell
from tracking.store.sweep_store import SweepStore

# Scores and counts of a copy are those of the trained cell times ``factor``, so that cells differ.
_FIGURE = """case
    when key like '%num_nonzero%' then cast(value * copies.factor as integer)
    when key like '%accuracy%' or key = 'density' then value * copies.factor
    when key = 'compression_rate' then value / copies.factor
    else value end"""
_TEXT = (
    "coalesce((select own.value from own where own.run_id = copies.run_id and own.key = {table}.key), {table}.value)"
)
# What differs from the run that is copied, by table; of the others nothing but the run's id.
_CHANGED = {
    "runs": {
        "name": "copies.name",
        "status": "case when copies.is_open = 1 then 'RUNNING' else runs.status end",
        "start_time": "start_time + copies.place",
        "end_time": "case when copies.is_open = 1 then null else end_time + copies.place end",
        "artifact_uri": "replace(artifact_uri, copies.template, copies.run_id)",
    },
    "tags": {"value": _TEXT.format(table="tags")},
    "params": {"value": _TEXT.format(table="params")},
    "metrics": {"value": _FIGURE, "timestamp": "timestamp + copies.place"},
    "latest_metrics": {"value": _FIGURE, "timestamp": "timestamp + copies.place"},
    "inputs": {"input_uuid": "copies.run_id"},
}
_SCRATCH = {
    "copies": "run_id varchar(32) primary key, template varchar(32), name varchar(250), place bigint,"
    " factor float, is_open integer",
    "own": "run_id varchar(32), key varchar(250), value varchar(8000), primary key (run_id, key)",
}
# A cell that lacks replicates has no means yet.
_LEFT_OUT = {
    "tags": f"copies.is_open = 1 and tags.key = '{schema.SUMMARIZED}'",
    "metrics": "copies.is_open = 1",
    "latest_metrics": "copies.is_open = 1",
}


def fill(
    sweep: Sweep,
    data: Data,
    sweep_store: SweepStore,
    database: Engine,
    files: Path,
    missing: Mapping[str, Sequence[int]],
) -> None:
    """Write every replicate of ``sweep`` as finished.

    The replicates of the first cell are trained and written by the real writer. Of all others the rows in MLflow's
    tables are copied by SQL under keys of their own, and their folders are links: written one by one, ten thousand
    runs would take half an hour. ``database``: of the store; ``files``: the folder with those of the sweep's runs.
    ``missing``: seeds that are left out, by cell key. The plan made of what was written finds everything else
    finished, or this raises.
    """
    plan = planning.make(sweep, data, {}, {})
    report_run.write_manifest(sweep_store, report_run.ensure_report_run(sweep_store), manifest_of(plan))
    first, *others = plan.distinct
    _train(sweep, data, sweep_store, first)
    copier = _Copier(sweep_store, first, files, missing)
    with database.begin() as connection:
        copier.copy(connection, others)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("analyze"))  # as a database does by itself while it grows
    found = plan_from_store(sweep, data, sweep_store)
    assert found.num_to_run == sum(map(len, missing.values())), "the copies are not what the reader takes for finished"


def _train(sweep: Sweep, data: Data, sweep_store: SweepStore, item: PlannedCell) -> None:
    cell, label, seeds = item.cell, item.method.label, sweep.seeds
    trainer = trainer_of(sweep.task, Pack(label, cell, seeds), data.for_seeds(seeds), "cpu")
    cell_run = cell_runs.ensure_cell(sweep_store, cell, label)
    runs = replicate_runs.start_replicates(sweep_store, cell_run, cell, label, seeds)
    for report in trainer.run():
        for row, run in enumerate(runs):
            run.log_epoch(report, row)
    for run, outcome in zip(runs, trainer.outcomes(), strict=True):
        run.finish(outcome, "cpu")
    rows = reader.read(sweep_store, cell.key).rows
    means.summarize_cell(sweep_store, cell, label, rows)


@dataclass(frozen=True)
class _Copy:
    """A run to be made."""

    run_id: str
    template: str
    """The run that it is a copy of."""
    name: str
    texts: Mapping[str, str]
    """Tags and parameters that are its own, by name."""
    is_open: bool = False


class _Copier:
    """Copies the runs of one cell in the tables of a store: rows by a statement a table, files by a link a run."""

    def __init__(
        self, sweep_store: SweepStore, template: PlannedCell, files: Path, missing: Mapping[str, Sequence[int]]
    ) -> None:
        self._files, self._missing = files, missing
        where = {schema.CELL_KEY: template.cell.key}
        (cell_run,) = sweep_store.records("cell", where)
        self._cell_run = cell_run.run_id
        replicates = sweep_store.records("replicate", where, params=(schema.SEED,))
        self._replicates = {int(run.params[schema.SEED]): run.run_id for run in replicates}

    def copy(self, connection: Connection, cells: Sequence[PlannedCell]) -> None:
        """Write the cells and their replicates."""
        for table, columns in _SCRATCH.items():
            connection.execute(text(f"create temporary table {table} ({columns})"))
        for place, item in enumerate(cells, start=1):
            copies = list(self._copies(item))
            shared = {"place": 1000 * place, "factor": 0.7 + 0.3 * (place * 0.618 % 1)}
            connection.execute(
                text("insert into copies values (:run_id, :template, :name, :place, :factor, :is_open)"),
                [
                    {"run_id": c.run_id, "template": c.template, "name": c.name, "is_open": int(c.is_open), **shared}
                    for c in copies
                ],
            )
            own = [{"run_id": c.run_id, "key": key, "value": value} for c in copies for key, value in c.texts.items()]
            connection.execute(text("insert into own values (:run_id, :key, :value)"), own)
            for copied in copies:
                if (self._files / copied.template).exists():
                    (self._files / copied.run_id).symlink_to(copied.template)
        for table in _CHANGED:
            _copy_rows(connection, table)

    def _copies(self, item: PlannedCell) -> Iterator[_Copy]:
        """The runs to be made of a cell, the cell's own first."""
        cell, label, parent = item.cell, item.method.label, uuid.uuid4().hex
        missing = self._missing.get(cell.key, ())
        shared = {schema.LABEL: label, schema.CELL_KEY: cell.key, **describe_cell(cell)}
        texts = {**shared, schema.CELL: cell.model_dump_json(), "mlflow.runName": label}
        yield _Copy(parent, self._cell_run, label, texts, is_open=bool(missing))
        for seed, template in self._replicates.items():
            if seed not in missing:
                name = f"{label} seed {seed}"
                keys = {schema.PARENT: parent, schema.REPLICATE_KEY: cell.replicate_key(seed), "mlflow.runName": name}
                yield _Copy(uuid.uuid4().hex, template, name, {**shared, **keys})


def _copy_rows(connection: Connection, table: str) -> None:
    """Insert the rows of a table again for every copy, some columns as SQL expressions of the old row."""
    columns = [column["name"] for column in inspect(connection).get_columns(table)]
    of = "destination_id" if table == "inputs" else "run_uuid"
    changed = {of: "copies.run_id", **_CHANGED[table]}
    chosen = ", ".join(changed.get(column, f"{table}.{column}") for column in columns)
    rows = f"from {table} join copies on {table}.{of} = copies.template"
    where = f" where not ({_LEFT_OUT[table]})" if table in _LEFT_OUT else ""
    connection.execute(text(f"insert into {table} ({', '.join(columns)}) select {chosen} {rows}{where}"))
