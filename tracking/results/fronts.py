"""At equal score, which method leaves fewer weights or neurons? Fronts over configurations and thresholds.

Points are chosen on validation data; what is shown of them is measured on test data.
"""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, Protocol, TypeVar

from dn_distributed import score_names
from tracking import schema
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult, deviation
from tracking.results.rounding import exact
from tracking.results.rows import Row
from tracking.results.threshold_curves import Curves

Size = Literal["density", "neurons_alive", "hidden_alive", "dense_size", "latency"]
SIZES: Mapping[Size, str] = {
    "density": "weights",
    "neurons_alive": "neurons alive",
    "hidden_alive": "hidden neurons alive",
    "dense_size": "weights of the dense network",
    "latency": "latency, batch of 256 (ms)",
}
"""Measures of what is left of a network, each with its name in tables and figures. Curves are stored under these keys,
but for the latency, which only ``dn compact`` measures."""

LATENCY = schema.compact_cost("after", "latency_ms_batch_256")
"""Metric: the latency of a replicate's smaller network."""
THREADS = f"{LATENCY}/threads"
"""Metric: on how many threads it was measured."""


@dataclass(frozen=True)
class Measured:
    """One seed's network at a threshold."""

    left: Mapping[Size, float]
    validation: float
    test: float


@dataclass(frozen=True)
class Point:
    """A configuration at a threshold, by seed and as means over its seeds."""

    cell_key: str
    threshold: float
    seeds: Mapping[int, Measured]

    @cached_property
    def left(self) -> Mapping[Size, float]:
        """Means of what was counted of every seed's network."""
        return {size: statistics.fmean(values) for size, values in self._left.items()}

    @cached_property
    def left_std(self) -> Mapping[Size, float | None]:
        """Sample standard deviations; None of one seed."""
        return {size: deviation(values) for size, values in self._left.items()}

    @cached_property
    def validation(self) -> float:
        """Mean validation score."""
        return statistics.fmean(measured.validation for measured in self.seeds.values())

    @cached_property
    def test(self) -> float:
        """Mean test score."""
        return statistics.fmean(measured.test for measured in self.seeds.values())

    @property
    def test_std(self) -> float | None:
        """Sample standard deviation of the test scores; None of one seed."""
        return deviation([measured.test for measured in self.seeds.values()])

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    @property
    def _left(self) -> dict[Size, list[float]]:
        every = list(self.seeds.values())
        shown: list[Size] = [size for size in SIZES if all(size in each.left for each in every)]
        return {size: [each.left[size] for each in every] for size in shown}


def points(manifest: Manifest, method: MethodResult, curves: Curves) -> list[Point]:
    """Return a method's points: each complete configuration at each threshold."""
    found = []
    for result in method.tried:
        by_seed = curves.get(result.cell.key, {})
        seeds = [row.seed for row in result.rows if row.seed in by_seed]
        if result.complete and len(seeds) == len(result.rows):
            curves_of_cell = [by_seed[seed] for seed in seeds]
            found += [
                Point(
                    result.cell.key,
                    at[0]["threshold"],
                    {seed: _measured(manifest.score, point) for seed, point in zip(seeds, at, strict=True)},
                )
                for at in zip(*curves_of_cell, strict=True)
            ]
    return found


def compacted_points(manifest: Manifest, method: MethodResult) -> list[Point]:
    """Return a method's complete configurations at their own threshold, if ``dn compact`` has made all seeds smaller.

    They have a latency besides what is counted.
    """
    return [
        Point(
            result.cell.key,
            result.cell.pruning.threshold,
            {row.seed: _compacted(manifest.score, row) for row in result.rows},
        )
        for result in method.tried
        if result.complete and all(LATENCY in row.metrics for row in result.rows)
    ]


def unlike_timings(methods: Sequence[MethodResult]) -> list[str]:
    """Return in a sentence why the latencies of these methods do not compare; none where they do as far as is known."""
    rows = [row for method in methods for result in method.tried for row in result.rows if LATENCY in row.metrics]
    threads = sorted({int(row.metrics[THREADS]) for row in rows if THREADS in row.metrics})
    processors = sorted({row.processor for row in rows} - {""})
    parts = []
    if len(threads) > 1:
        parts.append(f"on {', '.join(map(str, threads[:-1]))} and {threads[-1]} threads")
    if len(processors) > 1:
        parts.append(f"on {len(processors)} kinds of processors ({'; '.join(processors)})")
    return [f"Latencies were measured {' and '.join(parts)}: they do not compare."] if parts else []


def _compacted(score: str, row: Row) -> Measured:
    left = {size: row.metrics[LATENCY] if size == "latency" else float(getattr(row.counts, size)) for size in SIZES}
    scores = (row.metrics.get(score_names.final(split, score), math.nan) for split in ("validation", "test"))
    return Measured(left, *scores)


def _measured(score: str, point: Mapping[str, float]) -> Measured:
    left = {size: point[size] for size in SIZES if size in point}
    return Measured(left, *(point[name] for name in score_names.at_threshold(score)))


def sizes(found: Sequence[Point]) -> list[Size]:
    """Return what was counted at every point: curves of earlier versions lack some."""
    return [name for name in SIZES if found and all(name in point.left for point in found)]


