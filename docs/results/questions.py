"""Answers the questions of ``plans/`` from the sweeps in ``questions/``, and writes the pages there.

    dn sweep questions/NAME --report docs/results/questions
    python docs/results/questions.py

Nothing is typed in: a page is made from the rows and curves beside it, and a test holds it to them.
"""

import argparse
import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from page_parts import filled, table

from dn_distributed import score_names
from tracking import load_rows
from tracking.report.files import CURVES
from tracking.results import cross_fitting, fronts, inference, repeated_cross_fitting, threshold_curves
from tracking.results.cells import CellResult
from tracking.results.fronts import SIZES, Measured, Point, Reading, Size
from tracking.results.inference import Comparison
from tracking.results.repeated_cross_fitting import Estimate

HERE = Path(__file__).parent / "questions"
MARGIN = math.log(1.1)


Methods = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Question:
    """What a plan asks of sweeps whose rows and curves lie here, and what is to be minded of the answer."""

    name: str
    """Of the plan, and of the folder with the answer."""
    title: str
    pairs: tuple[tuple[str, str], ...]
    sizes: tuple[Size, ...]
    mind: str
    drops: tuple[float, ...] = (0.0025, 0.005, 0.01)
    """How much worse than the best validation score the levels are: points of accuracy, or a share of an error."""
    is_error: bool = False
    """Whether the score is an error, where less is better."""
    as_first_planned: bool = True
    """Whether the plan names the test that was given up after the first answer."""
    has_constant_outputs: bool = False
    """Whether many outputs become constant, which dense size leaves out and ``dn compact`` keeps."""
    searched: tuple[str, str] | None = None
    """Where a search is compared with a grid: the method, and the sweep that has the grid and the levels."""

    @property
    def folder(self) -> Path:
        """Of the sweep and of the answer."""
        return HERE / self.name

    @property
    def answer(self) -> Path:
        """The page."""
        return self.folder / "answer.md"

    def methods(self) -> Methods:
        """Return by method each complete configuration at each threshold."""
        if self.searched is None:
            return points_of(self.folder)
        method, grid = self.searched
        return {
            f"{method}, Optuna": points_of(self.folder)[method],
            f"{method}, grid": points_of(HERE / grid)[method],
        }

    def levels(self) -> "list[Level]":
        """Return the readings of every measure at every level."""
        methods = self.methods()
        return levels_of(self, methods, methods if self.searched is None else points_of(HERE / self.searched[1]))


PAIRS = (
    ("DN", "ℓ1"),
    ("ℓ1+DN", "ℓ1"),
    ("ℓ1+DN", "DN"),
    ("ℓ1+L2", "ℓ1"),
    ("L2", "ℓ1"),
    ("DN incoming", "DN outgoing"),
)
COARSE = (
    "the grids are coarse, and a score between two points of a front is read on the straight line between them, which "
    "may promise more than there is. The grids of ℓ1+DN and ℓ1+L2 hold every setting of ℓ1: where their ratio to it is "
    "above 1, that comes of the line, or of what the other half chose. Trainings are short ({epochs} epochs), without "
    "dropout and without fine-tuning."
)
EVERY_SIZE: tuple[Size, ...] = ("density", "hidden_alive", "dense_size")
QUESTIONS = (
    Question(
        "equal-score-lenet300",
        "At equal score, what does each method leave of LeNet-300-100?",
        PAIRS,
        EVERY_SIZE,
        COARSE.format(epochs=12),
    ),
    Question(
        "equal-score-fashion",
        "At equal score, what does each method leave of LeNet-300-100 on Fashion-MNIST?",
        PAIRS,
        EVERY_SIZE,
        COARSE.format(epochs=12),
    ),
    Question(
        "equal-score-autoencoder",
        "At equal error, what does each method leave of the deep autoencoder?",
        PAIRS,
        EVERY_SIZE,
        COARSE.format(epochs=25),
        drops=(0.1, 0.25, 0.5),
        is_error=True,
        as_first_planned=False,
        has_constant_outputs=True,
    ),
    Question(
        "equal-score-lenet5-caffe",
        "At equal score, what does each method leave of Caffe's LeNet-5?",
        PAIRS,
        EVERY_SIZE,
        COARSE.format(epochs=4),
        as_first_planned=False,
    ),
    Question(
        "front-lenet300",
        "Does Optuna draw a better front than a grid of the same cost?",
        (("ℓ1+DN, Optuna", "ℓ1+DN, grid"),),
        ("dense_size",),
        "both fronts are of 16 configurations with ten seeds, and a score between two points of a front is read on the "
        "straight line between them. Optuna is told means over all ten seeds, those too that report. Of its 16 the "
        "first ten are drawn at random: its sampler begins so. One search was run; another seed of the sampler may "
        "draw another front.",
        searched=("ℓ1+DN", "equal-score-lenet300"),
    ),
)


