"""The replicates of a sweep with their figures. Rows are typed; what is not whole is not a row."""

import contextlib
import json
import math
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dn_distributed import score_names
from dn_distributed.config import Cell
from dn_distributed.sparsity import LayerCount, NetworkCounts, UnitCount
from tracking import schema
from tracking.store import sqlite
from tracking.store.location import StoreLocation, connect
from tracking.store.runs import State, one_per_cell, one_per_replicate, reason_of, records, state_of, stored_as
from tracking.store.sqlite import StoredRun

History = Mapping[str, Mapping[int, float]]
"""Of one replicate: by metric name, the value at each epoch."""


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
    sha256: str = field(default="", compare=False, repr=False)
    """What ``checksums`` says of its files; empty where an earlier version wrote them, or they are elsewhere."""

    def with_dropout_at_test(self) -> "Row":
        """Return the row with the test scores that leave dropout on in place of those that do not."""
        return replace(self, metrics=score_names.with_dropout_at_test(self.metrics))


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


def read(location: StoreLocation, experiment_id: str, cell_key: str | None = None) -> Snapshot:
    """Read every replicate of a sweep (or of a cell), in the order of cell and seed. A key is counted once."""
    where = {} if cell_key is None else {schema.CELL_KEY: cell_key}
    shown = (schema.CELL_KEY, schema.REPLICATE_KEY, schema.SHA256, *schema.MARKS)
    params = (schema.SEED, schema.LAYERS)
    found = records(location, experiment_id, "replicate", where, tags=shown, params=params, metrics=True)
    counted = [(record, state_of(record)) for record in one_per_replicate(found).values()]
    rows = [_row(record) for record, state in counted if state == "finished"]
    return Snapshot(
        tuple(sorted(rows, key=lambda row: (row.cell_key, row.seed))),
        tuple(_ended(record, state) for record, state in counted if state not in ("finished", "incomplete")),
    )


def read_cells(location: StoreLocation, experiment_id: str) -> dict[str, list[Cell]]:
    """Return the cells that the store knows, each once, by label, oldest first."""
    shown = (schema.CELL, schema.CELL_KEY, schema.LABEL, schema.SUMMARIZED)
    cells: dict[str, list[Cell]] = {}
    for record in one_per_cell(records(location, experiment_id, "cell", {}, tags=shown)).values():
        cell = stored_as(Cell, record.tags[schema.CELL])
        cells.setdefault(record.tags[schema.LABEL], []).append(cell)
    return cells


def _row(record: StoredRun) -> Row:
    return Row(
        run_id=record.run_id,
        cell_key=record.tags[schema.CELL_KEY],
        replicate_key=record.tags[schema.REPLICATE_KEY],
        seed=int(record.params[schema.SEED]),
        metrics={name: with_infinity(value) for name, value in record.metrics.items()},
        counts=counts_from_metrics(record.params[schema.LAYERS], record.metrics),
        sha256=record.tags.get(schema.SHA256, ""),
    )


def with_infinity(value: float) -> float:
    """MLflow's SQL store keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _ended(record: StoredRun, state: State) -> Ended:
    tags, seed = record.tags, int(record.params[schema.SEED])
    return Ended(tags[schema.CELL_KEY], tags[schema.REPLICATE_KEY], seed, state, reason_of(record, state))


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


def read_histories(
    location: StoreLocation, run_ids: Sequence[str], wanted: Callable[[str], bool] = schema.is_curve
) -> list[History]:
    """Return the curves of replicates, in the order that they are asked for. ``wanted``: by the name of a metric."""
    found: dict[str, dict[str, dict[int, float]]] = {run_id: {} for run_id in run_ids}
    for run_id, name, step, value in _logged(location, run_ids, wanted):
        if wanted(name):
            found[run_id].setdefault(name, {})[step] = with_infinity(value)
    return [found[run_id] for run_id in run_ids]


def _logged(
    location: StoreLocation, run_ids: Sequence[str], wanted: Callable[[str], bool]
) -> Iterable[tuple[str, str, int, float]]:
    """Run, metric, step and value of what the runs have logged at every epoch, in the order of time."""
    database = location.database
    if database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            return list(sqlite.histories(database, run_ids))
    store = connect(location)
    return [
        (run_id, name, point.step, point.value)
        for run_id in run_ids
        for name in filter(wanted, store.get_run(run_id).data.metrics)
        for point in store.get_metric_history(run_id, name)
    ]
