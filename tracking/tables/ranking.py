"""Which method is best in a quantity, and what can be said of its lead. Numbers; ``answer`` says them in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tracking.results.inference import Comparison, Verdict
from tracking.tables.columns import Column
from tracking.tables.findings import Findings


@dataclass(frozen=True)
class Difference:
    """One method less another in a quantity, paired by seed; of a ratio the logarithms are subtracted."""

    amount: float
    low: float
    high: float
    """Ends of the 95 % interval of ``amount``."""
    n: int
    is_ratio: bool
    verdict: Verdict
    num_comparisons: int = 1
    """All that the verdict is corrected for; the interval is not."""

    @property
    def holds_alone(self) -> bool:
        """Whether its own interval excludes 0, though it does not stand after correction."""
        return self.verdict == "not shown" and (self.low > 0 or self.high < 0)

    @property
    def holds(self) -> bool:
        """Whether it stands after correction, of enough seeds."""
        return self.verdict == "holds"

    @property
    def mirrored(self) -> "Difference":
        """The other method less the one."""
        return replace(self, amount=-self.amount, low=-self.high, high=-self.low)


@dataclass(frozen=True)
class Rank:
    """The methods by their average of a quantity: the geometric mean of what is compared by ratios, else the mean."""

    column: Column
    averages: Mapping[str, float]
    """By method, the best first. What has no finite average is not in it."""
    differences: Mapping[str, Difference | None]
    """The best less each other method that is worse than it; None where the two cannot be compared."""
    is_geometric: bool = False
    """Whether averages are geometric means."""
    is_over_seeds: bool = True
    """Whether some average is over more than one seed."""

    @property
    def best(self) -> tuple[str, ...]:
        """The best method; several where their averages are the same."""
        return tuple(label for label in self.averages if label not in self.differences)

    @property
    def next(self) -> str | None:
        """The best of the others."""
        return next(iter(self.differences), None)

    @property
    def is_shown(self) -> bool:
        """Whether the best one is better than each other method by a difference that holds."""
        return bool(self.differences) and all(map(self.is_ahead_of, self.differences))

    def is_ahead_of(self, other: str) -> bool:
        """Whether the best one is better than ``other`` by a difference that holds, on the seeds that both have."""
        item, improves = self.differences[other], 1 if self.column.higher_is_better else -1
        return item is not None and item.holds and item.amount * improves > 0


def rank(findings: Findings, column: Column) -> Rank | None:
    """Return the methods by their average of a column; None where none has one, or nobody has said what is better."""
    stats = {row.label: row.stats[column.key] for row in findings.table.rows if column.key in row.stats}
    # As comparisons are: a value that is not finite is one of its method alone.
    is_geometric = column.by_ratio and not any(value <= 0 for of in stats.values() for value in of.values)
    found = {
        label: average.mean if is_geometric and (average := of.geometric) is not None else of.mean
        for label, of in stats.items()
    }
    higher = column.higher_is_better
    finite = [label for label, average in found.items() if math.isfinite(average)]
    known = sorted(finite, key=found.__getitem__, reverse=bool(higher))
    if not known or higher is None:
        return None
    averages = {label: found[label] for label in known}
    best = [label for label in known if found[label] == found[known[0]]]
    others = known[len(best) :]
    differences = {label: _weakest(findings, column, best, label) for label in others}
    return Rank(column, averages, differences, is_geometric, any(of.n > 1 for of in stats.values()))


def _weakest(findings: Findings, column: Column, best: Sequence[str], other: str) -> Difference | None:
    """The difference of ``other`` from that of the best which it is told apart from least."""
    pairs = [findings.comparison(column.plain.title, label, other) for label in best]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs):
        return None
    return _as_difference(findings, max(known, key=lambda pair: pair.p_corrected))


def difference(findings: Findings, column: Column, first: str, second: str) -> Difference | None:
    """Return ``first`` less ``second``; None where the two are not compared."""
    found = findings.comparison(column.plain.title, first, second)
    return None if found is None else _as_difference(findings, found)


def _as_difference(findings: Findings, pair: Comparison) -> Difference:
    ends = (pair.interval.low, pair.interval.high)
    return Difference(pair.difference, *ends, pair.n, pair.is_ratio, pair.verdict, len(findings.compared))
