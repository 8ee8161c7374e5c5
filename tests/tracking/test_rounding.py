"""Ties are where rounding errors show: each of these is exact, and rounds to the even digit."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.results import rounding


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (98.105, 2, "98.10"),
        (98.355, 2, "98.36"),
        (4.25, 1, "4.2"),
        (25.95, 1, "26.0"),
        (Fraction(1, 3), 2, "0.33"),
        (-0.004, 2, "0.00"),
        (-1.5, 0, "-2"),
        (1e22, 1, "10000000000000000000000.0"),
    ],
)
def test_ties_go_to_the_even_digit(value: float | Fraction, decimals: int, text: str) -> None:
    assert rounding.fixed(value, decimals) == text


def test_a_difference_has_its_sign_unless_it_is_nothing() -> None:
    assert rounding.fixed(0.25, 1, signed=True) == "+0.2"
    assert rounding.fixed(-0.25, 1, signed=True) == "-0.2"
    assert rounding.fixed(-0.001, 1, signed=True) == "+0.0"


def test_the_mean_of_accuracies_is_that_of_the_images() -> None:
    """Ten networks with 98 105 right images of 100 000: to two decimals of a per cent that is a tie."""
    accuracies = [0.9809, 0.9803, 0.9811, 0.9815, 0.9806, 0.9813, 0.9808, 0.9817, 0.9812, 0.9811]
    assert rounding.mean(accuracies) == Fraction(98105, 100_000)
    assert rounding.fixed(100 * rounding.mean(accuracies), 2) == "98.10"


def test_counts_are_averaged_as_fractions() -> None:
    shares = [Fraction(1, 3), Fraction(1, 6), Fraction(1, 4)]
    assert rounding.mean(shares) == Fraction(1, 4)


def test_the_mean_of_what_is_not_finite_is_not_finite() -> None:
    assert math.isinf(rounding.mean([1.0, math.inf]))
    assert math.isnan(rounding.mean([1.0, math.nan]))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_that_it_prints_as(value: float) -> None:
    assert float(rounding.exact(value)) == value


@given(st.lists(st.fractions(), min_size=1, max_size=20))
def test_the_mean_of_fractions_is_exact(values: list[Fraction]) -> None:
    assert rounding.mean(values) == sum(values) / len(values)
