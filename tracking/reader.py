"""Everything that is read from MLflow. Rows are typed; what is not whole is not a row."""

import contextlib
import json
import math
import sqlite3
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse

from mlflow import MlflowClient
from mlflow.entities import Run

from dn_distributed.config import Cell
from dn_distributed.sparsity import LayerCount, NetworkCounts, UnitCount
from dn_distributed.training import TEST_WITH_DROPOUT
from tracking import embedded, schema
from tracking.embedded import StoredRun
from tracking.manifest import Manifest
from tracking.store import StoreError, StoreLocation

State = Literal["finished", "failed", "stopped", "incomplete"]
History = Mapping[str, Mapping[int, float]]
"""Of one replicate: by metric name, the value at each epoch."""

_IDENTITY = (schema.CELL_KEY, schema.REPLICATE_KEY)
_RANK: Mapping[State, int] = {"finished": 0, "failed": 1, "stopped": 1, "incomplete": 2}
_CURVES = ("train/loss", "validation/", schema.NUM_NONZERO, schema.NEURONS_ALIVE)


@dataclass(frozen=True)
class Row:
    """One finished replicate."""

    run_id: str
    cell_key: str
    replicate_key: str
    seed: int
    metrics: dict[str, float]
    """Final figures by metric name."""
    counts: NetworkCounts

    def with_dropout_at_test(self) -> "Row":
        """Return the row with the test scores that leave dropout on in place of those that do not."""
        kept = {name: value for name, value in self.metrics.items() if not name.startswith(f"{TEST_WITH_DROPOUT}/")}
        scripted = {name: self.metrics[name] for name in self.metrics if name not in kept}
        renamed = {f"test/{name.partition('/')[2]}": value for name, value in scripted.items()}
        return replace(self, metrics={**kept, **renamed})


@dataclass(frozen=True)
class Ended:
    """A replicate that ended without a result: failed or stopped early."""

    cell_key: str
    replicate_key: str
    seed: int
    state: State
    reason: str


@dataclass(frozen=True)
class Replicate:
    """How far a replicate is, whatever has become of it."""

    run_id: str
    cell_key: str
    replicate_key: str
    seed: int | None
    """None where an earlier version began it and it has not ended."""
    state: State
    running: bool
    """Whether a worker has it, or had when it went away."""
    start_time: int
    end_time: int | None
    reason: str
    """Why it ended without a result; else empty."""


@dataclass(frozen=True)
class Snapshot:
    """What the store holds of one sweep."""

    rows: tuple[Row, ...]
    ended: tuple[Ended, ...]


def find_runs(store: MlflowClient, experiment_id: str, kind: schema.Kind, tags: Mapping[str, str]) -> list[Run]:
    """Return the runs of a kind with these tags, oldest first."""
    clauses = [f"tags.`{name}` = '{value}'" for name, value in {schema.KIND: kind, **tags}.items()]
    runs: list[Run] = []
    token = None
    while True:
        page = store.search_runs(
            [experiment_id], " and ".join(clauses), order_by=["attributes.start_time"], max_results=1000,
            page_token=token,
        )  # fmt: skip
        runs += page
        token = page.token
        if not token:
            return runs


def records(
    store: MlflowClient,
    experiment_id: str,
    kind: schema.Kind,
    where: Mapping[str, str],
    *,
    tags: Collection[str] = (),
    params: Collection[str] = (),
    metrics: bool = False,
) -> list[StoredRun]:
    """Return what is asked for of the runs of a kind that have the tags ``where``, oldest first."""
    database = StoreLocation(store.tracking_uri).database
    if database is not None:
        wanted = {**where, schema.KIND: kind}  # what most runs have comes last: it is looked up, not gone through
        with contextlib.suppress(sqlite3.OperationalError):  # an MLflow with other tables, or a lock that stays
            return embedded.find(database, experiment_id, wanted, tags=tags, params=params, metrics=metrics)
    found = find_runs(store, experiment_id, kind, where)
    return [
        StoredRun(
            run.info.run_id,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            {name: value for name, value in run.data.tags.items() if name in tags},
            {name: value for name, value in run.data.params.items() if name in params},
            dict(run.data.metrics) if metrics else {},
        )
        for run in found
    ]


def find_experiment(store: MlflowClient, location: StoreLocation, name: str) -> str:
    """Return the id of the experiment ``name``. StoreError names the ones there are."""
    found = store.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    names = sorted(e.name for e in store.search_experiments() if e.name != "Default")
    raise StoreError(f"no sweep {name!r} in the store {location.uri}; it holds: {', '.join(names) or 'none'}")


