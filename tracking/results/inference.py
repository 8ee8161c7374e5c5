"""Intervals and comparisons in pairs, of a handful of values, one per seed: textbook statistics, by scipy.

The constants that end in ``RULE`` say each method in words; they are printed where its numbers are.
"""

import itertools
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import scipy  # loads its parts where they are used, and statistics take half a second

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
FEWEST_RUNS = 5
"""Of fewer runs or seeds no verdict is said: an interval of them is so wide that what lies in it says nothing, and p
rests on the shape of the distribution."""

Verdict = Literal["holds", "not shown", "too few seeds"]

INTERVAL_RULE = (
    "95 % interval: Student's t of the logarithms, and so of the geometric mean; where a value is 0, Student's t of "
    'the values as they are, marked "of the mean". No test decides which'
)
SHARE_RULE = "of what is found or not found (0 or 100 %): Clopper and Pearson's interval of the share"
PREDICTION_RULE = (
    "One more run: the 95 % prediction interval of one run, geometric mean × or ÷ exp(t(0.975, n - 1) · s · "
    "√(1 + 1/n)), s of the logarithms, since no quantity here can be negative; where a value is 0, the range of the "
    "values less their outermost fortieths, of fewer than 39 none"
)
_ROUNDING = 1e-12  # of the numbers that are compared
COMPARISON_RULE = (
    "paired by seed (same initialisation and order of the data); interval and p of the mean difference by the paired t "
    "test (by the sign test where every seed differs by the same); errors and dense sizes are compared on their "
    "logarithms, as a ratio of geometric means (×), unless a value is 0 or less, other quantities as they are; p "
    "corrected by Holm over all comparisons of the sweep, intervals not; effect: mean difference / its standard "
    "deviation; in words, from the largest mean: > the difference holds, ≈ it may be noise, = the same networks"
)
FEW_SEEDS_RULE = (
    f"of fewer than {FEWEST_RUNS} seeds (n < {FEWEST_RUNS}) there is no verdict on a difference, whatever p is; its "
    "interval is shown all the same"
)


@dataclass(frozen=True)
class Interval:
    """A range of values, ends included."""

    low: float
    high: float
    of_logarithms: bool = False
    """Whether it was found on the logarithms: it is then that of a geometric mean."""

    def distance(self, low: float, high: float | None = None) -> float:
        """Return how far a value, or a range of them, lies outside: 0 inside or where they meet, negative below."""
        return min(0.0, (low if high is None else high) - self.low) + max(0.0, low - self.high)


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the geometric mean; of the mean where a value is not positive.

    It is Student's: mean ± t(0.975, n - 1) · s / √n, s the sample standard deviation, of the logarithms or the values.
    None for fewer than two values or one that is not finite.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if min(values) == max(values):
        return Interval(values[0], values[0])
    if min(values) <= 0:
        return _student(values, 1 / len(values))
    return _student_of_logarithms(values, 1 / len(values))


def prediction_interval(values: Sequence[float], least: float = 0.0, most: float = math.inf) -> Interval | None:
    """Return the 95 % interval that one more run would lie in, of a quantity between ``least`` and ``most``.

    It is Student's of the logarithms: mean ± t(0.975, n - 1) · s · √(1 + 1/n) (Hahn and Meeker, Statistical Intervals).
    None as ``mean_interval``, and where all are the same: nothing tells their spread. Where a value is not positive,
    the ends are order statistics, and None if there are too few for them.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)) or min(values) == max(values):
        return None
    if min(values) <= 0:
        return _order_statistics(values)
    found = _student_of_logarithms(values, 1 + 1 / len(values))
    return replace(found, low=max(least, found.low), high=min(most, found.high))


def _order_statistics(values: Sequence[float]) -> Interval | None:
    """One more value lies between the k-th smallest and the k-th largest of n with probability 1 - 2k / (n + 1)."""
    beyond = math.floor((1 - CONFIDENCE) / 2 * (len(values) + 1) + _ROUNDING)
    ordered = sorted(values)
    return Interval(ordered[beyond - 1], ordered[-beyond]) if beyond else None


def exp(value: float) -> float:
    """Return e to the power of ``value``; infinity where that is no number of the machine."""
    return math.exp(value) if value < math.log(sys.float_info.max) else math.inf


def share_interval(values: Sequence[float]) -> Interval | None:
    """Return Clopper and Pearson's (1934) 95 % interval of the share of ones among zeros and ones; None without any."""
    if not values:
        return None
    # scipy.stats.binomtest looks for the same ends by trial, and versions of SciPy stop at different last digits.
    ones, quantile, tail = round(sum(values)), scipy.special.betaincinv, (1 - CONFIDENCE) / 2
    zeros = len(values) - ones
    low = quantile(ones, zeros + 1, tail) if ones else 0.0
    high = quantile(ones + 1, zeros, 1 - tail) if zeros else 1.0
    return Interval(float(low), float(high))


