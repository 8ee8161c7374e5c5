import torch

from dn_distributed.regularizers.l1 import L1

WEIGHTS = torch.tensor([1.0, -2.0, 0.0, 0.5])


def test_value_is_the_sum_of_absolute_values() -> None:
    assert L1(0.1).value(WEIGHTS).item() == torch.tensor(0.35).item()


def test_gradient_is_the_sign() -> None:
    gradient = torch.zeros(4)
    L1(0.5).add_gradient_(WEIGHTS, gradient)
    assert gradient.tolist() == [0.5, -0.5, 0.0, 0.5]
