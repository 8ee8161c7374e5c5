"""The replicates of a sweep with their figures. Rows are typed; what is not whole is not a row."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dn_distributed import score_names
from dn_distributed.config import Cell
from dn_distributed.sparsity import LayerCount, NetworkCounts, UnitCount
from tracking import schema
from tracking.store.choice import queries_of
from tracking.store.location import StoreLocation
from tracking.store.queries import StoredRun
from tracking.store.runs import State, one_per_cell, one_per_replicate, reason_of, state_of, stored_as
from tracking.store.sweep_store import SweepStore

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
    processor: str = field(default="", compare=False, repr=False)
    """On which ``dn compact`` measured its latencies; empty where it did not, or that is not known here."""

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


def read(sweep: SweepStore, cell_key: str | None = None) -> Snapshot:
    """Read every replicate of a sweep (or of a cell), in the order of cell and seed. A key is counted once."""
    where = {} if cell_key is None else {schema.CELL_KEY: cell_key}
    shown = (schema.CELL_KEY, schema.REPLICATE_KEY, schema.SHA256, schema.COMPACT_PROCESSOR, *schema.MARKS)
    params = (schema.SEED, schema.LAYERS)
    found = sweep.records("replicate", where, tags=shown, params=params, metrics=True)
    counted = [(record, state_of(record)) for record in one_per_replicate(found).values()]
    finished = [record for record, state in counted if state == "finished"]
    rows = [_row(record) for record in finished if not _counts_are_mixed(record)]
    ended = [_ended(record, state) for record, state in counted if state not in ("finished", "incomplete")]
    ended += [_of_mixed_counts(record) for record in finished if _counts_are_mixed(record)]
    return Snapshot(tuple(sorted(rows, key=lambda row: (row.cell_key, row.seed))), tuple(ended))


def read_cells(sweep: SweepStore) -> dict[str, list[Cell]]:
    """Return the cells that the store knows, each once, by label, oldest first."""
    shown = (schema.CELL, schema.CELL_KEY, schema.LABEL, schema.SUMMARIZED)
    cells: dict[str, list[Cell]] = {}
    for record in one_per_cell(sweep.records("cell", tags=shown)).values():
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
        processor=record.tags.get(schema.COMPACT_PROCESSOR, ""),
    )


def with_infinity(value: float) -> float:
    """MLflow's SQL store keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _counts_are_mixed(record: StoredRun) -> bool:
    """Whether figures of a layer stand in the place of the inputs', from before such a layer was refused."""
    return any(name == schema.INPUT for name, *_ in json.loads(record.params[schema.LAYERS]))


def _of_mixed_counts(record: StoredRun) -> Ended:
    reason = f"its figures of the layer {schema.INPUT!r} took the place of the inputs': rename the layer"
    return Ended(
        record.tags[schema.CELL_KEY],
        record.tags[schema.REPLICATE_KEY],
        int(record.params[schema.SEED]),
        "failed",
        reason,
    )


def _ended(record: StoredRun, state: State) -> Ended:
    tags, seed = record.tags, int(record.params[schema.SEED])
    return Ended(tags[schema.CELL_KEY], tags[schema.REPLICATE_KEY], seed, state, reason_of(record, state))


def counts_from_metrics(layers: str, metrics: Mapping[str, float]) -> NetworkCounts:
    """Put the counts of a replicate together again from its stored figures."""
    shapes = [(name, tuple(map(int, shape))) for name, *shape in json.loads(layers)]
    layer_counts = tuple(
        LayerCount(
            name, shape, math.prod(shape), int(metrics[schema.layer_nonzero(name)]), _inputs_alive(name, metrics)
        )
        for name, shape in shapes
    )
    totals = [(name, shape[0]) for name, shape in shapes]
    if schema.units(schema.INPUT, "alive") in metrics:  # of layers that are no chain there are no inputs
        totals.insert(0, (schema.INPUT, shapes[0][1][1]))
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


def _inputs_alive(layer: str, metrics: Mapping[str, float]) -> int | None:
    found = metrics.get(schema.layer_inputs_alive(layer))
    return None if found is None else int(found)


def by_epoch(histories: Sequence[History], metric: str) -> dict[int, list[float]]:
    """Return the values of a metric at each epoch, of those replicates that have one."""
    points: dict[int, list[float]] = {}
    for history in histories:
        for epoch, value in history.get(metric, {}).items():
            points.setdefault(epoch, []).append(value)
    return points


def read_histories(
    location: StoreLocation, run_ids: Sequence[str], wanted: Callable[[str], bool] = schema.is_curve
) -> list[History]:
    """Return the curves of replicates, in the order that they are asked for. ``wanted``: by the name of a metric."""
    found: dict[str, dict[str, dict[int, float]]] = {run_id: {} for run_id in run_ids}
    for run_id, name, step, value in queries_of(location).histories(run_ids, wanted):
        found[run_id].setdefault(name, {})[step] = with_infinity(value)
    return [found[run_id] for run_id in run_ids]
