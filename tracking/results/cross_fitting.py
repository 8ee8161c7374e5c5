"""At equal score, with seeds that choose and others that report: what is reported was not picked by itself."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tracking.results import fronts
from tracking.results.fronts import Point, Reading, Size

RULE = (
    "the seeds are cut into two halves; one half's mean validation scores and sizes make a front and the place on it "
    "at a score, and each seed of the other half is read there, off its own two networks; then they change places"
)


def halves(seeds: Collection[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds in two halves, the smaller ones first; of an odd number the first half has one less."""
    ordered = sorted(seeds)
    middle = len(ordered) // 2
    return tuple(ordered[:middle]), tuple(ordered[middle:])


def best_score(methods: Mapping[str, Sequence[Point]], seeds: Collection[int], *, higher_is_better: bool) -> float:
    """Return the best mean validation score that seeds reach with any point of any method."""
    scores = (point.validation for found in methods.values() for point in fronts.of_seeds(found, seeds))
    every = [score for score in scores if math.isfinite(score)]
    return max(every) if higher_is_better else min(every)


def read(
    found: Sequence[Point], size: Size, levels: Sequence[tuple[Collection[int], float]], *, higher_is_better: bool
) -> dict[int, Reading]:
    """Return by seed what a method leaves at a score, where the other seeds chose.

    ``levels``: the halves, each with the score that it chooses at. A half that does not reach it chooses nothing, and
    the seeds of the other are left out, and so is a seed of whose own networks there one has nothing left.
    """
    whole = {(point.cell_key, point.threshold): point for point in found}
    readings: dict[int, Reading] = {}
    for choosing, level in levels:
        ordered = fronts.front(fronts.of_seeds(found, choosing), size, higher_is_better=higher_is_better)
        place = fronts.around(ordered, level, higher_is_better=higher_is_better)
        if place is not None:
            points = tuple(whole[point.cell_key, point.threshold] for point in place.points)
            others = [seed for half, _ in levels if half != choosing for seed in half]
            read_off = {seed: fronts.read(replace(place, points=points), size, seed) for seed in others}
            readings |= {seed: reading for seed, reading in read_off.items() if reading is not None}
    return readings