def read(store: MlflowClient, experiment_id: str, cell_key: str | None = None) -> Snapshot:
    """Read every replicate of a sweep (or of a cell), in the order of cell and seed. A key is counted once."""
    rows: dict[str, Row] = {}
    ended: dict[str, Ended] = {}
    where = {} if cell_key is None else {schema.CELL_KEY: cell_key}
    shown, params = (*_IDENTITY, *schema.MARKS), (schema.SEED, schema.LAYERS)
    for record in records(store, experiment_id, "replicate", where, tags=shown, params=params, metrics=True):
        key, state = record.tags[schema.REPLICATE_KEY], state_of(record)
        if state == "finished":
            rows.setdefault(key, _row(record))
        elif state != "incomplete":
            ended.setdefault(key, _ended(record, state))
    return Snapshot(
        tuple(sorted(rows.values(), key=lambda row: (row.cell_key, row.seed))),
        tuple(item for key, item in ended.items() if key not in rows),
    )


def read_states(store: MlflowClient, experiment_id: str) -> list[Replicate]:
    """Return how far each replicate of a sweep is, without its figures. A key is there once, by its best run."""
    shown, params = (*_IDENTITY, schema.SEED_TAG, *schema.MARKS), (schema.SEED,)
    found: dict[str, Replicate] = {}
    for record in records(store, experiment_id, "replicate", {}, tags=shown, params=params):
        replicate = _replicate(record)
        known = found.get(replicate.replicate_key)
        if known is None or _RANK[replicate.state] < _RANK[known.state]:
            found[replicate.replicate_key] = replicate
    return list(found.values())


def _replicate(record: StoredRun) -> Replicate:
    state, tags = state_of(record), record.tags
    seed = tags.get(schema.SEED_TAG, record.params.get(schema.SEED))
    return Replicate(
        run_id=record.run_id,
        cell_key=tags[schema.CELL_KEY],
        replicate_key=tags[schema.REPLICATE_KEY],
        seed=None if seed is None else int(seed),
        state=state,
        running=record.status == "RUNNING",
        start_time=record.start_time,
        end_time=record.end_time,
        reason=_reason(record, state),
    )


def read_cells(store: MlflowClient, experiment_id: str) -> dict[str, list[Cell]]:
    """Return the cells that the store knows, by label, oldest first."""
    cells: dict[str, list[Cell]] = {}
    for record in records(store, experiment_id, "cell", {}, tags=(schema.CELL, schema.LABEL)):
        cell = Cell.model_validate_json(record.tags[schema.CELL])
        cells.setdefault(record.tags[schema.LABEL], []).append(cell)
    return cells