@cache
def _t(degrees_of_freedom: int) -> float:
    """Student's quantile of a two-sided 95 % interval: asked for by every number of a report, and slow."""
    return float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom))


def _student(values: Sequence[float], factor: float) -> Interval:
    """mean ± t(0.975, n - 1) · s · √factor: 1/n for an interval of the mean, 1 + 1/n for one of one more value."""
    mean = statistics.fmean(values)
    half = _t(len(values) - 1) * statistics.stdev(values) * math.sqrt(factor)
    return Interval(mean - half, mean + half)


def _student_of_logarithms(values: Sequence[float], factor: float) -> Interval:
    found = _student([math.log(value) for value in values], factor)
    return Interval(exp(found.low), exp(found.high), of_logarithms=True)


@dataclass(frozen=True)
class Comparison:
    """Two methods on the seeds that both have: ``first`` minus ``second``, or the one divided by the other."""

    quantity: str
    first: str
    second: str
    n: int
    difference: float
    """Mean difference; for a ratio, that of the logarithms, as its interval."""
    interval: Interval
    effect: float
    """Cohen's d of paired values: mean difference / standard deviation of the differences. Infinite without one."""
    p: float
    p_corrected: float
    is_ratio: bool = False
    """Whether logarithms are compared."""

    @property
    def verdict(self) -> Verdict:
        """What can be said of the difference: whether it stands after correction, of enough seeds."""
        if self.n < FEWEST_RUNS:
            return "too few seeds"
        return "holds" if self.p_corrected < SIGNIFICANCE else "not shown"

    @property
    def holds(self) -> bool:
        """Whether the difference stands after correction, of enough seeds."""
        return self.verdict == "holds"

    @property
    def larger_first(self) -> tuple[str, str]:
        """Both methods, the one with the larger mean in front."""
        return (self.first, self.second) if self.difference > 0 else (self.second, self.first)

    @property
    def mirrored(self) -> "Comparison":
        """The same of ``second`` minus ``first``."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            difference=-self.difference,
            interval=replace(self.interval, low=-self.interval.high, high=-self.interval.low),
            effect=-self.effect,
        )


def logarithms(samples: Mapping[str, Mapping[int, float]]) -> Mapping[str, Mapping[int, float]] | None:
    """Return the logarithm of every value; None where one is not positive."""
    if any(value <= 0 for by_seed in samples.values() for value in by_seed.values()):
        return None
    return {label: {seed: math.log(v) for seed, v in by_seed.items()} for label, by_seed in samples.items()}


def compare(quantity: str, samples: Mapping[str, Mapping[int, float]], *, is_ratio: bool = False) -> list[Comparison]:
    """Compare every pair of methods on a quantity, given by method and seed; p is not corrected yet.

    ``is_ratio``: the values are logarithms. Pairs with fewer than two seeds in common, or a value that is not finite,
    are left out.
    """
    found = []
    for first, second in itertools.combinations(samples, 2):
        seeds = sorted(samples[first].keys() & samples[second].keys())
        differences = [samples[first][seed] - samples[second][seed] for seed in seeds]
        if len(differences) >= 2 and all(map(math.isfinite, differences)):
            largest = max(abs(samples[label][seed]) for label in (first, second) for seed in seeds)
            found.append(_paired(quantity, first, second, differences, _ROUNDING * largest))
    return [replace(item, is_ratio=is_ratio) for item in found]


def _paired(quantity: str, first: str, second: str, differences: Sequence[float], rounding: float) -> Comparison:
    """``rounding``: differences that are no further apart than this are the same."""
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    interval = _student(differences, 1 / len(differences))
    if deviation <= rounding:  # all differences equal: t is undefined; two-sided sign test p = 2^(1 - n)
        differ = abs(mean) > rounding
        p, effect = (2.0 ** (1 - len(differences)), math.copysign(math.inf, mean)) if differ else (1.0, 0.0)
    else:
        p, effect = float(scipy.stats.ttest_1samp(differences, 0).pvalue), mean / deviation
    return Comparison(quantity, first, second, len(differences), mean, interval, effect, p, p)


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with p corrected for their number."""
    p_values = holm([item.p for item in comparisons])
    return [replace(item, p_corrected=p) for item, p in zip(comparisons, p_values, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's method (1979), in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        found[index] = largest
    return found
