"""At equal score, what does each method leave? Numbers from the fronts of configurations and thresholds."""

import itertools
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from dn_distributed.config import Cell
from tracking.manifest import Manifest
from tracking.results import cells, fronts, inference
from tracking.results.fronts import Point, Size
from tracking.results.inference import Comparison

RULE = (
    "at equal score: off each seed's own front, the configurations and thresholds that no other beats in both the "
    "validation score and what is left, on the straight line between the two points around the score (logarithm of "
    "what is left; of an error too); mean ± standard deviation over seeds; in brackets the test score off the same "
    "line, which no point was picked by; in the head, how many points there were to choose from: more find more, so "
    "methods with as many compare best; edge: one of the points has the smallest or largest coefficient, or the "
    "largest threshold, that was tried, and beyond it there may be better ones"
)
STEPS_RULE = (
    "at equal score, by steps: the one configuration and threshold for all seeds that leaves least and whose mean "
    "validation score is at least as good; it may be much better, so the steps of the grid are part of the difference"
)
PAIRS_RULE = (
    "at equal score, in pairs: the readings off the seeds' fronts, paired by seed, as ratios of geometric means; p by "
    "the paired t test of their logarithms, corrected by Holm over all levels, savings and pairs; the fronts were "
    "found on validation data of the same seeds"
)


@dataclass(frozen=True)
class Left:
    """What a method leaves at a score."""

    left: Mapping[int, float]
    """By seed that reaches the score: a density, or a count of neurons."""
    test: Mapping[int, float]
    """The test scores of the same seeds."""
    num_seeds: int
    edges: tuple[str, ...]
    """What of it lies at an edge of what was tried, as ``l1 largest``."""

    @property
    def is_complete(self) -> bool:
        """Whether every seed reaches the score."""
        return len(self.left) == self.num_seeds

    @property
    def mean_test(self) -> float:
        """Mean test score."""
        return statistics.fmean(self.test.values())


_NOT_REACHED = Left({}, {}, 0, ())


@dataclass(frozen=True)
class Level:
    """A validation score that methods are compared at, and what they leave by one measure of size."""

    quantity: str
    """What it is called, as ``accuracy ≥ 0.98: fewest weights``."""
    size: Size
    on_fronts: Mapping[str, Left]
    """By method, read off each seed's front."""
    by_steps: Mapping[str, Left]
    """By method, the same without a line between the points."""


@dataclass(frozen=True)
class Exactness:
    """How well validation accuracy tells levels apart: shares of 1."""

    num_samples: int
    """At least so many validation samples there are."""
    is_all: bool
    """Whether there are no more: images that a task holds out, as many as it asks for."""
    best: float
    """The highest level: a little below the best accuracy."""
    standard_error: float
    """Of an accuracy at that level, binomial; of more samples it is smaller."""
    nearest: float
    furthest: float
    """The smallest and the largest distance between neighbouring levels."""


@dataclass(frozen=True)
class EqualScore:
    """What each method leaves at several validation scores, and the comparisons of it in pairs."""

    score: str = ""
    num_points: Mapping[str, int] = field(default_factory=dict)
    """By method, how many points there were to choose from."""
    levels: tuple[Level, ...] = ()
    """Empty where no curve was measured."""
    compared: tuple[Comparison, ...] = ()
    exactness: Exactness | None = None
    """None of errors: nothing is known of them but their spread over seeds."""
    tested_otherwise: tuple[str, ...] = ()
    """Methods whose test scores in the table leave dropout on: here it is off."""


@dataclass(frozen=True)
class _Method:
    """The points of a method, and what was tried to find them."""

    points: Sequence[Point]
    tried: Sequence[Cell]
    higher_is_better: bool

    @property
    def seeds(self) -> list[int]:
        """Those that every point was measured with."""
        return sorted(set.intersection(*(set(point.seeds) for point in self.points)))

    def on_fronts(self, size: Size, score: float) -> Left:
        """Return what is left at a validation score, each seed off its own front."""
        higher = self.higher_is_better
        read = {seed: fronts.read_at(self.points, size, seed, score, higher_is_better=higher) for seed in self.seeds}
        reached = {seed: reading for seed, reading in read.items() if reading is not None}
        edges = self._edges(point for reading in reached.values() for point in reading.between)
        edges += ["nothing smaller tried"] * any(len(reading.between) == 1 for reading in reached.values())
        left, test = ({seed: getattr(reading, name) for seed, reading in reached.items()} for name in ("left", "test"))
        return Left(left, test, len(read), tuple(edges))

    def by_steps(self, size: Size, score: float) -> Left:
        """Return what the smallest point leaves whose mean validation score is as good."""
        point = fronts.smallest_within(self.points, size, score, higher_is_better=self.higher_is_better)
        if point is None:
            return _NOT_REACHED
        left = {seed: measured.left[size] for seed, measured in point.seeds.items()}
        test = {seed: measured.test for seed, measured in point.seeds.items()}
        return Left(left, test, len(left), tuple(self._edges([point])))

    def _edges(self, points: Iterable[Point]) -> list[str]:
        """What lies at an edge of what was tried, as ``l1 largest``."""
        keys, largest = [cell.key for cell in self.tried], max(point.threshold for point in self.points)
        found = []
        for point in points:
            for name, values in cells.coefficients(self.tried).items():
                where = cells.edge(values[keys.index(point.cell_key)], values)
                found += [f"{name} {where}"] * bool(where)
            found += ["threshold largest"] * (point.threshold == largest > 0)
        return sorted(set(found))


