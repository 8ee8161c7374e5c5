from math import sqrt

import pytest
import torch

from dn_distributed.regularizers import Penalty
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1

WEIGHT = torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, -12.0]], dtype=torch.float64)
"""Three output neurons, the second of which receives nothing; two input neurons."""


def gradient_of(penalty: Penalty, weight: torch.Tensor) -> torch.Tensor:
    gradient = torch.zeros_like(weight)
    penalty.add_gradient_(weight, gradient)
    return gradient


def test_incoming_groups_the_weights_that_enter_an_output_neuron() -> None:
    assert Incoming(0.1).value(WEIGHT).item() == pytest.approx(0.1 * (5 + 0 + 13))


def test_outgoing_groups_the_weights_that_leave_an_input_neuron() -> None:
    assert Outgoing(0.1).value(WEIGHT).item() == pytest.approx(0.1 * (sqrt(34) + sqrt(160)))


def test_incoming_gradient_is_each_row_over_its_norm() -> None:
    expected = torch.tensor([[3 / 5, 4 / 5], [0, 0], [5 / 13, -12 / 13]], dtype=torch.float64)
    torch.testing.assert_close(gradient_of(Incoming(0.1), WEIGHT), 0.1 * expected)


def test_outgoing_gradient_is_each_column_over_its_norm() -> None:
    norms = torch.tensor([[sqrt(34), sqrt(160)]], dtype=torch.float64)
    torch.testing.assert_close(gradient_of(Outgoing(0.1), WEIGHT), 0.1 * WEIGHT / norms)


def test_incoming_of_a_matrix_is_outgoing_of_its_transpose() -> None:
    weight = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Incoming(0.3).value(weight), Outgoing(0.3).value(weight.mT))
    torch.testing.assert_close(gradient_of(Incoming(0.3), weight), gradient_of(Outgoing(0.3), weight.mT).mT)


@pytest.mark.parametrize(("penalty", "shape"), [(Incoming, (6, 1)), (Outgoing, (1, 6))])
def test_groups_of_one_weight_are_l1(penalty: type[Penalty], shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(penalty(0.3).value(weight), L1(0.3).value(weight.flatten()))
    torch.testing.assert_close(gradient_of(penalty(0.3), weight), gradient_of(L1(0.3), weight))


def test_a_convolution_is_grouped_by_filter_and_by_channel() -> None:
    weight = torch.randn(8, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_filter = sum(part.square().sum().sqrt() for part in weight)
    by_channel = sum(weight[:, channel].square().sum().sqrt() for channel in range(3))
    torch.testing.assert_close(Incoming(0.3).value(weight), 0.3 * by_filter)
    torch.testing.assert_close(Outgoing(0.3).value(weight), 0.3 * by_channel)


@pytest.mark.parametrize("penalty", [Incoming, Outgoing])
def test_the_penalty_does_not_see_the_direction_of_a_group(penalty: type[Penalty]) -> None:
    assert penalty(1.0).value(WEIGHT) == penalty(1.0).value(-WEIGHT)


@pytest.mark.parametrize("penalty", [Incoming, Outgoing])
def test_zero_groups_do_not_disturb_the_others(penalty: type[Penalty]) -> None:
    weight = torch.ones(3, 3)
    weight[1, :] = 0
    weight[:, 1] = 0
    gradient = gradient_of(penalty(1.0), weight)
    assert torch.equal(gradient != 0, weight != 0)
    torch.testing.assert_close(gradient[weight != 0], torch.full((4,), 1 / sqrt(2)))
