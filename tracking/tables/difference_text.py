"""A difference of two methods in words: how much it is, which way, and whether it holds."""

import math

from tracking.results.inference import FEWEST_RUNS, exp
from tracking.tables import columns, number_text
from tracking.tables.columns import Column
from tracking.tables.ranking import Difference

TOO_FEW = f"no verdict of fewer than {FEWEST_RUNS} seeds"
SAME = "the same in every seed"
_DIRECTIONS = {columns.ALIVE: ("fewer", "more"), columns.DENSITY: ("fewer", "more")}
_DIRECTIONS[columns.DENSE_SIZE] = ("smaller", "larger")
"""Words for less and for more of a quantity; of the others for better and for worse."""
_TENTH, _TWICE = 0.1, 2
"""Ratios between which a change is said in per cent, else as a factor."""
_ROUNDING = 1e-12
"""Of intervals of differences that are all the same."""


def is_of_few(item: Difference | None) -> bool:
    """Return whether there are too few seeds for a verdict."""
    return item is not None and item.verdict == "too few seeds"


def said(column: Column, item: Difference | None, before: str = " (", after: str = ")") -> str:
    """Return one method less another, in words.

    ``before``, ``after``: what stands around the interval of a difference that is not shown.
    """
    if item is None:
        return "not compared"
    if is_of_few(item):
        return TOO_FEW
    if item.holds_alone:
        return f"{alone(column, item)}, {beyond_chance(item, 'not')} (n = {item.n})"
    if not item.holds:
        return f"no difference shown{before}{_around_zero(column, item)}, n = {item.n}{after}"
    amount, ends = amount_that_holds(column, item)
    return f"{amount} {_direction(column, item.amount)} ({ends})"


def alone(column: Column, item: Difference) -> str:
    """Return an interval that excludes 0 though the difference does not hold, and that it is only of this pair."""
    end_to_end = one_way(column, item)
    return end_to_end if _is_one(item) else f"{end_to_end} by the interval of this pair alone"


def one_way(column: Column, item: Difference) -> str:
    """Return an interval that excludes 0, with its direction, as ``6 to 18 points worse``."""
    direction = _direction(column, item.amount)
    if _is_one(item):
        (text,), unit = _magnitudes(column, item.is_ratio, item.amount)
        return f"{text}{unit} {direction} in every seed"
    texts, unit = _magnitudes(column, item.is_ratio, *sorted((item.low, item.high), key=abs))
    return f"{' to '.join(texts)}{unit} {direction}"


def beyond_chance(item: Difference, which: str) -> str:
    """Return that ``which`` of some differences holds, where all comparisons are counted."""
    counted = f" once all {item.num_comparisons} comparisons are counted" if item.num_comparisons > 1 else ""
    return f"{which} beyond chance{counted}"


def amount_that_holds(column: Column, item: Difference) -> tuple[str, str]:
    """Return a difference with its unit and without its sign, and the ends of its interval with the seeds."""
    (amount, *ends), unit = _magnitudes(column, item.is_ratio, item.amount, *sorted((item.low, item.high), key=abs))
    return f"{amount}{unit}", f"{SAME if _is_one(item) else ' to '.join(ends)}, n = {item.n}"


def _around_zero(column: Column, item: Difference) -> str:
    """An interval that holds 0, each end with its direction."""
    if _is_one(item):
        return SAME
    ends = [(end, _magnitudes(column, item.is_ratio, end)) for end in (item.low, item.high)]
    return " to ".join(f"{text}{unit} {_direction(column, end)}" for end, ((text,), unit) in ends)


def _magnitudes(column: Column, is_ratio: bool, *values: float) -> tuple[list[str], str]:
    """Differences without their signs, and the unit of all; that of ratios fits the first."""
    if not is_ratio:
        numbers = [abs(value) * column.scale for value in values]
        texts = [number_text.difference_in_prose(column, abs(value)) for value in values]
        texts = [
            f"{n:.1g}" if float(text) == 0 and n > _ROUNDING else text for n, text in zip(numbers, texts, strict=True)
        ]
        unit = " points" * (column.kind == "percent")
    elif not _TENTH < exp(values[0]) < _TWICE:
        numbers = [exp(abs(value)) for value in values]
        texts, unit = [f"{number:.3g}" for number in numbers], " times"
    else:
        shares = [abs(exp(value) - 1) for value in values]
        numbers = [100 * share for share in shares]
        texts, unit = [number_text.percent(share) for share in shares], " %"
    ends = number_text.told_apart(texts[-2:], numbers[-2:]) if len(texts) > 1 else texts
    return [*texts[:-2], *ends], unit


def _direction(column: Column, amount: float) -> str:
    less, more = _DIRECTIONS.get(column.key, ("better", "worse"))
    return less if (amount > 0) == bool(column.higher_is_better) else more


def _is_one(item: Difference) -> bool:
    """Whether the interval of a difference has no width but that of rounding errors: it is the same in every seed."""
    return math.isclose(item.low, item.high, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
