"""At equal score, over many ways to cut the seeds in halves: estimates whose errors hold what the choice adds.

In one cut the seeds of a half share a choice, so they are not independent, and a test that takes them so finds
differences where there are none. Here each estimate is the mean over ``SPLITS`` random cuts, and its standard error is
the jackknife's: all is done again without each seed, choices too (Efron and Stein, The Annals of Statistics 9, 1981).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from tracking.results import fronts
from tracking.results.fronts import Point, Size
from tracking.results.inference import CONFIDENCE, Comparison, Interval

SPLITS = 20
RULE = (
    f"the seeds are cut into two halves at random, {SPLITS} times; one half's mean validation scores and sizes make a "
    "front and the place on it at a score, each seed of the other half is read there, off its own two networks, and "
    "they change places; the standard error is the jackknife's over seeds, choices made anew without each, and "
    "interval and p are by Student's t with n - 1 degrees of freedom"
)

Array = np.ndarray[Any, np.dtype[np.float64]]
Half = np.ndarray[Any, np.dtype[np.intp]]
"""Places of seeds."""


@dataclass(frozen=True)
class Estimate:
    """What a method leaves at a score, as logarithms."""

    mean: float
    test: float
    """Mean test score of the same networks."""
    without: tuple[float, ...]
    """The mean again without each of the seeds."""

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean."""
        return _interval(self.mean, standard_error(self.without), len(self.without))


@dataclass(frozen=True)
class _Mean:
    """A configuration at a threshold, as the mean over some seeds."""

    place: int
    left: Mapping[Size, float]
    validation: float
    test: float


class _Networks:
    """The networks of a method as arrays ``[points, seeds]``."""

    def __init__(self, found: Sequence[Point], seeds: Sequence[int]) -> None:
        measured = [[point.seeds[seed] for seed in seeds] for point in found]
        self._left = {
            size: np.array([[one.left[size] for one in line] for line in measured]) for size in fronts.sizes(found)
        }
        with np.errstate(divide="ignore"):
            self._logarithms = {size: np.log(left) for size, left in self._left.items()}
        self._validation = np.array([[one.validation for one in line] for line in measured])
        self._test = np.array([[one.test for one in line] for line in measured])

    def validation(self, half: Half) -> Array:
        """Return each point's mean validation score over a half of the seeds."""
        mean: Array = self._validation[:, half].mean(1)
        return mean

    def means(self, half: Half) -> list[_Mean]:
        """Return each point's means over a half of the seeds."""
        left = {size: values[:, half].mean(1).tolist() for size, values in self._left.items()}
        scores = zip(self.validation(half).tolist(), self._test[:, half].mean(1).tolist(), strict=True)
        return [
            _Mean(place, {size: values[place] for size, values in left.items()}, *both)
            for place, both in enumerate(scores)
        ]

    def read(self, size: Size, half: Half, between: "fronts.Between[_Mean]") -> tuple[Array, Array]:
        """Return of each seed of a half the logarithm of what its own networks have left there, and the test score."""
        first, last = (point.place for point in (between.points[0], between.points[-1]))
        share = between.share if len(between.points) > 1 else 0.0
        logarithms, test = self._logarithms[size], self._test
        if between.by_logarithm and test.min() > 0:
            return _line(logarithms, first, last, share)[half], np.exp(_line(np.log(test), first, last, share))[half]
        return _line(logarithms, first, last, share)[half], _line(test, first, last, share)[half]


def _line(values: Array, first: int, last: int, share: float) -> Array:
    line: Array = values[first] if share == 0 else (1 - share) * values[first] + share * values[last]
    return line


def standard_error(without: Sequence[float]) -> float:
    """Return the jackknife's standard error of an estimate from what it is without each value."""
    return math.sqrt((len(without) - 1) * float(np.var(without)))


