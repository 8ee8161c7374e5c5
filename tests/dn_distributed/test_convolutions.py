"""Convolutions of one channel as products: the numbers and gradients of torch's convolution."""

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from dn_distributed.replicas import convolutions
from dn_distributed.replicas.convolutions import OneChannelAsProducts, one_channel_as_products
from dn_distributed.replicas.recording import record


def gradients(make: Any, images: Tensor, *, as_products: bool) -> tuple[Tensor, list[Tensor]]:
    """Outputs of a stack of three networks, and the gradients of a loss by weights and images."""
    torch.manual_seed(0)
    network: nn.Module = make()
    images = images.clone().requires_grad_()
    names = [name for name, _ in network.named_parameters()]
    stacked = [torch.randn(3, *parameter.shape).requires_grad_() for parameter in network.parameters()]

    def call(tensors: list[Tensor], batch: Tensor) -> Tensor:
        found: Tensor = functional_call(network, dict(zip(names, tensors, strict=True)), (batch,))
        return found

    if as_products:
        with OneChannelAsProducts():
            outputs = vmap(call)(stacked, images)
    else:
        outputs = vmap(call)(stacked, images)
    return outputs, list(torch.autograd.grad(outputs.sin().sum(), [*stacked, images]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 2},
        {"padding": (1, 2), "stride": (2, 1)},
        {"kernel_size": (3, 4), "stride": 2, "bias": False},
        {"kernel_size": 1},
    ],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_a_convolution(options: dict[str, Any]) -> None:
    images = torch.rand(3, 4, 1, 9, 8)
    keywords = {"kernel_size": 5, **options}
    found, wanted = (
        gradients(lambda: nn.Conv2d(1, 16, **keywords), images, as_products=as_products)
        for as_products in (True, False)
    )
    assert found[0].shape == wanted[0].shape
    assert torch.allclose(found[0], wanted[0], atol=1e-5)
    for one, other in zip(found[1], wanted[1], strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def convolves(network: nn.Module, images: Tensor) -> bool:
    """Whether torch's own convolution is among the operations within."""
    graph = record(lambda batch: network(batch), images)
    return any("convolution" in str(node.target) for node in graph.graph.nodes)


@pytest.mark.parametrize(
    ("network", "shape", "is_product"),
    [
        (nn.Conv2d(1, 13, 5), (2, 1, 9, 9), True),
        (nn.Conv2d(1, 12, 5), (2, 1, 9, 9), False),
        (nn.Conv2d(2, 16, 3), (2, 2, 9, 9), False),
        (nn.Conv2d(2, 16, 3, groups=2), (2, 2, 9, 9), False),
        (nn.Conv2d(1, 16, 3, dilation=2), (2, 1, 9, 9), False),
        (nn.Conv2d(1, 16, 3, padding="same"), (2, 1, 9, 9), False),
        (nn.Conv2d(1, 16, 3), (1, 9, 9), False),
    ],
    ids=["fits", "columns too large", "two channels", "groups", "dilation", "padding by name", "no batch"],
)
def test_other_convolutions_stay_what_they_are(network: nn.Module, shape: tuple[int, ...], is_product: bool) -> None:
    with OneChannelAsProducts():
        assert convolves(network, torch.rand(shape)) is not is_product


def test_arguments_may_be_given_by_name() -> None:
    images, weight = torch.rand(2, 1, 6, 6), torch.rand(8, 1, 3, 3)
    with OneChannelAsProducts():
        found = functional.conv2d(images, weight=weight, stride=2)
        again = functional.conv2d(images, weight, stride=(2,))
    assert torch.equal(found, again)
    assert torch.allclose(found, functional.conv2d(images, weight, stride=2), atol=1e-6)


def test_on_a_cpu_nothing_changes() -> None:
    with (
        mock.patch.object(convolutions, "_product", side_effect=AssertionError),
        one_channel_as_products(torch.device("cpu")),
    ):
        assert nn.Conv2d(1, 16, 3)(torch.rand(2, 1, 6, 6)).shape == (2, 16, 4, 4)
