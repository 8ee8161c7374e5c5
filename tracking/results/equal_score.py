"""At equal score, what does each method have to keep? From the fronts of configurations and thresholds."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from dn_distributed.config import Cell
from tracking.manifest import Manifest
from tracking.results import cells, fronts, inference, rounding
from tracking.results.cells import deviation
from tracking.results.fronts import Point, Reading, Saving
from tracking.results.inference import Comparison
from tracking.results.rounding import fixed

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

Grid = list[list[str]]


@dataclass(frozen=True)
class EqualScore:
    """What each method keeps at several validation scores, and the comparisons of it in pairs."""

    grid: Grid = field(default_factory=list)
    """With a head; empty where no curve was measured."""
    by_steps: Grid = field(default_factory=list)
    """The same without a line between the points."""
    compared: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Method:
    """The points of a method, and what was tried to find them."""

    points: Sequence[Point]
    tried: Sequence[Cell]

    @property
    def seeds(self) -> list[int]:
        """Those that every point was measured with."""
        return sorted(set.intersection(*(set(point.seeds) for point in self.points)))

    def edges(self, points: Iterable[Point]) -> list[str]:
        """What lies at an edge of what was tried, as ``l1 largest``."""
        keys, largest = [cell.key for cell in self.tried], max(point.threshold for point in self.points)
        found = []
        for point in points:
            for name, values in cells.coefficients(self.tried).items():
                where = cells.edge(values[keys.index(point.cell_key)], values)
                found += [f"{name} {where}"] * bool(where)
            found += ["threshold largest"] * (point.threshold == largest > 0)
        return sorted(set(found))


def at_equal_score(manifest: Manifest, points: Mapping[str, Sequence[Point]]) -> EqualScore:
    """Compare the methods that have points, by method each configuration at each threshold."""
    tried = {method.label: method.cells for method in manifest.methods}
    methods = {label: _Method(found, tried[label]) for label, found in points.items() if found}
    if not methods:
        return EqualScore()
    every = [point for method in methods.values() for point in method.points]
    levels = fronts.levels(every, higher_is_better=manifest.score_higher_is_better)
    head = ["validation score", *(f"{label} (of {len(method.points)})" for label, method in methods.items())]
    grid, by_steps = [head], [head]
    compared: list[Comparison] = []
    for level in levels:
        for saving in fronts.savings(every):
            read = {label: _read(manifest, method, saving, level) for label, method in methods.items()}
            sign = "≥" if manifest.score_higher_is_better else "≤"
            heading = f"{manifest.score} {sign} {level:.4g}: fewest {fronts.SAVINGS[saving]}"
            grid.append([heading, *(_reading(manifest, saving, methods[label], read[label]) for label in methods)])
            by_steps.append([heading, *(_step(manifest, saving, method, level) for method in methods.values())])
            compared += inference.compare(heading, _logarithms(read), is_ratio=True)
    return EqualScore(grid, by_steps, tuple(inference.corrected(compared)), tuple(_notes(manifest, every, levels)))


_Read = Mapping[int, Reading | None]
"""By seed; None where its front does not reach the score."""


def _read(manifest: Manifest, method: _Method, saving: Saving, level: float) -> _Read:
    higher = manifest.score_higher_is_better
    return {seed: fronts.read_at(method.points, saving, seed, level, higher_is_better=higher) for seed in method.seeds}


def _logarithms(read: Mapping[str, _Read]) -> dict[str, dict[int, float]]:
    """Of the methods that reach the score with every seed: with some, the lucky ones would be compared."""
    found = {}
    for label, by_seed in read.items():
        reached = {seed: math.log(reading.left) for seed, reading in by_seed.items() if reading is not None}
        if len(reached) == len(by_seed):
            found[label] = reached
    return found


def _reading(manifest: Manifest, saving: Saving, method: _Method, read: _Read) -> str:
    reached = [reading for reading in read.values() if reading is not None]
    if not reached:
        return "not reached"
    if len(reached) < len(read):
        return f"reached by {len(reached)} of {len(read)} seeds"
    lefts, tests = [reading.left for reading in reached], [reading.test for reading in reached]
    edges = method.edges(point for reading in reached for point in reading.between)
    edges += ["nothing smaller tried"] * any(len(reading.between) == 1 for reading in reached)
    return _cell(manifest, saving, lefts, tests, edges)


def _step(manifest: Manifest, saving: Saving, method: _Method, level: float) -> str:
    higher = manifest.score_higher_is_better
    point = fronts.smallest_within(method.points, saving, level, higher_is_better=higher)
    if point is None:
        return "not reached"
    seeds = list(point.seeds.values())
    return _cell(
        manifest, saving, [seed.left[saving] for seed in seeds], [seed.test for seed in seeds], method.edges([point])
    )


def _cell(
    manifest: Manifest, saving: Saving, lefts: Sequence[float], tests: Sequence[float], edges: Sequence[str]
) -> str:
    factor, decimals, unit = (100, 2, " %") if saving == "density" else (1, 1, "")
    left = fixed(factor * rounding.mean(lefts), decimals)
    test = f"{statistics.fmean(tests):.4g}"
    if (spread := deviation(lefts)) is not None:
        left += f" ± {fixed(factor * spread, decimals)}"
    if (spread := deviation(tests)) is not None:
        test += f" ± {spread:.2g}"
    edge = f"; edge: {', '.join(edges)}" * bool(edges)
    return f"{left}{unit} (test {manifest.score} {test}{edge})"


def _notes(manifest: Manifest, points: Sequence[Point], levels: Sequence[float]) -> list[str]:
    """How well validation accuracy tells levels apart; of errors nothing is known but their spread over seeds."""
    if manifest.score != "accuracy":
        return []
    images, best = _images(points), max(levels)
    error = 100 * math.sqrt(best * (1 - best) / images)
    apart = [100 * abs(first - second) for first, second in itertools.pairwise(levels)]
    return [
        f"At equal score: validation accuracy is that of {images} images, the same for every seed; its standard error "
        f"at {100 * best:.2f} % is {error:.2f} points, and the levels lie {min(apart):.2f} to {max(apart):.2f} points "
        "apart."
    ]


def _images(points: Sequence[Point]) -> int:
    """How many images accuracies are shares of: the least number that all of them are multiples of one over."""
    shares = {measured.validation for point in points for measured in point.seeds.values()}
    return math.lcm(*(Fraction(share).limit_denominator(1_000_000).denominator for share in shares))