@dataclass(frozen=True)
class Level:
    """One measure of size at one score: by method what is left, and the readings by seed that the plan had."""

    size: Size
    drop: float
    estimates: Mapping[str, Estimate | None]
    planned: Mapping[str, Mapping[int, Reading]]
    num_seeds: int
    is_error: bool

    def logarithms(self) -> dict[str, dict[int, float]]:
        """Sizes in the plan's cut of the methods that every seed has a reading of, with something left."""
        return {
            method: {seed: math.log(reading.left) for seed, reading in sorted(found.items())}
            for method, found in self.planned.items()
            if len(found) == self.num_seeds and all(reading.left > 0 for reading in found.values())
        }

    @property
    def title(self) -> str:
        """As tables name it."""
        return f"{SIZES[self.size]}, {self.score}"

    @property
    def score(self) -> str:
        """As tables name the score."""
        return f"{100 * self.drop:g} {'% above the least' if self.is_error else 'points below the best'}"


def points_of(folder: Path) -> dict[str, list[Point]]:
    """Return by method each complete configuration at each threshold."""
    results = load_rows(folder / "rows.json")
    curves = threshold_curves.load(folder / CURVES, results.manifest.score)
    return {method.label: fronts.points(results.manifest, method, curves) for method in results.methods}


def points_with_outputs(folder: Path) -> dict[str, list[Point]]:
    """Return by method each complete configuration at its own threshold, by dense size with all outputs."""
    results = load_rows(folder / "rows.json")
    names = [score_names.final(split, results.manifest.score, "after_pruning") for split in ("validation", "test")]
    return {
        method.label: [_point_with_outputs(result, names) for result in method.tried if result.complete]
        for method in results.methods
    }


def _point_with_outputs(result: CellResult, scores: Sequence[str]) -> Point:
    by_seed = {
        row.seed: Measured(
            {"dense_size": row.counts.dense_size_with_outputs}, *(row.metrics[score] for score in scores)
        )
        for row in result.rows
    }
    return Point(result.cell.key, result.cell.pruning.threshold, by_seed)


@cache
def with_outputs(question: Question) -> list[tuple[Level, Comparison]]:
    """Return the comparisons of dense size where all outputs stay, corrected together, at the levels of the plan.

    At the threshold of the sweep alone: curves do not tell layers apart.
    """
    of_size = replace(question, sizes=("dense_size",))
    return compared(of_size, levels_of(of_size, points_with_outputs(question.folder), question.methods()))


def levels_of(question: Question, methods: Methods, reference: Methods) -> list[Level]:
    """Return what is left at every level. ``reference``: the methods whose best score is the top."""
    every = [point for group in (methods, reference) for found in group.values() for point in found]
    seeds = sorted(set.intersection(*(set(point.seeds) for point in every)))
    halves, higher_is_better = cross_fitting.halves(seeds), not question.is_error
    best = [cross_fitting.best_score(reference, half, higher_is_better=higher_is_better) for half in halves]
    estimates = repeated_cross_fitting.estimates(
        methods, reference, question.sizes, question.drops, higher_is_better=higher_is_better
    )
    found = []
    for (size, drop), by_method in estimates.items():
        at = [
            (half, score * (1 + drop) if question.is_error else score - drop)
            for half, score in zip(halves, best, strict=True)
        ]
        planned = {
            method: cross_fitting.read(points, size, at, higher_is_better=higher_is_better)
            for method, points in methods.items()
        }
        found.append(Level(size, drop, by_method, planned, len(seeds), question.is_error))
    return found