class Placed(Protocol):
    """What can lie on a front: a point, or another mean of networks."""

    @property
    def left(self) -> Mapping[Size, float]:
        """By measure of size."""

    @property
    def validation(self) -> float:
        """The score that chooses."""

    @property
    def test(self) -> float:
        """The score that is reported."""


P = TypeVar("P", bound=Placed)


def has_a_place(point: Placed, size: Size) -> bool:
    """Return whether a point can lie on a front: nothing left has no logarithm, and each score must be a number."""
    return point.left[size] > 0 and math.isfinite(point.validation) and math.isfinite(point.test)


def front(found: Sequence[P], size: Size, *, higher_is_better: bool) -> list[P]:
    """Return the points that no other beats in both the size and the validation score, the smallest first.

    Points without a place are left out, see ``has_a_place``.
    """
    sign = -1.0 if higher_is_better else 1.0
    best: list[P] = []
    placed = (point for point in found if has_a_place(point, size))
    for point in sorted(placed, key=lambda p: (p.left[size], sign * p.validation)):
        if not best or sign * point.validation < sign * best[-1].validation:
            best.append(point)
    return best


def levels(found: Sequence[Point], *, higher_is_better: bool) -> list[float]:
    """Return scores to compare at: the best validation score of all, and what is a little worse."""
    scores = [point.validation for point in found if math.isfinite(point.validation)]
    if higher_is_better:
        best = max(scores)
        return [float(exact(best) - exact(worse)) for worse in (0.001, 0.0025, 0.005, 0.01, 0.02)]
    least = exact(min(scores))
    return [float(least + abs(least) * exact(worse)) for worse in (0.05, 0.1, 0.25, 0.5, 1.0)]


def smallest_within(found: Sequence[Point], size: Size, level: float, *, higher_is_better: bool) -> Point | None:
    """Return the point with least left whose validation score is at least as good as ``level``."""
    good = [p for p in found if (p.validation >= level if higher_is_better else p.validation <= level)]
    return min(good, key=lambda p: p.left[size], default=None)


@dataclass(frozen=True)
class Reading:
    """What one seed's front says at a score, on the line between two of its points."""

    left: float
    test: float
    between: tuple[Point, ...]
    """The two points; one where the smallest network of all is good enough already."""


def read_at(found: Sequence[Point], size: Size, seed: int, level: float, *, higher_is_better: bool) -> Reading | None:
    """Return what is left of a seed's network at a validation score; None where none of its points is as good.

    The line is straight for the logarithm of what is left over the score, or over the logarithm of an error.
    """
    own = of_seeds(found, [seed])
    between = around(front(own, size, higher_is_better=higher_is_better), level, higher_is_better=higher_is_better)
    return read(between, size, seed) if between is not None else None


def of_seeds(found: Sequence[Point], seeds: Collection[int]) -> list[Point]:
    """Return points as they are with these seeds alone."""
    return [Point(point.cell_key, point.threshold, {seed: point.seeds[seed] for seed in seeds}) for point in found]


@dataclass(frozen=True)
class Between(Generic[P]):
    """A place on the line between two neighbouring points of a front."""

    points: tuple[P, ...]
    """The smaller one first; one where the smallest network of all is good enough already."""
    share: float
    """How far the place is on the way from the first to the second."""
    by_logarithm: bool
    """Whether scores are errors, and lie on a line by their logarithms."""


def read(place: Between[Point], size: Size, seed: int) -> Reading | None:
    """Return what a seed's own networks of these points are at this place; None where one of them has nothing left.

    That has no logarithm, and so no place on the line.
    """
    first, last = (point.seeds[seed] for point in (place.points[0], place.points[-1]))
    if min(first.left[size], last.left[size]) <= 0:
        return None
    if len(place.points) == 1:
        return Reading(first.left[size], first.test, place.points)
    left = _between(first.left[size], last.left[size], place.share, by_logarithm=True)
    return Reading(left, _between(first.test, last.test, place.share, by_logarithm=place.by_logarithm), place.points)


def around(ordered: Sequence[P], level: float, *, higher_is_better: bool) -> Between[P] | None:
    """Return the place of a validation score on a front, smallest first; None where no point is as good."""
    good = (i for i, p in enumerate(ordered) if (p.validation >= level if higher_is_better else p.validation <= level))
    place = next(good, None)
    if place is None:
        return None
    by_logarithm, after = not higher_is_better, ordered[place]
    if place == 0:
        return Between((after,), 1.0, by_logarithm)
    before = ordered[place - 1]
    share = _share(before.validation, after.validation, level, by_logarithm=by_logarithm)
    return Between((before, after), share, by_logarithm)


def _share(first: float, last: float, at: float, *, by_logarithm: bool) -> float:
    """How far ``at`` is on the way from ``first`` to ``last``."""
    if by_logarithm and min(first, last, at) > 0:
        first, last, at = math.log(first), math.log(last), math.log(at)
    return (at - first) / (last - first)


def _between(first: float, last: float, share: float, *, by_logarithm: bool) -> float:
    if by_logarithm and min(first, last) > 0:
        return math.exp(_between(math.log(first), math.log(last), share, by_logarithm=False))
    return (1 - share) * first + share * last
