"""Answers the questions of ``plans/`` from the sweeps in ``questions/``, and writes the pages there.

    dn sweep questions/equal-score-lenet300 --report docs/results/questions
    python docs/results/questions.py

Nothing is typed in: a page is made from the rows and curves beside it, and a test holds it to them.
"""

import argparse
import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import scipy

from dn_distributed import score_names
from tracking import load_rows
from tracking.report.files import CURVES
from tracking.results import cross_fitting, fronts, inference, threshold_curves
from tracking.results.fronts import SIZES, Point, Reading, Size
from tracking.results.inference import Comparison

HERE = Path(__file__).parent / "questions"
FOLDER = HERE / "equal-score-lenet300"
PAGE = FOLDER / "answer.md"

DROPS = (0.0025, 0.005, 0.01)
SIZES_READ: tuple[Size, ...] = ("density", "hidden_alive", "dense_size")
PAIRS = (
    ("DN", "ℓ1"),
    ("ℓ1+DN", "ℓ1"),
    ("ℓ1+DN", "DN"),
    ("ℓ1+L2", "ℓ1"),
    ("L2", "ℓ1"),
    ("DN incoming", "DN outgoing"),
)
MARGIN = math.log(1.1)


@dataclass(frozen=True)
class Level:
    """One measure of size at one score: by method the readings by seed."""

    size: Size
    drop: float
    readings: Mapping[str, Mapping[int, Reading]]
    num_seeds: int

    def complete(self, method: str) -> bool:
        """Whether every seed has a reading."""
        return len(self.readings[method]) == self.num_seeds

    def logarithms(self) -> dict[str, dict[int, float]]:
        """Sizes of the methods that every seed has a reading of."""
        return {
            method: {seed: math.log(reading.left) for seed, reading in sorted(found.items())}
            for method, found in self.readings.items()
            if self.complete(method)
        }

    @property
    def title(self) -> str:
        """As tables name it."""
        return f"{SIZES[self.size]}, {100 * self.drop:g} points below the best"


def points_of(folder: Path) -> dict[str, list[Point]]:
    """Return by method each complete configuration at each threshold."""
    results = load_rows(folder / "rows.json")
    curves = threshold_curves.load(folder / CURVES, results.manifest.score)
    return {method.label: fronts.points(results.manifest, method, curves) for method in results.methods}


def levels_of(methods: Mapping[str, Sequence[Point]]) -> list[Level]:
    """Return the readings of every measure at every level."""
    seeds = sorted(set.intersection(*(set(point.seeds) for found in methods.values() for point in found)))
    halves = cross_fitting.halves(seeds)
    best = [cross_fitting.best_score(methods, half, higher_is_better=True) for half in halves]
    found = []
    for size in SIZES_READ:
        for drop in DROPS:
            at = [(half, score - drop) for half, score in zip(halves, best, strict=True)]
            readings = {
                method: cross_fitting.read(points, size, at, higher_is_better=True)
                for method, points in methods.items()
            }
            found.append(Level(size, drop, readings, len(seeds)))
    return found


def compared(levels: Sequence[Level]) -> list[tuple[Level, Comparison]]:
    """Return the family of comparisons that the plan names, corrected together."""
    family = []
    for level in levels:
        logarithms = level.logarithms()
        for first, second in PAIRS:
            if first in logarithms and second in logarithms:
                pair = {label: logarithms[label] for label in (first, second)}
                family += [(level, item) for item in inference.compare(level.title, pair, is_ratio=True)]
    corrected = inference.corrected([item for _, item in family])
    return [(level, item) for (level, _), item in zip(family, corrected, strict=True)]


def verdict(item: Comparison, values: Mapping[str, Mapping[int, float]]) -> str:
    """Return what the plan's rule says of a comparison."""
    if item.holds:
        return "holds"
    differences = [values[item.first][seed] - values[item.second][seed] for seed in values[item.first]]
    half = scipy.stats.t.ppf(0.95, item.n - 1) * statistics.stdev(differences) / math.sqrt(item.n)
    mean = statistics.fmean(differences)
    return "equal" if abs(mean) + half < MARGIN else "not shown"


