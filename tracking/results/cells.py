"""Rows to cells, and the cell that stands for a method. The rule of choice sees validation scores only."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from dn_distributed.config import Cell
from dn_distributed.labels import SHORTHANDS
from tracking.manifest import Manifest, ManifestMethod, Selection
from tracking.results import rounding
from tracking.results.rounding import Number, exact
from tracking.results.rows import Ended, Row, Snapshot
from tracking.store.runs import State, is_stopped

Found = TypeVar("Found", Row, Ended)


@dataclass(frozen=True)
class Geometric:
    """Average of positive values by their logarithms."""

    mean: float
    factor: float | None
    """Geometric standard deviation: most values lie between mean / factor and mean × factor. None for one value."""


@dataclass(frozen=True)
class Stat:
    """Mean, sample standard deviation (None for one value) and number of values."""

    mean: float
    std: float | None
    n: int
    values: tuple[float, ...] = field(default=(), compare=False, repr=False)
    """One per seed, in the order of the seeds."""
    exact_mean: Number = field(default=math.nan, compare=False, repr=False)
    """The mean before it was rounded to a float."""

    @property
    def geometric(self) -> Geometric | None:
        """The geometric mean; None where a value is not positive, or not finite."""
        if not self.values or not all(math.isfinite(value) and value > 0 for value in self.values):
            return None
        logarithms = [math.log(value) for value in self.values]
        spread = deviation(logarithms)
        return Geometric(math.exp(statistics.fmean(logarithms)), None if spread is None else math.exp(spread))


def stat(values: Iterable[Number | None]) -> Stat | None:
    """Return the statistics of some values; None where any is missing: nothing is averaged around."""
    known: list[Number] = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    if not known:
        return None
    mean, floats = rounding.mean(known), tuple(map(float, known))
    return Stat(float(mean), deviation(floats), len(known), floats, mean)


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation: None of one value, NaN where a value is not finite."""
    if len(values) < 2:
        return None
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