def at_equal_score(
    manifest: Manifest, points: Mapping[str, Sequence[Point]], to_run: Collection[str] = ()
) -> EqualScore:
    """Compare the methods that have points, by method each configuration at each threshold.

    Methods that are the same networks are one, as ``first = second``. ``to_run``: keys of cells that are still to run;
    they are none of those that were tried.
    """
    tried = {method.label: [c for c in method.cells if c.key not in to_run] for method in manifest.methods}
    higher = manifest.score_higher_is_better
    methods = _each_once({label: _Method(found, tried[label], higher) for label, found in points.items() if found})
    if not methods:
        return EqualScore()
    every = [point for method in methods.values() for point in method.points]
    scores = fronts.levels(every, higher_is_better=higher)
    levels = tuple(_level(manifest, methods, size, score) for score in scores for size in fronts.sizes(every))
    compared = [inference.compare(level.quantity, _logarithms(level.on_fronts), is_ratio=True) for level in levels]
    return EqualScore(
        manifest.score,
        {label: len(method.points) for label, method in methods.items()},
        levels,
        tuple(inference.corrected(list(itertools.chain(*compared)))),
        _exactness(manifest, every, scores) if manifest.score == "accuracy" else None,
        tuple(method.label for method in manifest.methods if method.dropout_at_test and points.get(method.label)),
    )


def _each_once(methods: Mapping[str, _Method]) -> dict[str, _Method]:
    """The methods, those with the same configurations and points as one: they differ in how they are tested alone."""
    labels: list[list[str]] = []
    for label, method in methods.items():
        same = next((found for found in labels if _are_same(methods[found[0]], method)), None)
        if same is None:
            labels.append([label])
        else:
            same.append(label)
    return {" = ".join(found): methods[found[0]] for found in labels}


def _are_same(one: _Method, other: _Method) -> bool:
    keys = ([cell.key for cell in method.tried] for method in (one, other))
    return list(one.points) == list(other.points) and next(keys) == next(keys)


def _level(manifest: Manifest, methods: Mapping[str, _Method], size: Size, score: float) -> Level:
    sign = "≥" if manifest.score_higher_is_better else "≤"
    return Level(
        f"{manifest.score} {sign} {score:.4g}: fewest {fronts.SIZES[size]}",
        size,
        {label: method.on_fronts(size, score) for label, method in methods.items()},
        {label: method.by_steps(size, score) for label, method in methods.items()},
    )


def _logarithms(found: Mapping[str, Left]) -> dict[str, dict[int, float]]:
    """Of the methods that reach the score with every seed: with some, the lucky ones would be compared."""
    return {
        label: {seed: math.log(left) for seed, left in each.left.items()}
        for label, each in found.items()
        if each.is_complete
    }


def _exactness(manifest: Manifest, points: Sequence[Point], levels: Sequence[float]) -> Exactness:
    samples, best = _fewest_samples(points), max(levels)
    apart = [abs(first - second) for first, second in itertools.pairwise(levels)]
    asked = {cell.task.get("validation_size") for method in manifest.methods for cell in method.cells}
    error = math.sqrt(best * (1 - best) / samples)
    return Exactness(samples, asked == {samples}, best, error, min(apart), max(apart))


def _fewest_samples(points: Sequence[Point]) -> int:
    """The least number that accuracies can be shares of: there may be a multiple of it."""
    shares = {measured.validation for point in points for measured in point.seeds.values()}
    return math.lcm(*(Fraction(share).limit_denominator(1_000_000).denominator for share in shares))
