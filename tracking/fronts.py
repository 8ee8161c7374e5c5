"""At equal score, which method leaves fewer weights or neurons? Fronts over configurations and thresholds.

Points are chosen on validation data; what is shown of them is measured on test data.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracking import runs, schema
from tracking.cells import MethodResult, deviation
from tracking.manifest import Manifest
from tracking.store import StoreLocation

Saving = Literal["density", "neurons_alive", "hidden_alive"]
SAVINGS: Mapping[Saving, str] = {
    "density": "weights",
    "neurons_alive": "neurons alive",
    "hidden_alive": "hidden neurons alive",
}
"""What may be left of a network, in the words of tables and figures."""
Curve = Sequence[Mapping[str, float]]
"""A trained replicate at several thresholds, as ``training.Outcome.curve``."""
Curves = Mapping[str, Mapping[int, Curve]]
"""By cell key and seed."""


@dataclass(frozen=True)
class Point:
    """A configuration at a threshold: means over its seeds."""

    cell_key: str
    threshold: float
    left: Mapping[Saving, float]
    left_std: Mapping[Saving, float | None]
    """None of one seed."""
    validation: float
    test: float
    test_std: float | None
    n: int
    by_seed: Mapping[Saving, Mapping[int, float]] = field(default_factory=dict)
    """What is left of each seed's network."""


def read(location: StoreLocation, methods: Sequence[MethodResult]) -> Curves:
    """Return the curves of every replicate that has one."""
    measured = [
        result
        for method in methods
        for result in method.tried
        if result.cell.pruning.curve and not result.cell.baseline
    ]
    rows = {row.run_id: row for result in measured for row in result.rows}
    found: dict[str, dict[int, Curve]] = {result.cell.key: {} for result in measured}
    files = runs.download_each(location, list(rows), schema.CURVE_FILE)
    for row, file in zip(rows.values(), files, strict=True):
        found[row.cell_key][row.seed] = json.loads(file.read_text())
    return found


def points(manifest: Manifest, method: MethodResult, curves: Curves) -> list[Point]:
    """Return a method's points: each complete configuration at each threshold."""
    found = []
    for result in method.tried:
        by_seed = curves.get(result.cell.key, {})
        if result.complete and by_seed:
            seeds = list(by_seed)
            found += [_point(manifest.score, result.cell.key, seeds, at) for at in zip(*by_seed.values(), strict=True)]
    return found


def _point(score: str, cell_key: str, seeds: Sequence[int], at: Sequence[Mapping[str, float]]) -> Point:
    def values(name: str) -> list[float]:
        return [point[name] for point in at]

    left = {name: values(name) for name in SAVINGS if all(name in point for point in at)}
    tests = values(f"test/{score}")
    return Point(
        cell_key=cell_key,
        threshold=at[0]["threshold"],
        left={name: statistics.fmean(found) for name, found in left.items()},
        left_std={name: deviation(found) for name, found in left.items()},
        validation=statistics.fmean(values(f"validation/{score}")),
        test=statistics.fmean(tests),
        test_std=deviation(tests),
        n=len(tests),
        by_seed={name: dict(zip(seeds, found, strict=True)) for name, found in left.items()},
    )


def savings(found: Sequence[Point]) -> list[Saving]:
    """Return what was counted at every point: curves of an earlier version lack the hidden neurons."""
    return [name for name in SAVINGS if found and all(name in point.left for point in found)]


def front(found: Sequence[Point], saving: Saving, *, higher_is_better: bool) -> list[Point]:
    """Return the points that no other beats in both the saving and the validation score, the smallest first."""
    sign = -1.0 if higher_is_better else 1.0
    kept: list[Point] = []
    for point in sorted(found, key=lambda p: (p.left[saving], sign * p.validation)):
        if not kept or sign * point.validation < sign * kept[-1].validation:
            kept.append(point)
    return kept


def levels(found: Sequence[Point], *, higher_is_better: bool) -> list[float]:
    """Return scores to compare at: the best validation score of all, and what is a little worse."""
    if higher_is_better:
        best = max(point.validation for point in found)
        return [best - worse for worse in (0.001, 0.0025, 0.005, 0.01, 0.02)]
    best = min(point.validation for point in found)
    return [best * worse for worse in (1.05, 1.1, 1.25, 1.5, 2.0)]


def as_json(curves: Curves) -> str:
    """Return the curves as they are shipped beside the rows."""
    return json.dumps(curves, indent=None, separators=(",", ":"), sort_keys=True) + "\n"


def load(path: Path) -> Curves:
    """Read what ``as_json`` wrote; empty where there is no such file."""
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return {cell: {int(seed): curve for seed, curve in by_seed.items()} for cell, by_seed in value.items()}


def smallest_within(found: Sequence[Point], saving: Saving, level: float, *, higher_is_better: bool) -> Point | None:
    """Return the point with the largest saving whose validation score is at least as good as ``level``."""
    good = [p for p in found if (p.validation >= level if higher_is_better else p.validation <= level)]
    return min(good, key=lambda p: p.left[saving], default=None)
