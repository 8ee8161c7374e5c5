"""Networks of torchvision with dead channels come out smaller and equal, whatever couples their layers."""

import pytest

import dn_distributed as dn
from benchmarks.coupling import NETWORKS, kill_units, network
from dn_distributed.compaction import Dropped, prove

AT_MOST = dict.fromkeys(NETWORKS, 0.6) | {"resnet18": 0.75, "mobilenet_v3_small": 0.7, "efficientnet_b0": 0.8}
AT_MOST["vit_b_16"] = 0.9
"""Share of the weights that is left: units that are added to live ones stay, and what attention has."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_torchvision_comes_out_smaller_and_equal(name: str) -> None:
    net, example = network(name)
    kill_units(net)
    small = dn.compact(net, example)
    assert isinstance(small.dropped, Dropped)
    assert small.dropped.weights_before == sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert small.dropped.weights <= AT_MOST[name] * small.dropped.weights_before
    assert prove(net, small, example.flip(0, 3), classes=True).max_rel_float64 < 1e-6
