"""Everything that is read from MLflow. Rows are typed; what is not whole is not a row."""

import contextlib
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
from tracking import schema
from tracking.manifest import Manifest
from tracking.store import StoreError, StoreLocation

State = Literal["finished", "failed", "stopped", "incomplete"]

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
class Snapshot:
    """What the store holds of one sweep."""

    rows: tuple[Row, ...]
    ended: tuple[Ended, ...]

    def states(self) -> dict[str, State]:
        """Return the state of every replicate that is decided, by its key."""
        decided: dict[str, State] = {item.replicate_key: item.state for item in self.ended}
        return {**decided, **{row.replicate_key: "finished" for row in self.rows}}


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
    tags = {} if cell_key is None else {schema.CELL_KEY: cell_key}
    for run in find_runs(store, experiment_id, "replicate", tags):
        key, state = run.data.tags[schema.REPLICATE_KEY], state_of(run)
        if state == "finished":
            rows.setdefault(key, _row(run))
        elif state != "incomplete":
            ended.setdefault(key, _ended(run, state))
    return Snapshot(
        tuple(sorted(rows.values(), key=lambda row: (row.cell_key, row.seed))),
        tuple(item for key, item in ended.items() if key not in rows),
    )


def read_cells(store: MlflowClient, experiment_id: str) -> dict[str, list[Cell]]:
    """Return the cells that the store knows, by label, oldest first."""
    cells: dict[str, list[Cell]] = {}
    for run in find_runs(store, experiment_id, "cell", {}):
        cell = Cell.model_validate_json(run.data.tags[schema.CELL])
        cells.setdefault(run.data.tags[schema.LABEL], []).append(cell)
    return cells


def read_summarized(store: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Return by cell key which seeds the means of its run are over, as ``schema.seed_list`` writes them."""
    runs = find_runs(store, experiment_id, "cell", {})
    return {run.data.tags[schema.CELL_KEY]: run.data.tags.get(schema.SUMMARIZED, "") for run in runs}


def state_of(run: Run) -> State:
    """Return how far a replicate run is: what is not whole is incomplete."""
    tags = run.data.tags
    if run.info.status == "FINISHED" and schema.COMPLETE in tags:
        return "finished"
    if run.info.status == "FAILED" and schema.FAILURE in tags:
        return "failed"
    if run.info.status == "KILLED" and schema.STOPPED in tags:
        return "stopped"
    return "incomplete"


def _row(run: Run) -> Row:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    return Row(
        run_id=run.info.run_id,
        cell_key=tags[schema.CELL_KEY],
        replicate_key=tags[schema.REPLICATE_KEY],
        seed=int(params[schema.SEED]),
        metrics={name: with_infinity(value) for name, value in metrics.items()},
        counts=counts_from_metrics(params[schema.LAYERS], metrics),
    )


def with_infinity(value: float) -> float:
    """MLflow's SQL store keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _ended(run: Run, state: State) -> Ended:
    tags = run.data.tags
    reason = tags[schema.FAILURE if state == "failed" else schema.STOPPED]
    seed = int(run.data.params[schema.SEED])
    return Ended(tags[schema.CELL_KEY], tags[schema.REPLICATE_KEY], seed, state, reason)


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


def metric_histories(store: MlflowClient, run_id: str) -> dict[str, dict[int, float]]:
    """Return the curves of a replicate: by metric name, the value at each epoch."""
    return histories(store, run_id, [name for name in store.get_run(run_id).data.metrics if is_curve(name)])


def histories(store: MlflowClient, run_id: str, names: Iterable[str]) -> dict[str, dict[int, float]]:
    """Return metrics of a run by name, with the value at each epoch."""
    return {
        name: {point.step: with_infinity(point.value) for point in store.get_metric_history(run_id, name)}
        for name in names
    }


def is_curve(name: str) -> bool:
    """Return whether a metric is logged at every epoch."""
    return name.startswith(_CURVES) and not name.endswith(("/before_pruning", "/after_pruning"))


def read_manifest(store: MlflowClient, experiment_id: str) -> tuple[str, Manifest]:
    """Return the report run's id and the manifest of the sweep. StoreError if there is none."""
    found = find_runs(store, experiment_id, "report", {})
    if not found:
        raise StoreError("the store has no report run for this sweep: run `dn sweep` on its file first")
    run_id = str(found[0].info.run_id)
    path = download(store, run_id, schema.MANIFEST_FILE)
    return run_id, Manifest.model_validate_json(path.read_text())


def find_manifest(store: MlflowClient, experiment_id: str) -> Manifest | None:
    """Return the manifest of the sweep; None where no command has got so far as to write it."""
    for run in find_runs(store, experiment_id, "report", {})[:1]:
        if any(item.path == schema.MANIFEST_FILE for item in store.list_artifacts(run.info.run_id)):
            return read_manifest(store, experiment_id)[1]
    return None


def download(store: MlflowClient, run_id: str, path: str) -> Path:
    """Return a local path of a run's file or folder; an embedded store's own file is not copied."""
    artifacts = urlparse(store.get_run(run_id).info.artifact_uri)
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
