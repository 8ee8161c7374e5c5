"""Numbers as tables print them: averaged and rounded exactly, so that no rounding error decides a digit."""

import math
import statistics
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

Number = float | Fraction
"""A measured figure, or the exact quotient of two counts."""


def exact(value: Number) -> Fraction:
    """Return a finite number as a fraction; a float as the decimal number that it prints as: 0.9814 of 10 000."""
    return value if isinstance(value, Fraction) else Fraction(Decimal(repr(float(value))))


def mean(values: Sequence[Number]) -> Number:
    """Return the mean: a fraction; a float where a value is not finite."""
    if all(map(math.isfinite, values)):
        return _added(map(exact, values)) / len(values)
    return statistics.fmean(values)


def _added(values: Iterable[Fraction]) -> Fraction:
    """By denominator first, of which there are few; then by halves, as denominators grow with each sum."""
    numerators: dict[int, int] = {}
    for value in values:
        numerators[value.denominator] = numerators.get(value.denominator, 0) + value.numerator
    return _halved([Fraction(top, bottom) for bottom, top in numerators.items()])


def _halved(values: Sequence[Fraction]) -> Fraction:
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    return _halved(values[:middle]) + _halved(values[middle:])


def fixed(value: Number, decimals: int, *, signed: bool = False) -> str:
    """Return a finite number with so many decimals; a tie goes to the even digit."""
    scaled = round(exact(value) * 10**decimals)
    sign = "-" if scaled < 0 else "+" if signed else ""
    whole, part = divmod(abs(scaled), 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}d}" if decimals else f"{sign}{whole}"
