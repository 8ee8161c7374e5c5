"""A table's numbers as text: here it is decided how many digits each has, and nowhere else."""

import math
from collections.abc import Iterable, Sequence

from tracking.results.cells import Stat
from tracking.results.inference import FEWEST_RUNS, Interval, exp
from tracking.results.rounding import Number, exact, fixed
from tracking.tables.columns import Column
from tracking.tables.published import Figure
from tracking.tables.table import TableRow

MISSING = "—"
TOO_FEW = f"n < {FEWEST_RUNS}"
"""In place of a verdict of fewer."""
_MOST_DECIMALS = 16


def number(column: Column, value: Number, *, beside: Number | None = None, signed: bool = False) -> str:
    """Return a value of a column. ``signed``: it is a difference.

    ``beside``: the mean that a deviation or a difference belongs to; it is given as many decimals.
    """
    sign = "+" if signed else ""
    if not math.isfinite(value):
        return f"{float(value):{sign}}"
    decimals = _decimals(column, value, beside)
    if decimals is None:
        return f"{float(value):{sign}.2e}" if value else "0"
    return fixed(exact(value) * 10 ** _power_of_ten(column), decimals, signed=signed)


def _decimals(column: Column, value: Number, beside: Number | None) -> int | None:
    """None: with a power of ten."""
    if column.kind in ("percent", "ratio"):
        return 2
    if column.kind == "count":
        return 1 if beside is not None or value != int(value) else 0
    size = abs(float(value if beside is None else beside))
    return max(0, 3 - math.floor(math.log10(size))) if 1e-3 <= size < 1e6 else None


def _power_of_ten(column: Column) -> int:
    """By how many places the unit of the table is smaller than that of the rows: two of a share given in %."""
    return 2 if column.kind == "percent" else 0


def mean(column: Column, found: Stat | None) -> str:
    """Return mean ± standard deviation."""
    if found is None:
        return MISSING
    spread = "" if found.std is None else f" ± {number(column, found.std, beside=found.exact_mean)}"
    return f"{number(column, found.exact_mean, beside=found.exact_mean if found.n > 1 else None)}{spread}"


def geometric_mean(column: Column, found: Stat | None) -> str:
    """Return geometric mean ×÷ geometric standard deviation."""
    average = found.geometric if found else None
    if average is None:
        return MISSING
    return number(column, average.mean) + ("" if average.factor is None else f" ×÷ {average.factor:.3g}")


def in_prose(column: Column, value: float) -> str:
    """Return a mean as a sentence has it: of a count from 100 on without decimals."""
    return fixed(exact(value), 0) if column.kind == "count" and value >= 100 else number(column, value)


def difference_in_prose(column: Column, value: float, *, signed: bool = False) -> str:
    """Return a difference of means, without its unit: a share in points."""
    beside = max(abs(value), 1e-3) if column.kind == "score" else 1.0
    return number(column, value, beside=beside, signed=signed)


def percent(share: float) -> str:
    """Return a share of 1 in per cent, without the sign, with few digits: 28, 5.2, 99.38, 108."""
    value = 100 * share
    return f"{value:.{1 if value < 10 else 2 if 99 <= value < 100 else 0}f}"


def told_apart(texts: Sequence[str], values: Sequence[float]) -> tuple[str, ...]:
    """Return the texts of different numbers, with as many decimals as it takes where the texts are all the same."""
    for decimals in range(1, _MOST_DECIMALS):
        if len(set(texts)) > 1:
            break
        sign = "+" if texts[0].startswith("+") else ""
        texts = [f"{value:{sign}.{decimals}f}" for value in values]
    return tuple(texts)


def published(column: Column, figure: Figure) -> str:
    """Return a published figure with no digit that was not printed."""
    text, power = number(column, figure.value), _power_of_ten(column)
    decimals = None if figure.decimals is None else max(0, figure.decimals - power)
    if decimals is None or "e" in text or len(text.partition(".")[2]) <= decimals:
        return text
    return fixed(figure.value * 10**power, decimals)


def difference(column: Column, row: TableRow) -> str:
    """Return reproduced minus published, and the verdict on it."""
    value = row.difference(column.key)
    if value is None:
        return ""
    shown = number(column, value, beside=_larger(column, row), signed=True)
    return ", ".join(filter(None, [shown, verdict(column, row)]))


def _larger(column: Column, row: TableRow) -> Number:
    return max(row.stats[column.key].exact_mean, row.published[column.key].value)


def verdict(column: Column, row: TableRow) -> str:
    """Return the verdict on a published figure, or why there is none; nothing where nothing can be said."""
    found = row.verdict(column)
    if found is None or found.word == "none":
        return TOO_FEW if found and row.n < FEWEST_RUNS else ""
    if found.word != "outside":
        return found.word
    by = number(column, abs(found.outside_by), beside=_larger(column, row))
    return f"outside by {by}" if float(by) else "just outside"


def count(row: TableRow) -> str:
    """Return how many replicates there are, and of how many where some are missing."""
    return f"{row.n}" if row.n == row.num_expected else f"{row.n} of {row.num_expected}"


def interval(column: Column, found: Stat, ends: Interval) -> str:
    """Return an interval around the values of ``found``."""
    beside = None if column.is_error and ends.low > 0 else found.mean  # the ends of an error may lie decades apart
    return _to(number(column, end, beside=beside) for end in (ends.low, ends.high))


def width(ends: Interval, figure: Figure) -> str:
    """Return the width of an interval in per cent of a published figure: a wide one says little by holding it."""
    value = float(figure.value)
    share = 100 * (ends.high - ends.low) / value if value else math.inf
    return f"{fixed(share, 1 if share < 10 else 0)} %" if math.isfinite(share) else MISSING


def mean_interval(column: Column, found: Stat | None) -> str:
    """Return the 95 % interval of the (geometric) mean, and where it is not the usual one what it is of."""
    ends = column.mean_interval(found.values) if found else None
    if found is None or ends is None:
        return MISSING
    if ends.low == ends.high:
        return "always the same"
    is_marked = not ends.of_logarithms and not column.is_yes_or_no
    return f"{interval(column, found, ends)}{' (of the mean)' * is_marked}"


def value_range(column: Column, found: Stat | None) -> str:
    """Return the smallest and the largest value."""
    if found is None or not found.values:
        return MISSING
    return _to(number(column, end) for end in (min(found.values), max(found.values)))


def _to(ends: Iterable[str]) -> str:
    return " to ".join(ends)


def ratio(difference_of_logarithms: float) -> str:
    """Return a ratio of geometric means."""
    return f"× {exp(difference_of_logarithms):.3g}"


def p_value(p: float) -> str:
    """Return a p value to two digits, the smallest as a bound."""
    return "< 1e-6" if p < 1e-6 else f"{p:.2g}"
