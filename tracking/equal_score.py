"""At equal score, what does each method have to keep? From the fronts of configurations and thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tracking import fronts, inference
from tracking.columns import Column
from tracking.fronts import Point, Saving
from tracking.inference import Comparison
from tracking.manifest import Manifest

RULE = (
    "at each validation score, the configuration and threshold with the fewest weights (or alive neurons) that reaches "
    "it, mean ± standard deviation over seeds; the test score of the same point stands in brackets; in the head, how "
    "many points there were to choose from: more find more, so methods with as many compare best"
)
PAIRS_RULE = (
    "at equal score, paired by seed; p corrected by Holm over all levels, savings and pairs; the points were chosen on "
    "validation data of the same seeds"
)

Grid = list[list[str]]

_KINDS: Mapping[Saving, Literal["percent", "count"]] = {
    "density": "percent",
    "neurons_alive": "count",
    "hidden_alive": "count",
}


@dataclass(frozen=True)
class EqualScore:
    """What each method keeps at several validation scores, and the comparisons of it in pairs."""

    grid: Grid = field(default_factory=list)
    """With a head; empty where no curve was measured."""
    compared: tuple[Comparison, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    """By the quantity of a comparison, how its numbers are written."""


def at_equal_score(manifest: Manifest, points: Mapping[str, Sequence[Point]]) -> EqualScore:
    """Compare the methods that have points, by method each configuration at each threshold."""
    shown = {label: found for label, found in points.items() if found}
    if not shown:
        return EqualScore()
    higher = manifest.score_higher_is_better
    sign = "≥" if higher else "≤"
    grid = [["validation score", *(f"{label} (of {len(found)})" for label, found in shown.items())]]
    compared: list[Comparison] = []
    columns = {}
    every = [point for found in shown.values() for point in found]
    for level in fronts.levels(every, higher_is_better=higher):
        for saving in fronts.savings(every):
            best = {
                label: fronts.smallest_within(found, saving, level, higher_is_better=higher)
                for label, found in shown.items()
            }
            heading = f"{manifest.score} {sign} {level:.4g}: fewest {fronts.SAVINGS[saving]}"
            grid.append([heading, *(_point(manifest, saving, point) for point in best.values())])
            columns[heading] = Column(heading, heading, lambda _: None, _KINDS[saving])
            kept = {label: point.by_seed[saving] for label, point in best.items() if point is not None}
            compared += inference.compare(heading, kept)
    return EqualScore(grid, tuple(inference.corrected(compared)), columns)


def _point(manifest: Manifest, saving: Saving, point: Point | None) -> str:
    if point is None:
        return "not reached"
    factor, decimals, unit = (100, 2, " %") if saving == "density" else (1, 1, "")
    left = f"{factor * point.left[saving]:.{decimals}f}"
    spread = point.left_std[saving]
    left += "" if spread is None else f" ± {factor * spread:.{decimals}f}"
    of_test = "" if point.test_std is None else f" ± {point.test_std:.2g}"
    return f"{left}{unit} (test {manifest.score} {point.test:.4g}{of_test})"
