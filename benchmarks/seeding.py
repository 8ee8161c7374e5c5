"""A store full of finished replicates, in a minute: one cell is trained and written, the others are copies of it."""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Mapping, Sequence

from dn_distributed.data import Data
from dn_distributed.training import Trainer
from sweeps.planning import plan as planning
from sweeps.planning.manifest import manifest_of
from sweeps.planning.plan import PlannedCell
from sweeps.planning.stored import plan_from_store
from sweeps.spec.sweep import Sweep
from tracking import schema
from tracking.results import means
from tracking.results import rows as reader
from tracking.store import artifacts, cell_runs, embedded, replicate_runs, report_run
from tracking.store.cell_params import describe_cell
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore

# Scores and counts of a copy are those of the trained cell times ``:factor``, so that cells differ.
_FIGURE = """case
    when key like '%num_nonzero%' then cast(value * :factor as integer)
    when key like '%accuracy%' or key = 'density' then value * :factor
    when key = 'compression_rate' then value / :factor
    else value end"""


def fill(sweep: Sweep, data: Data, location: StoreLocation, missing: Mapping[str, Sequence[int]]) -> str:
    """Write every replicate of ``sweep`` as finished, and return the id of its experiment.

    The replicates of the first cell are trained and written by the real writer. Of all others the rows in MLflow's
    tables are copied by SQL under keys of their own, and their files are hard links: ten thousand runs written one by
    one would take half an hour. ``missing``: seeds that are left out, by cell key. The plan made of what was written
    finds everything else finished, or this raises.
    """
    embedded.prepare(location)
    sweep_store = SweepStore.find_or_create(location, sweep.name)
    plan = planning.make(sweep, data, {}, {})
    report_run.write_manifest(sweep_store, report_run.ensure_report_run(sweep_store), manifest_of(plan))
    first, *others = plan.distinct
    _train(sweep, data, sweep_store, first)
    _Copier(sweep_store, first, missing).copy(others)
    found = plan_from_store(sweep, data, sweep_store)
    assert found.num_to_run == sum(map(len, missing.values())), "the copies are not what the reader takes for finished"
    return sweep_store.experiment_id


def _train(sweep: Sweep, data: Data, sweep_store: SweepStore, item: PlannedCell) -> None:
    cell, label, seeds = item.cell, item.method.label, sweep.seeds
    splits = data.for_seeds(seeds)
    trainer = Trainer(
        sweep.task, cell.regularization, cell.phases, cell.pruning, splits, seeds, curve=cell.pruning.curve
    )
    cell_run = cell_runs.ensure_cell(sweep_store, cell, label)
    runs = replicate_runs.start_replicates(sweep_store, cell_run, cell, label, seeds)
    for report in trainer.run():
        for row, run in enumerate(runs):
            run.log_epoch(report, row)
    for run, outcome in zip(runs, trainer.outcomes(), strict=True):
        run.finish(outcome, "cpu")
    rows = reader.read(sweep_store, cell.key).rows
    means.summarize_cell(sweep_store, cell, label, rows)


class _Copier:
    """Copies the runs of one cell in the database of an embedded store."""

    def __init__(self, sweep_store: SweepStore, template: PlannedCell, missing: Mapping[str, Sequence[int]]) -> None:
        assert sweep_store.location.database is not None
        self._missing = missing
        self._database = sqlite3.connect(sweep_store.location.database)
        self._columns = {
            table: [row[1] for row in self._database.execute(f"pragma table_info({table})")]
            for table in ("runs", "tags", "params", "metrics", "latest_metrics", "inputs")
        }
        where = {schema.CELL_KEY: template.cell.key}
        (cell_run,) = sweep_store.records("cell", where)
        replicates = sweep_store.records("replicate", where, params=(schema.SEED,))
        self._cell_run = cell_run.run_id
        self._replicates = {int(run.params[schema.SEED]): run.run_id for run in replicates}
        self._artifacts = {
            run.run_id: artifacts.path_of(sweep_store.location, run.run_id, "").parent
            for run in [cell_run, *replicates]
        }

    def copy(self, cells: Sequence[PlannedCell]) -> None:
        """Write the cells and their replicates in one transaction."""
        self._database.execute("pragma cache_size = -400000")
        with self._database:
            for place, item in enumerate(cells, start=1):
                self._copy_cell(item, place, 0.7 + 0.3 * (place * 0.618 % 1))
        self._database.close()

    def _copy_cell(self, item: PlannedCell, place: int, factor: float) -> None:
        cell, label = item.cell, item.method.label
        shown = {schema.LABEL: label, schema.CELL_KEY: cell.key}
        params = describe_cell(cell)
        tags = {**shown, schema.CELL: cell.model_dump_json(), "mlflow.runName": label}
        missing = self._missing.get(cell.key, ())
        parent = self._copy_run(self._cell_run, label, tags, params, place, factor)
        if missing:
            self._take_summary_away(parent)
        for seed, template in self._replicates.items():
            if seed in missing:
                continue
            name = f"{label} seed {seed}"
            tags = {
                **shown,
                schema.PARENT: parent,
                schema.REPLICATE_KEY: cell.replicate_key(seed),
                "mlflow.runName": name,
            }
            self._copy_run(template, name, tags, params, place, factor)

    def _copy_run(
        self,
        template: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        place: int,
        factor: float,
    ) -> str:
        run_id = uuid.uuid4().hex
        values = {"template": template, "run_id": run_id, "name": name, "place": 1000 * place, "factor": factor}
        own = {"run_uuid": ":run_id"}
        times = {"start_time": "start_time + :place", "end_time": "end_time + :place"}
        address = {"artifact_uri": "replace(artifact_uri, :template, :run_id)"}
        self._copy_rows("runs", {**own, **times, **address, "name": ":name"}, values)
        for table in ("tags", "params"):
            self._copy_rows(table, own, values)
        for table in ("metrics", "latest_metrics"):
            self._copy_rows(table, {**own, "value": _FIGURE, "timestamp": "timestamp + :place"}, values)
        edge = {"input_uuid": "lower(hex(randomblob(16)))", "destination_id": ":run_id"}
        self._copy_rows("inputs", edge, values, of="destination_id")
        for table, changed in (("tags", tags), ("params", params)):
            self._database.executemany(
                f"update {table} set value = ? where run_uuid = ? and key = ?",
                [(value, run_id, key) for key, value in changed.items()],
            )
        self._link_files(template, run_id)
        return run_id

    def _take_summary_away(self, cell_run: str) -> None:
        for table in ("metrics", "latest_metrics"):
            self._database.execute(f"delete from {table} where run_uuid = ?", [cell_run])
        self._database.execute("delete from tags where run_uuid = ? and key = ?", [cell_run, schema.SUMMARIZED])
        self._database.execute("update runs set status = 'RUNNING', end_time = null where run_uuid = ?", [cell_run])

    def _copy_rows(
        self, table: str, changed: Mapping[str, str], values: Mapping[str, object], of: str = "run_uuid"
    ) -> None:
        """Insert a run's rows of a table again, some columns as SQL expressions of the old row."""
        columns = self._columns[table]
        chosen = ", ".join(changed.get(column, column) for column in columns)
        self._database.execute(
            f"insert into {table} ({', '.join(columns)}) select {chosen} from {table} where {of} = :template", values
        )

    def _link_files(self, template: str, run_id: str) -> None:
        files = self._artifacts[template]
        if files.is_dir():
            shutil.copytree(files, files.with_name(run_id), copy_function=os.link)