@dataclass(frozen=True)
class CellResult:
    """A cell with the replicates that the store holds of it."""

    label: str
    published: str | None
    cell: Cell
    rows: tuple[Row, ...]
    ended: tuple[Ended, ...]
    num_expected: int

    def stat(self, value: Callable[[Row], Number | None]) -> Stat | None:
        """Return the statistics of a quantity over the replicates."""
        return stat(value(row) for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether every replicate that the sweep asks for is there."""
        return len(self.rows) == self.num_expected

    @property
    def num_to_run(self) -> int:
        """Replicates that are still to run: none of a cell that a search stopped early."""
        states = Counter[State](item.state for item in self.ended)
        states["finished"] += len(self.rows)
        if is_stopped(states.elements()):
            return 0
        return max(0, self.num_expected - states["finished"] - states["failed"])


@dataclass(frozen=True)
class MethodResult:
    """A method: the cell that stands for it, and all that were tried."""

    label: str
    chosen: CellResult | None
    tried: tuple[CellResult, ...]
    """All that the sweep has planned so far."""
    to_propose: int = 0
    """Configurations that a search has still to propose."""

    @property
    def settled(self) -> tuple[CellResult, ...]:
        """The cells of which nothing is still to run: what the one that stands for the method was chosen among."""
        return tuple(result for result in self.tried if not result.num_to_run)

    @property
    def num_planned(self) -> int:
        """Configurations of the method, those that are still to be proposed too."""
        return len(self.tried) + self.to_propose


def gather(manifest: Manifest, snapshot: Snapshot) -> tuple[MethodResult, ...]:
    """Return, per method of the sweep in its order, its cells and the one that stands for it."""
    rows, ended = _by_cell(snapshot.rows, manifest.seeds), _by_cell(snapshot.ended, manifest.seeds)
    return tuple(_method(manifest, method, rows, ended) for method in manifest.methods)


def _by_cell(found: Iterable[Found], seeds: Collection[int]) -> dict[str, list[Found]]:
    """What the sweep asks for, by cell key, in its order."""
    asked, by_cell = set(seeds), dict[str, list[Found]]()
    for item in found:
        if item.seed in asked:
            by_cell.setdefault(item.cell_key, []).append(item)
    return by_cell


def _method(
    manifest: Manifest, method: ManifestMethod, rows: Mapping[str, list[Row]], ended: Mapping[str, list[Ended]]
) -> MethodResult:
    results = tuple(_cell(manifest, method, cell, rows, ended) for cell in method.cells)
    is_only = len(results) == 1 and not method.to_propose and bool(results[0].rows)
    chosen = choose(results, None if is_only else manifest.selection)
    return MethodResult(method.label, chosen, results, method.to_propose)


def _cell(
    manifest: Manifest,
    method: ManifestMethod,
    cell: Cell,
    rows: Mapping[str, list[Row]],
    ended: Mapping[str, list[Ended]],
) -> CellResult:
    key = cell.key
    return CellResult(
        label=method.label,
        published=method.published,
        cell=cell,
        rows=tuple(row.with_dropout_at_test() if method.dropout_at_test else row for row in rows.get(key, ())),
        ended=tuple(ended.get(key, ())),
        num_expected=len(manifest.seeds),
    )


def choose(results: Sequence[CellResult], selection: Selection | None) -> CellResult | None:
    """Return the cell that stands for a method.

    Without a rule of choice that is its only cell. With one, the best complete cell by it; cells that the
    search stopped early, or that failed, cannot be chosen. None where there is none.
    """
    if selection is None:
        return results[0] if results else None
    name = selection.objective
    scored = [(result.stat(lambda row: row.metrics.get(name)), result) for result in results if result.complete]
    averages = [(_average(selection, found), result) for found, result in scored if found is not None]
    candidates = [(average, result) for average, result in averages if math.isfinite(average)]
    if not candidates:
        return None
    sign = -1 if selection.higher_is_better else 1
    best = min((average for average, _ in candidates), key=lambda average: sign * average)
    equals = [(sign * average, result) for average, result in candidates if _is_equal(selection, average, best)]
    return min(equals, key=lambda item: (_mean_nonzero(item[1]), item[0], item[1].cell.key))[1]


def _average(selection: Selection, found: Stat) -> Number:
    """The average that cells are ordered by, exact where it is the mean."""
    return found.exact_mean if selection.average == "mean" else selection.averaged(found.values)


def _is_equal(selection: Selection, average: Number, best: Number) -> bool:
    """Whether a cell is as good as the best, within the tolerance: exactly, so that its very edge is within."""
    worse, better = exact(average), exact(best)
    if selection.higher_is_better:
        worse, better = better, worse
    tolerance = exact(selection.tolerance)
    return worse <= better * (1 + tolerance) if selection.average == "geometric" else worse - better <= tolerance


def coefficients(tried: Sequence[Cell]) -> dict[str, list[float]]:
    """Return by name the coefficients of a method's cells, in their order; one name where a sweep file has one."""
    names = dict.fromkeys(name for cell in tried for name in cell.regularization)
    values = {name: [cell.regularization.get(name, 0.0) for cell in tried] for name in names}
    for short, parts in SHORTHANDS.items():
        if all(values.get(part) == values.get(parts[0]) is not None for part in parts):
            values = {short if name == parts[0] else name: v for name, v in values.items() if name not in parts[1:]}
    return values


def edge(value: float, tried: Collection[float]) -> Literal["smallest", "largest", ""]:
    """Return whether a choice lies at the edge of what was tried: beyond it there may be a better one.

    Of fewer than three values, each would.
    """
    if len(set(tried)) < 3 or min(tried) < value < max(tried):
        return ""
    return "smallest" if value == min(tried) else "largest"


def _mean_nonzero(result: CellResult) -> float:
    return statistics.fmean(row.counts.num_nonzero for row in result.rows)