def pooled_p(values: Mapping[str, Mapping[int, float]], first: str, second: str) -> float:
    """p of the same difference by a mixed model: a mean of each method, a random effect of each seed, one variance."""
    import pandas as pd
    from statsmodels.formula.api import mixedlm

    frame = pd.DataFrame(
        [(label, seed, value) for label, by_seed in values.items() for seed, value in by_seed.items()],
        columns=["method", "seed", "size"],
    )
    frame["method"] = pd.Categorical(frame["method"], [second, *(label for label in values if label != second)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a random effect may be estimated as 0
        fitted = mixedlm("size ~ method", frame, groups=frame["seed"]).fit(reml=True)
    return float(fitted.pvalues[f"method[T.{first}]"])


def page(methods: Mapping[str, Sequence[Point]]) -> str:
    """Return the answer in Markdown."""
    levels = levels_of(methods)
    return "\n".join([*_head(), *summary(levels), "", *_sizes(levels), *_comparisons(levels)]) + "\n"


def summary(levels: Sequence[Level]) -> list[str]:
    """Return the verdicts of all comparisons in one table: a line a pair, a column a measure."""
    family = compared(levels)
    lines = [
        f"| {' | '.join(['pair', *(SIZES[size] for size in SIZES_READ)])} |",
        "| --- |" + " --- |" * len(SIZES_READ),
    ]
    for pair in PAIRS:
        cells = [
            "; ".join(
                _short(level, item) for level, item in family if (item.first, item.second, level.size) == (*pair, size)
            )
            for size in SIZES_READ
        ]
        lines.append(f"| {' / '.join(pair)} | {' | '.join(cell or 'not reached' for cell in cells)} |")
    return lines


def _short(level: Level, item: Comparison) -> str:
    return f"{math.exp(item.difference):.3f} {verdict(item, level.logarithms())} at {100 * level.drop:g}"


def _head() -> list[str]:
    return [
        "# At equal score, what does each method leave of LeNet-300-100?",
        "",
        "By the [plan](../../plans/equal-score-lenet300.md), which was written before the run; made from the rows and",
        "curves of this folder by `python docs/results/questions.py`. Geometric mean of ten seeds, each read where the",
        "other five chose, and in brackets its 95 % interval; then the mean test accuracy of the same networks.",
        "",
        "Read it with this in mind: the grids are coarse, and a score between two points of a front is read on the",
        "straight line between them, which may promise more than there is. The grids of ℓ1+DN and ℓ1+L2 hold every",
        "setting of ℓ1: where their ratio to it is above 1, that comes of the line, or of what the other half",
        "chose. A verdict says that ten seeds agree on the reading, not that it is large. Trainings are short (12",
        "epochs), without dropout and without fine-tuning.",
        "",
        "In short, what the first of a pair leaves as a share of what the second leaves, with the verdict, at so many",
        "points of validation accuracy below the best:",
        "",
    ]


def _sizes(levels: Sequence[Level]) -> Iterator[str]:
    for size in SIZES_READ:
        of_size = [level for level in levels if level.size == size]
        yield f"## Fewest {SIZES[size]}"
        yield ""
        yield f"| method | {' | '.join(f'{100 * level.drop:g} points below the best' for level in of_size)} |"
        yield f"| --- |{' --- |' * len(of_size)}"
        for method in of_size[0].readings:
            yield f"| {method} | {' | '.join(_cell(level, method) for level in of_size)} |"
        yield ""


def _cell(level: Level, method: str) -> str:
    found = level.readings[method]
    if not level.complete(method):
        return f"not reached ({len(found)} of {level.num_seeds} seeds)" if found else "not reached"
    left = [reading.left for reading in found.values()]
    interval = inference.mean_interval(left)
    assert interval is not None
    low, mean, high = (_number(level.size, value) for value in (interval.low, _geometric(left), interval.high))
    accuracy = statistics.fmean(reading.test for reading in found.values())
    return f"{mean} ({low} to {high}); {100 * accuracy:.2f} %"


def _geometric(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _number(size: Size, value: float) -> str:
    return f"{100 * value:.2f} %" if size == "density" else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"


def _comparisons(levels: Sequence[Level]) -> Iterator[str]:
    family = compared(levels)
    yield f"## The {len(family)} comparisons of the family"
    yield ""
    yield (
        "Ratio of geometric means, paired by seed, with its 95 % interval; p of the paired t test, corrected by Holm; "
        "the verdict by the plan. Beside it: p of Welch's test, p with the variance pooled over the methods (mixed "
        "model), and the correlation of the pairs, all three uncorrected."
    )
    yield ""
    yield "| quantity | pair | ratio | 95 % interval | p | p (Holm) | verdict | p, Welch | p, pooled | correlation |"
    yield "| --- | --- | --: | --: | --: | --: | --- | --: | --: | --: |"
    for level, item in family:
        values = level.logarithms()
        first, second = (list(values[label].values()) for label in (item.first, item.second))
        interval = f"{math.exp(item.interval.low):.3g} to {math.exp(item.interval.high):.3g}"
        yield (
            f"| {level.title} | {item.first} / {item.second} | {math.exp(item.difference):.3g} | {interval} "
            f"| {item.p:.2g} | {item.p_corrected:.2g} | {verdict(item, values)} "
            f"| {scipy.stats.ttest_ind(first, second, equal_var=False).pvalue:.2g} "
            f"| {pooled_p(values, item.first, item.second):.2g} | {_correlation(first, second):.2f} |"
        )


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    return statistics.correlation(first, second) if min(map(statistics.stdev, (first, second))) else math.nan


def _shorten_curves(folder: Path) -> None:
    """Leave of the curves what is read of them: whole, those of three hundred replicates are over a megabyte."""
    score = load_rows(folder / "rows.json").manifest.score
    curves = threshold_curves.load(folder / CURVES, score)
    read = {"threshold", *SIZES, *score_names.at_threshold(score)}
    shorter = {
        key: {
            seed: [{name: point[name] for name in point if name in read} for point in curve]
            for seed, curve in by_seed.items()
        }
        for key, by_seed in curves.items()
    }
    (folder / CURVES).write_text(threshold_curves.as_json(shorter), encoding="utf-8")


def main() -> None:
    """Shorten the curves and write the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    _shorten_curves(FOLDER)
    PAGE.write_text(page(points_of(FOLDER)), encoding="utf-8")


if __name__ == "__main__":
    main()
