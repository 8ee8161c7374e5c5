import torch

from dn_distributed.regularizers.l2 import L2

WEIGHTS = torch.tensor([1.0, -2.0, 0.0, 3.0])


def test_value_is_half_the_sum_of_squares() -> None:
    assert L2(0.5).value(WEIGHTS).item() == 0.5 * 0.5 * 14


def test_gradient_is_the_weight_itself() -> None:
    gradient = torch.zeros(4)
    L2(0.5).add_gradient_(WEIGHTS, gradient)
    assert gradient.tolist() == [0.5, -1.0, 0.0, 1.5]