def estimates(
    methods: Mapping[str, Sequence[Point]],
    reference: Mapping[str, Sequence[Point]],
    sizes: Sequence[Size],
    drops: Sequence[float],
    *,
    higher_is_better: bool,
) -> dict[tuple[Size, float], dict[str, Estimate | None]]:
    """Return by size and level what every method leaves; None where a half of the seeds does not reach the level.

    ``drops``: how far below the best mean validation score of ``reference`` the levels are; of errors, how many times
    as large, less one. Only seeds of every point are taken.
    """
    every = [point for group in (methods, reference) for found in group.values() for point in found]
    seeds = sorted(set.intersection(*(set(point.seeds) for point in every)))
    own, others = ({label: _Networks(found, seeds) for label, found in group.items()} for group in (methods, reference))
    every_seat = np.arange(len(seeds))
    taken = [_averaged(own, others, sizes, drops, seats, higher_is_better) for seats in _left_out(every_seat)]
    return {
        level: {label: _estimate([averaged[level][label] for averaged in taken]) for label in methods}
        for level in taken[0]
    }


def _left_out(seats: Half) -> Iterator[Half]:
    yield seats
    for place in range(len(seats)):
        yield np.delete(seats, place)


def _estimate(found: Sequence[tuple[float, float] | None]) -> Estimate | None:
    whole, *without = found
    means = [each[0] for each in without if each is not None]
    if whole is None or len(means) < len(without) or not all(map(math.isfinite, (whole[0], *means))):
        return None
    return Estimate(*whole, tuple(means))


def _averaged(
    methods: Mapping[str, _Networks],
    reference: Mapping[str, _Networks],
    sizes: Sequence[Size],
    drops: Sequence[float],
    seats: Half,
    higher_is_better: bool,
) -> dict[tuple[Size, float], dict[str, tuple[float, float] | None]]:
    """Return the mean logarithm and test score over cuts and seeds."""
    read: dict[tuple[Size, float], dict[str, list[tuple[Array, Array] | None]]] = {
        (size, drop): {label: [] for label in methods} for size in sizes for drop in drops
    }
    for choosing, reporting in _cuts(seats):
        best = _best(reference, choosing, higher_is_better)
        for label, networks in methods.items():
            means = networks.means(choosing)
            for size in sizes:
                ordered = fronts.front(means, size, higher_is_better=higher_is_better)
                for drop in drops:
                    level = best - drop if higher_is_better else best * (1 + drop)
                    place = fronts.around(ordered, level, higher_is_better=higher_is_better)
                    read[size, drop][label].append(None if place is None else networks.read(size, reporting, place))
    return {level: {label: _mean_of(found) for label, found in by_label.items()} for level, by_label in read.items()}


def _mean_of(found: Sequence[tuple[Array, Array] | None]) -> tuple[float, float] | None:
    whole = [each for each in found if each is not None]
    if len(whole) < len(found):
        return None
    return float(np.concatenate([a for a, _ in whole]).mean()), float(np.concatenate([b for _, b in whole]).mean())


def _cuts(seats: Half) -> Iterator[tuple[Half, Half]]:
    """Yield who chooses and who reports: the same cuts for every method."""
    random = np.random.default_rng(0)
    for _ in range(SPLITS):
        order, middle = random.permutation(seats), len(seats) // 2
        yield order[:middle], order[middle:]
        yield order[middle:], order[:middle]


def _best(reference: Mapping[str, _Networks], half: Half, higher_is_better: bool) -> float:
    every = np.concatenate([networks.validation(half) for networks in reference.values()])
    finite = every[np.isfinite(every)]
    return float(finite.max() if higher_is_better else finite.min())


def compare(quantity: str, labels: tuple[str, str], first: Estimate, second: Estimate) -> Comparison:
    """Return the ratio of two estimates, with p not corrected yet."""
    difference, n = first.mean - second.mean, len(first.without)
    error = standard_error([a - b for a, b in zip(first.without, second.without, strict=True)])
    p = 2 * float(scipy.stats.t.sf(abs(difference) / error, n - 1)) if error else float(difference == 0)
    effect = difference / (error * math.sqrt(n)) if error else math.copysign(math.inf, difference) * bool(difference)
    interval = _interval(difference, error, n)
    return Comparison(quantity, *labels, n, difference, interval, effect, p, p, is_ratio=True)


def _interval(mean: float, error: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(mean - half, mean + half)


def is_equal(first: Estimate, second: Estimate, margin: float) -> bool:
    """Return whether two one-sided tests at 5 % find the logarithms no further apart than ``margin``."""
    error = standard_error([a - b for a, b in zip(first.without, second.without, strict=True)])
    interval = _interval(first.mean - second.mean, error, len(first.without), 0.90)
    return -margin < interval.low and interval.high < margin
