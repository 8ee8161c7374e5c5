"""What a network costs, against counts by hand; of time only that it is measured as said."""

import pytest
import torch
from torch import nn

from dn_distributed.exporting import costs

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
    assert costs.multiply_adds(network, torch.randn(2, 3, 8, 8)) == 2 * 5 * 64 * 27
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
        counted = costs.multiply_adds(network.eval(), torch.randn(1, 6, 8))
        assert torch.backends.mha.get_fastpath_enabled() == is_enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert counted == projections + products + of_others


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