def compared(question: Question, levels: Sequence[Level]) -> list[tuple[Level, Comparison]]:
    """Return the family of comparisons that the plan names, corrected together."""
    family = []
    for level in levels:
        for first, second in question.pairs:
            ours, theirs = level.estimates[first], level.estimates[second]
            if ours is not None and theirs is not None:
                item = repeated_cross_fitting.compare(level.title, (first, second), ours, theirs)
                family.append((level, item))
    return _corrected(family)


def compared_as_planned(question: Question, levels: Sequence[Level]) -> list[tuple[Level, Comparison]]:
    """Return the same comparisons by the test that the plan names: paired by seed, in one cut."""
    family = []
    for level in levels:
        logarithms = level.logarithms()
        for first, second in question.pairs:
            if first in logarithms and second in logarithms:
                pair = {label: logarithms[label] for label in (first, second)}
                family += [(level, item) for item in inference.compare(level.title, pair, is_ratio=True)]
    return _corrected(family)


def _corrected(family: Sequence[tuple[Level, Comparison]]) -> list[tuple[Level, Comparison]]:
    corrected = inference.corrected([item for _, item in family])
    return [(level, item) for (level, _), item in zip(family, corrected, strict=True)]


def verdict(level: Level, item: Comparison) -> str:
    """Return what the plan's rule says of a comparison."""
    if item.holds:
        return "holds"
    first, second = level.estimates[item.first], level.estimates[item.second]
    assert first is not None
    assert second is not None
    return "equal" if repeated_cross_fitting.is_equal(first, second, MARGIN) else "not shown"


