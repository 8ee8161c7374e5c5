"""Whether published figures are what one more run would give, and how many of them are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracking.results.cells import Stat
from tracking.results.inference import FEWEST_RUNS, Interval
from tracking.tables import published
from tracking.tables.columns import Column
from tracking.tables.published import Figure

Word = Literal["inside", "outside", "equal", "none"]
WORDS: Mapping[Word, str] = {
    "inside": "inside", "equal": "equal", "outside": "outside", "none": "without a verdict",
}  # fmt: skip
"""Each verdict as a reader meets it."""
Words = Counter[Word]

RULE = (
    "a published figure is one run, known to half a unit of its last printed digit; it is inside where some of that "
    "lies in the interval of one more run, and outside by the distance between the two. Where every run gives the "
    f"same, equal is said if that is the figure, or nothing. Of fewer than {FEWEST_RUNS} runs (n < {FEWEST_RUNS}) "
    "there is no verdict. Of twenty figures that reproduce, one lies outside by chance"
)
COUNT_RULE = (
    "of the published figures, totals of weights and neurons follow from those of the layers, and a compression rate "
    "from the total; the others are counted as figures of their own, though the scores before and after pruning are of "
    "one network"
)


@dataclass(frozen=True)
class Verdict:
    """What is said of one published figure."""

    word: Word
    outside_by: float = 0.0
    """Distance to the interval of one more run; negative below it."""
    one_more_run: Interval | None = None


def judge(column: Column, found: Stat | None, figure: Figure) -> Verdict:
    """Return the verdict on a published figure of a column, by the rule above. ``found``: None where it is missing."""
    if found is None:
        return Verdict("none")
    predicted = column.prediction_interval(found.values)
    if found.n < FEWEST_RUNS:
        return Verdict("none", one_more_run=predicted)
    if min(found.values) == max(found.values):
        is_equal = abs(float(found.exact_mean - figure.value)) <= figure.half_a_digit
        return Verdict("equal" if is_equal else "none")
    if predicted is None:
        return Verdict("none")
    low, high = (float(figure.value + sign * figure.half_a_digit) for sign in (-1, 1))
    outside_by = predicted.distance(low, high)
    return Verdict("outside" if outside_by else "inside", outside_by, predicted)


@dataclass(frozen=True)
class Count:
    """How many published figures have which verdict."""

    all: Words
    of_their_own: Words
    """Those that do not follow from others."""


def count(judged: Iterable[tuple[str, Verdict]]) -> Count:
    """Count verdicts, each with the key of its column."""
    every = list(judged)
    return Count(
        Counter(verdict.word for _, verdict in every),
        Counter(verdict.word for key, verdict in every if key not in published.DERIVED),
    )
