"""What every penalty promises (``regularizers/base.py``), tested on each of them."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dn_distributed.regularizers import PENALTIES, Penalty
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing

EVERY = [pytest.param(cls(0.7), id=name) for name, cls in PENALTIES.items()]
every_penalty = pytest.mark.parametrize("penalty", EVERY)


def stack_for(penalty: Penalty, replicates: int = 3, away_from_zero: float = 0.0) -> Tensor:
    shape = (replicates, 4, 5) if penalty.touches == "weights" else (replicates, 20)
    random = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return random + away_from_zero * random.sign()


def gradient_of(penalty: Penalty, tensor: Tensor, leading: int = 0) -> Tensor:
    gradient = torch.zeros_like(tensor)
    penalty.add_gradient_(tensor, gradient, leading)
    return gradient


def autograd_of(penalty: Penalty, tensor: Tensor) -> Tensor:
    leaf = tensor.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(penalty.value(leaf), leaf)
    return gradient


@every_penalty
def test_value_is_one_number_per_replicate(penalty: Penalty) -> None:
    stack = stack_for(penalty)
    assert torch.equal(penalty.value(stack, leading=1), torch.stack([penalty.value(one) for one in stack]))


@every_penalty
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3, 3)])
def test_value_of_one_network_is_one_number(penalty: Penalty, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert penalty.value(weight).shape == ()
    assert penalty.value(weight.expand(2, 3, *shape), leading=2).shape == (2, 3)
    assert penalty.value(weight.expand(1, *shape), leading=1).item() == penalty.value(weight).item()


@every_penalty
def test_gradient_equals_autograd_of_the_value(penalty: Penalty) -> None:
    stack = stack_for(penalty).requires_grad_()
    (expected,) = torch.autograd.grad(penalty.value(stack, leading=1).sum(), stack)
    torch.testing.assert_close(gradient_of(penalty, stack.detach(), leading=1), expected)


@every_penalty
def test_gradient_of_a_convolution_equals_autograd_of_the_value(penalty: Penalty) -> None:
    weight = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gradient_of(penalty, weight), autograd_of(penalty, weight))


Group = tuple[slice | int, slice | int]
ZEROS: dict[str, Group] = {
    "a row": (0, slice(None)),
    "a column": (slice(None), 0),
    "everything": (slice(None), slice(None)),
}


@every_penalty
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3, 3)])
@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_autograd_is_finite_and_the_same_where_groups_are_zero(
    penalty: Penalty, zero: tuple[slice | int, slice | int], shape: tuple[int, ...]
) -> None:
    """As after pruning, before somebody's fine-tuning."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[zero] = 0
    assert autograd_of(penalty, weight).isfinite().all()
    torch.testing.assert_close(autograd_of(penalty, weight), gradient_of(penalty, weight))


@every_penalty
def test_gradient_passes_gradcheck(penalty: Penalty) -> None:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, tensor: Tensor) -> Tensor:
            ctx.save_for_backward(tensor)
            return penalty.value(tensor, leading=1)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> Tensor:
            (tensor,) = ctx.saved_tensors
            return gradient_of(penalty, tensor, leading=1) * upstream.view(-1, *[1] * (tensor.ndim - 1))

    stack = stack_for(penalty, away_from_zero=0.1).requires_grad_()
    assert torch.autograd.gradcheck(Function.apply, (stack,))


@every_penalty
def test_gradient_is_added_to_what_is_there(penalty: Penalty) -> None:
    stack = stack_for(penalty)
    gradient = torch.full_like(stack, 5.0)
    penalty.add_gradient_(stack, gradient, leading=1)
    torch.testing.assert_close(gradient, 5.0 + gradient_of(penalty, stack, leading=1))


@every_penalty
def test_gradient_of_a_replicate_does_not_see_the_others(penalty: Penalty) -> None:
    stack = stack_for(penalty)
    alone = torch.stack([gradient_of(penalty, one) for one in stack])
    assert torch.equal(gradient_of(penalty, stack, leading=1), alone)


@every_penalty
def test_weights_are_not_modified(penalty: Penalty) -> None:
    stack = stack_for(penalty)
    before = stack.clone()
    gradient_of(penalty, stack, leading=1)
    assert torch.equal(stack, before)


@every_penalty
def test_gradient_at_zero_is_zero(penalty: Penalty) -> None:
    assert not gradient_of(penalty, torch.zeros(2, 4, 5), leading=1).any()


@every_penalty
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_at_the_smallest_denormal_is_finite(penalty: Penalty, dtype: torch.dtype) -> None:
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    weight = torch.full((4, 5), smallest, dtype=dtype)
    assert gradient_of(penalty, weight).isfinite().all()
    assert autograd_of(penalty, weight).isfinite().all()


def test_incoming_gradient_at_a_denormal_is_finite_where_a_layer_has_one_input() -> None:
    assert gradient_of(Incoming(1.0), torch.full((3, 1), 1e-40)).isfinite().all()


@every_penalty
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6),
    exponent=st.integers(-140, 0),
)
@settings(deadline=None, max_examples=50)
def test_gradient_is_finite_for_finite_weights(penalty: Penalty, values: list[float], exponent: int) -> None:
    scaled = torch.tensor([math.ldexp(value, exponent) for value in values]).view(2, 3)
    assert gradient_of(penalty, scaled).isfinite().all()
    assert autograd_of(penalty, scaled).isfinite().all()


@pytest.mark.parametrize("penalty", [Incoming(1.0), Outgoing(1.0)])
@pytest.mark.parametrize(("shape", "leading"), [((5,), 0), ((3, 5), 1)])
def test_groups_of_what_is_no_weight_are_refused(penalty: Penalty, shape: tuple[int, ...], leading: int) -> None:
    with pytest.raises(ValueError, match=rf"{penalty.name} is of weights .*, not of a tensor \[5\]"):
        penalty.value(torch.ones(shape), leading)
    with pytest.raises(ValueError, match=penalty.name):
        gradient_of(penalty, torch.ones(shape), leading)