def pooled_p(values: Mapping[str, Mapping[int, float]], first: str, second: str) -> float:
    """p of the same difference by a mixed model: a mean of each method, a random effect of each seed, one variance.

    NaN where the values have no spread.
    """
    import pandas as pd
    from statsmodels.formula.api import mixedlm

    frame = pd.DataFrame(
        [(label, seed, value) for label, by_seed in values.items() for seed, value in by_seed.items()],
        columns=["method", "seed", "size"],
    )
    frame["method"] = pd.Categorical(frame["method"], [second, *(label for label in values if label != second)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a random effect may be estimated as 0
        try:
            fitted = mixedlm("size ~ method", frame, groups=frame["seed"]).fit(reml=True)
        except np.linalg.LinAlgError:
            return math.nan
    return float(fitted.pvalues[f"method[T.{first}]"])


def page(question: Question) -> str:
    """Return the answer in Markdown."""
    levels = question.levels()
    parts = (
        _head(question),
        [summary(question, levels)],
        _sizes(question, levels),
        _comparisons(question, levels),
        _with_outputs(question) if question.has_constant_outputs else (),
    )
    return "\n\n".join(text for part in parts for text in part) + "\n"


def summary(question: Question, levels: Sequence[Level]) -> str:
    """Return the verdicts of all comparisons in one table: a line a pair, a column a measure."""
    family = compared(question, levels)
    rows = []
    for pair in question.pairs:
        cells = [
            "; ".join(
                _short(level, item) for level, item in family if (item.first, item.second, level.size) == (*pair, size)
            )
            for size in question.sizes
        ]
        rows.append([" / ".join(pair), *(cell or "not reached" for cell in cells)])
    return table(["pair", *(SIZES[size] for size in question.sizes)], "-" * (1 + len(question.sizes)), rows)


def _short(level: Level, item: Comparison) -> str:
    return f"{math.exp(item.difference):.3f} {verdict(level, item)} at {100 * level.drop:g}"


def _head(question: Question) -> list[str]:
    text = (
        f"By the [plan](../../plans/{question.name}.md), which was written before the run; made from the rows and "
        "curves of this folder by `python docs/results/questions.py`.",
        _OTHERWISE if question.as_first_planned else f"The rule: {repeated_cross_fitting.RULE}.",
        f"Read it with this in mind: {question.mind}",
        "In short, what the first of a pair leaves as a share of what the second leaves, with the verdict, at so many "
        + (
            "per cent above the least validation error:"
            if question.is_error
            else "points of validation accuracy below the best:"
        ),
    )
    return [f"# {question.title}", *map(filled, text)]


_OTHERWISE = (
    "**What was done otherwise than planned.** The plan cuts the ten seeds in halves once, and tests ten readings "
    "as independent. They are not: five share what the other five chose. Tried on made data without any "
    "difference, that test finds one in about half of all trials. So what is shown here is by another rule, taken "
    f"up after the first answer had been seen: {repeated_cross_fitting.RULE}. On the same made data it finds a "
    "difference in 2 to 8 of a hundred trials (six times a hundred). What the plan's test says stands at the end."
)


def _sizes(question: Question, levels: Sequence[Level]) -> Iterator[str]:
    for size in question.sizes:
        of_size = [level for level in levels if level.size == size]
        rows = ([method, *(_cell(level, method) for level in of_size)] for method in of_size[0].estimates)
        yield f"## Fewest {SIZES[size]}"
        yield table(["method", *(level.score for level in of_size)], "-" * (1 + len(of_size)), rows)


def _cell(level: Level, method: str) -> str:
    found = level.estimates[method]
    if found is None:
        return "not reached"
    low, mean, high = (
        _number(level.size, math.exp(value)) for value in (found.interval.low, found.mean, found.interval.high)
    )
    test = f"{found.test:.4g}" if level.is_error else f"{100 * found.test:.2f} %"
    return f"{mean} ({low} to {high}); {test}"


def _number(size: Size, value: float) -> str:
    return f"{100 * value:.2f} %" if size == "density" else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"


def _comparisons(question: Question, levels: Sequence[Level]) -> Iterator[str]:
    family = compared(question, levels)
    yield f"## The {len(family)} comparisons of the family"
    yield "Ratio of geometric means, with its 95 % interval; p corrected by Holm; the verdict by the plan's rule."
    rows = ((*_ratio(level, item), verdict(level, item)) for level, item in family)
    yield table((*_RATIO, "verdict"), "--rrrr-", rows)
    if question.as_first_planned:
        yield from _as_planned(compared_as_planned(question, levels))


def _with_outputs(question: Question) -> Iterator[str]:
    family = with_outputs(question)
    yield "## Not of the plan: dense size with all outputs"
    yield filled(
        "Outputs that no weight enters are constant. Dense size leaves them out, and a method that makes pixels of the "
        "border constant gains by it; `dn compact` keeps them, for a network gives all its outputs. So here they stay, "
        "added after the answer had been seen: the same rule, the same levels, at the threshold of the sweep alone, "
        "since curves do not tell layers apart, and p corrected by Holm over these comparisons."
    )
    yield table(
        (*_RATIO, "verdict"), "--rrrr-", [(*_ratio(level, item), verdict(level, item)) for level, item in family]
    )


_RATIO = ("quantity", "pair", "ratio", "95 % interval", "p", "p (Holm)")


def _ratio(level: Level, item: Comparison) -> tuple[str, ...]:
    low, ratio, high = (f"{math.exp(value):.3g}" for value in (item.interval.low, item.difference, item.interval.high))
    pair = f"{item.first} / {item.second}"
    return (level.title, pair, ratio, f"{low} to {high}", f"{item.p:.2g}", f"{item.p_corrected:.2g}")


def _as_planned(family: Sequence[tuple[Level, Comparison]]) -> Iterator[str]:
    yield f"## The same by the test of the plan: {sum(item.holds for _, item in family)} of {len(family)} would hold"
    yield (
        "Paired t test over ten seeds in one cut, and p corrected by Holm; beside it p of Welch's test, p with the "
        "variance pooled over the methods (mixed model), and the correlation of the pairs, uncorrected. All of them "
        "take seeds that share a choice as independent: p and intervals are too small."
    )
    rows = []
    for level, item in family:
        values = level.logarithms()
        first, second = (list(values[label].values()) for label in (item.first, item.second))
        welch, pooled = (
            scipy.stats.ttest_ind(first, second, equal_var=False).pvalue,
            pooled_p(values, item.first, item.second),
        )
        rows.append((*_ratio(level, item), f"{welch:.2g}", f"{pooled:.2g}", f"{_correlation(first, second):.2f}"))
    yield table((*_RATIO, "p, Welch", "p, pooled", "correlation"), "--rrrrrrr", rows)


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


def answered() -> list[Question]:
    """Return the questions whose sweeps were run."""
    return [question for question in QUESTIONS if (question.folder / "rows.json").exists()]


def main() -> None:
    """Shorten the curves and write the pages of the sweeps that are there."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for question in answered():
        _shorten_curves(question.folder)
        question.answer.write_text(page(question), encoding="utf-8")


if __name__ == "__main__":
    main()
