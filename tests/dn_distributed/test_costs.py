"""What a network costs, against counts by hand; of time only that it is measured as said."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.exporting import costs
from dn_distributed.exporting.products import multiply_adds

CHAIN = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 10)).eval()


def measured(*networks: nn.Module, inputs: torch.Tensor) -> list[costs.Costs]:
    return costs.measure(networks, inputs, batch_sizes=(1, 8), seconds=0.01)


def test_weights_and_multiply_adds_of_a_chain() -> None:
    (found,) = measured(CHAIN, inputs=torch.randn(3, 100))
    assert found.num_weights == found.num_nonzero == found.multiply_adds == 100 * 50 + 50 * 50 + 50 * 10
    assert found.num_parameters == found.num_weights + 110
    assert 4 * found.num_parameters < found.bytes_on_disk < 4 * found.num_parameters + 1000


def test_multiply_adds_of_a_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)).eval()
    assert multiply_adds(network, torch.randn(2, 3, 8, 8)) == 2 * 5 * 64 * 27
    (found,) = measured(network, inputs=torch.randn(2, 3, 8, 8))
    assert (found.num_weights, found.num_parameters) == (135, 145)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.fc(self.attention(x, x, x)[0])
        return outputs


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize(
    ("network", "of_others"),
    [
        (Attention(), 6 * 8 * 3),
        (nn.Sequential(nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), nn.Linear(8, 3)), 6 * 8 * (3 + 2 * 32)),
    ],
)
def test_multiply_adds_of_attention(network: nn.Module, of_others: int, is_enabled: bool) -> None:
    projections, products = 6 * 8 * (24 + 8), 2 * 6 * 6 * 8  # of 6 words of 8 numbers
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(is_enabled)
    try:
        counted = multiply_adds(network.eval(), torch.randn(1, 6, 8))
        assert torch.backends.mha.get_fastpath_enabled() == is_enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert counted == projections + products + of_others


class Of(nn.Module):
    """A function as a network; it is given a parameter of the shape that is asked for."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any], *shape: int) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.weight)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.LSTM(8, 16), 5 * 4 * 16 * (8 + 16)),
        (nn.LSTM(8, 16, bias=False), 5 * 4 * 16 * (8 + 16)),
        (nn.LSTM(8, 16, num_layers=2, bidirectional=True), 2 * 5 * 4 * 16 * (8 + 16 + 2 * 16 + 16)),
        (nn.LSTM(8, 16, proj_size=4), 5 * (4 * 16 * (8 + 4) + 16 * 4)),
        (nn.GRU(8, 16), 5 * 3 * 16 * (8 + 16)),
        (Of(lambda x, w: functional.bilinear(x, x, w), 3, 8, 8), 5 * 3 * 8 * 8),
        (Of(lambda x, w: x @ w, 8), 5 * 8),
        (Of(lambda x, w: x.flatten().dot(w), 40), 40),
        (Of(lambda x, w: torch.linalg.vecdot(x.flatten(), w), 40), 40),
        (Of(lambda x, w: torch.addmv(w[:5], x.flatten(1).view(5, 8), w), 8), 5 * 8),
        (Of(lambda x, w: torch.addr(torch.zeros(40, 3), x.flatten(), w), 3), 40 * 3),
        (Of(lambda x, w: torch.addbmm(torch.zeros(1, 3), x, w), 5, 8, 3), 5 * 8 * 3),
        (Of(lambda x, w: torch.conv_tbc(x, w, torch.zeros(4)), 2, 8, 4), 4 * 2 * 8 * 4),
        (nn.Upsample(scale_factor=2, mode="linear"), 0),
    ],
)
def test_multiply_adds_of_products_that_torch_does_not_count(network: nn.Module, expected: int) -> None:
    """Of five steps, one sample, eight numbers."""
    assert multiply_adds(network.eval(), torch.randn(5, 1, 8)) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: torch.fft.rfft(x @ w),
        lambda x, w: torch.cdist(x[:, 0], w.T),
        lambda x, w: torch.linalg.solve(w[:, :8], x.flatten(1).T),
        lambda x, w: torch.ops.products_of_ours.unknown(x) @ w,
    ],
)
def test_where_it_is_not_known_how_often_an_operation_multiplies_nothing_is_counted(
    function: Callable[[Tensor, Tensor], Any],
) -> None:
    """The other products alone would be too few."""
    assert multiply_adds(Of(function, 8, 8), torch.randn(5, 1, 8)) is None


@torch.library.custom_op("products_of_ours::unknown", mutates_args=())
def _unknown(x: Tensor) -> Tensor:
    return x.clone()


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "mobilenet_v3_small", "swin_t"])
def test_networks_of_torchvision_are_counted_whole(name: str) -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model(name).eval()
        assert (multiply_adds(network, torch.empty(1, 3, 224, 224)) or 0) > 1e7


def test_zeros_are_weights_that_are_stored_and_multiplied() -> None:
    network = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        network.weight.zero_()[0, 0] = 1.0
    (found,) = measured(network.eval(), inputs=torch.randn(1, 4))
    assert (found.num_weights, found.num_nonzero, found.multiply_adds) == (12, 1, 12)


def test_the_peak_counts_what_lives_at_one_time() -> None:
    (found,) = measured(CHAIN, inputs=torch.randn(3, 100))
    parameters = 4 * found.num_parameters
    assert found.peak_memory == parameters + 4 * 8 * (100 + 50 + 50)  # inputs, and a layer before and after its ReLU
    (found,) = measured(nn.Sequential(*CHAIN, *[nn.Identity()] * 3), inputs=torch.randn(3, 100))
    assert found.peak_memory == parameters + 4 * 8 * 200


def test_time_is_a_median_with_its_interval() -> None:
    threads = torch.get_num_threads()
    large = nn.Sequential(nn.Linear(10, 3000), nn.Linear(3000, 1))
    both = measured(nn.Linear(10, 1), large, inputs=torch.randn(1, 10))
    for found in both:
        assert [item.batch_size for item in found.latencies] == [1, 8]
        assert all(0 < item.low <= item.median <= item.high for item in found.latencies)
        assert all(item.num_runs >= 15 and item.num_threads == 1 for item in found.latencies)
    assert torch.get_num_threads() == threads


def test_the_interval_of_a_median_is_that_of_its_ranks() -> None:
    assert costs._median_of(list(range(1, 101))) == (50.5, 40, 61)
    assert costs._median_of([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_modes_of_torch_are_where_they_are_looked_for() -> None:
    from dn_distributed import torch_internals

    assert hasattr(torch_internals.DispatchMode, "__torch_dispatch__"), "torch has moved TorchDispatchMode"
    assert torch_internals.tree_leaves([(1, 2), {"a": 3}]) == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 5])
def test_batches_are_made_of_the_samples_there_are(size: int) -> None:
    assert costs._batch(torch.arange(2), size).tolist() == [0, 1, 0, 1, 0][:size]