def read_summarized(store: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Return by cell key which seeds the means of its run are over, as ``schema.seed_list`` writes them."""
    found = records(store, experiment_id, "cell", {}, tags=(schema.CELL_KEY, schema.SUMMARIZED))
    return {record.tags[schema.CELL_KEY]: record.tags.get(schema.SUMMARIZED, "") for record in found}


def state_of(record: StoredRun) -> State:
    """Return how far a replicate run is: what is not whole is incomplete."""
    if record.status == "FINISHED" and schema.COMPLETE in record.tags:
        return "finished"
    if record.status == "FAILED" and schema.FAILURE in record.tags:
        return "failed"
    if record.status == "KILLED" and schema.STOPPED in record.tags:
        return "stopped"
    return "incomplete"


def state_of_run(run: Run) -> State:
    """Return how far a replicate run is, as MLflow's client gives it."""
    return state_of(StoredRun(run.info.run_id, run.info.status, run.info.start_time, run.info.end_time, run.data.tags))


def _row(record: StoredRun) -> Row:
    return Row(
        run_id=record.run_id,
        cell_key=record.tags[schema.CELL_KEY],
        replicate_key=record.tags[schema.REPLICATE_KEY],
        seed=int(record.params[schema.SEED]),
        metrics={name: with_infinity(value) for name, value in record.metrics.items()},
        counts=counts_from_metrics(record.params[schema.LAYERS], record.metrics),
    )


def with_infinity(value: float) -> float:
    """MLflow's SQL store keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _ended(record: StoredRun, state: State) -> Ended:
    tags, seed = record.tags, int(record.params[schema.SEED])
    return Ended(tags[schema.CELL_KEY], tags[schema.REPLICATE_KEY], seed, state, _reason(record, state))


def _reason(record: StoredRun, state: State) -> str:
    tag = {"failed": schema.FAILURE, "stopped": schema.STOPPED}.get(state)
    return record.tags[tag] if tag else ""


def counts_from_metrics(layers: str, metrics: Mapping[str, float]) -> NetworkCounts:
    """Put the counts of a replicate together again from its stored figures."""
    shapes = [(name, (int(n_out), int(n_in))) for name, n_out, n_in in json.loads(layers)]
    layer_counts = tuple(
        LayerCount(name, shape, shape[0] * shape[1], int(metrics[schema.layer_nonzero(name)])) for name, shape in shapes
    )
    totals = [("input", shapes[0][1][1]), *((name, shape[0]) for name, shape in shapes)]
    unit_counts = tuple(
        UnitCount(
            name,
            total,
            int(metrics[schema.units(name, "published")]),
            int(metrics[schema.units(name, "alive")]),
        )
        for name, total in totals
    )
    return NetworkCounts(layer_counts, unit_counts)


def histories(store: MlflowClient, run_id: str, names: Iterable[str]) -> dict[str, dict[int, float]]:
    """Return metrics of a run by name, with the value at each epoch."""
    return {
        name: {point.step: with_infinity(point.value) for point in store.get_metric_history(run_id, name)}
        for name in names
    }


def read_histories(store: MlflowClient, run_ids: Sequence[str]) -> list[History]:
    """Return the curves of replicates, in the order that they are asked for."""
    found: dict[str, dict[str, dict[int, float]]] = {run_id: {} for run_id in run_ids}
    for run_id, name, step, value in _logged(store, run_ids):
        if is_curve(name):
            found[run_id].setdefault(name, {})[step] = with_infinity(value)
    return [found[run_id] for run_id in run_ids]


def _logged(store: MlflowClient, run_ids: Sequence[str]) -> Iterable[tuple[str, str, int, float]]:
    """Run, metric, step and value of what the runs have logged at every epoch, in the order of time."""
    database = StoreLocation(store.tracking_uri).database
    if database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            return list(embedded.histories(database, run_ids))
    return [
        (run_id, name, point.step, point.value)
        for run_id in run_ids
        for name in filter(is_curve, store.get_run(run_id).data.metrics)
        for point in store.get_metric_history(run_id, name)
    ]


def is_curve(name: str) -> bool:
    """Return whether a metric is logged at every epoch."""
    return name.startswith(_CURVES) and not name.endswith(("/before_pruning", "/after_pruning"))


def read_manifest(store: MlflowClient, experiment_id: str) -> tuple[str, Manifest]:
    """Return the report run's id and the manifest of the sweep. StoreError if there is none."""
    found = find_manifest(store, experiment_id)
    if found is None:
        raise StoreError("the store does not know what this sweep compares: run `dn sweep` on its file first")
    return found


def find_manifest(store: MlflowClient, experiment_id: str) -> tuple[str, Manifest] | None:
    """Return what ``read_manifest`` does; None where no command has got so far as to write the manifest."""
    for run in find_runs(store, experiment_id, "report", {})[:1]:
        run_id = str(run.info.run_id)
        if any(item.path == schema.MANIFEST_FILE for item in store.list_artifacts(run_id)):
            return run_id, Manifest.model_validate_json(download(store, run_id, schema.MANIFEST_FILE).read_text())
    return None


def download(store: MlflowClient, run_id: str, path: str) -> Path:
    """Return a local path of a run's file or folder; an embedded store's own file is not copied."""
    return download_each(store, [run_id], path)[0]


def download_each(store: MlflowClient, run_ids: Sequence[str], path: str) -> list[Path]:
    """Return local paths of the file or folder that several runs have under the same name."""
    known = _artifact_addresses(store, run_ids)
    return [
        _download(store, run_id, path, known.get(run_id) or store.get_run(run_id).info.artifact_uri)
        for run_id in run_ids
    ]


def _artifact_addresses(store: MlflowClient, run_ids: Sequence[str]) -> dict[str, str]:
    database = StoreLocation(store.tracking_uri).database
    if database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            return embedded.artifact_addresses(database, run_ids)
    return {}


def _download(store: MlflowClient, run_id: str, path: str, address: str) -> Path:
    artifacts = urlparse(address)
    if artifacts.scheme == "file":
        return Path(unquote(artifacts.path)) / path
    folder = Path(_downloads().name) / run_id  # of its own: files of the same name must not replace each other
    folder.mkdir(exist_ok=True)
    return Path(store.download_artifacts(run_id, path, str(folder)))


@contextlib.contextmanager
def files_of(store: MlflowClient, run: Run) -> Iterator[Path]:
    """Give a folder with the files of a run; what a server sent is removed afterwards."""
    artifacts = urlparse(run.info.artifact_uri)
    if artifacts.scheme == "file":
        yield Path(unquote(artifacts.path))
        return
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        yield Path(store.download_artifacts(run.info.run_id, "", folder))


@cache
def _downloads() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of a server, removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="dn-")
