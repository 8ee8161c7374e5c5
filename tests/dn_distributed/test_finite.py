"""A row is finite where all of its numbers are."""

import pytest
import torch

from dn_distributed.training.finite import rows_are_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 1, 15, 16, 17, 998])
def test_one_number_that_is_not_is_found_wherever_it_stands(value: float, place: int) -> None:
    numbers = torch.randn(5, 999)
    numbers[3, place] = value
    assert rows_are_finite(numbers).tolist() == [True, True, True, False, True]


def test_large_numbers_are_finite_and_so_is_nothing() -> None:
    largest = torch.finfo(torch.float32).max
    assert rows_are_finite(torch.tensor([[largest, largest], [-largest, -largest]])).all()
    assert rows_are_finite(torch.zeros(2, 0)).tolist() == [True, True]
