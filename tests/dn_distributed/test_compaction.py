"""A smaller network gives the same outputs, has no unit that it does not need, and says what it dropped."""

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune as torch_prune

import dn_distributed as dn
from dn_distributed.compaction import Dropped, NotEqualError, prove
from dn_distributed.errors import ArgumentError


class Function(nn.Module):
    """An activation that is no module of torch. What enters is bounded, for ``exp``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(torch.clamp(x, -10, 10))


ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU, nn.LeakyReLU, nn.Hardswish, nn.Identity),
    *(nn.Hardsigmoid, nn.LogSigmoid, lambda: Function(torch.exp), lambda: Function(torch.cos)),
    lambda: nn.ReLU(inplace=True),
)
"""Of sigmoid, softplus and those in the line before the last, the value at 0 is not 0."""


def normalise_(net: nn.Module) -> None:
    """Give every normalisation statistics, gains and shifts of its own."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                module.weight.uniform_(-1, 1)
                module.bias.normal_()


def kill_(net: nn.Module, share: float, seed: int) -> None:
    """Zero weights, rows and columns of every layer, and gains and shifts, each with this probability."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                weight = module.weight
                weight[torch.rand(weight.shape, generator=draw) < share / 2] = 0
                weight[torch.rand(weight.shape[0], generator=draw) < share] = 0
                weight[:, torch.rand(weight.shape[1], generator=draw) < share] = 0
                if module.bias is not None:
                    module.bias[torch.rand(weight.shape[0], generator=draw) < share / 2] = 0
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
                module.weight[torch.rand(module.weight.shape, generator=draw) < share / 2] = 0
                module.bias[torch.rand(module.weight.shape, generator=draw) < share / 2] = 0


def dropped(small: nn.Module) -> Dropped:
    found = small.dropped
    assert isinstance(found, Dropped)
    return found


def sizes(small: nn.Module) -> dict[str, tuple[int, int]]:
    return {layer.name: (layer.inputs, layer.outputs) for layer in dropped(small).layers}


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module], norm: bool = False) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), activation()]
    return nn.Sequential(*parts[:-1]).eval()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sampled_from(ACTIVATIONS),
    st.booleans(),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    st.integers(0, 2**31),
)
def test_a_fully_connected_network_keeps_its_outputs_and_reaches_its_dense_size(
    widths: list[int], activation: Callable[[], nn.Module], norm: bool, share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    net = mlp(widths, activation, norm)
    normalise_(net)
    kill_(net, share, seed)
    inputs = torch.randn(7, widths[0])
    small = dn.compact(net, inputs)
    proof = prove(net, small, torch.randn(50, widths[0]), classes=widths[-1] > 1)
    assert proof.max_rel_float64 < 1e-6
    if not norm:  # a gain of 0 makes a unit constant that has weights
        counts = dn.count(net)
        hidden = [unit.alive for unit in counts.units[1:-1]]
        assert [after for _, after in list(sizes(small).values())[:-1]] == [max(1, alive) for alive in hidden]
        if all(unit.alive for unit in counts.units):  # of a layer without any one unit stays
            assert counts.dense_size_with_outputs == sum(
                part.weight.numel() for part in small.modules() if isinstance(part, nn.Linear)
            )


class Branches(nn.Module):
    """A residual sum, a concatenation with it, a convolution of each channel by itself, and a gate."""

    def __init__(self, norm: Callable[[int], nn.Module], activation: Callable[[], nn.Module], padding: int) -> None:
        super().__init__()
        mode = "zeros" if padding else "replicate"
        self.stem = nn.Conv2d(2, 8, 3, padding=padding)
        self.norm, self.act = norm(8), activation()
        self.one = nn.Conv2d(8, 6, 3, padding=1, padding_mode=mode, bias=False)  # type: ignore[arg-type]
        self.norm_one = norm(6)
        self.two = nn.Conv2d(6, 8, 3, padding=1, padding_mode=mode)  # type: ignore[arg-type]
        self.side = nn.Conv2d(8, 4, 1)
        self.deep = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.gate = nn.Linear(12, 12)
        self.prelu = nn.PReLU(12)
        self.fc, self.out = nn.Linear(12 * 9, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = x + self.two(self.act(self.norm_one(self.one(x))))
        x = self.deep(torch.cat([x, self.side(x)], 1))
        x = self.prelu(x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None])
        x = functional.adaptive_avg_pool2d(x, 3)
        return self.out(self.act(self.fc(x.view(-1, 12 * 9))))


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(
        [nn.BatchNorm2d, lambda n: nn.GroupNorm(2, n), lambda n: nn.GroupNorm(n, n), lambda n: nn.Identity()]
    ),
    st.sampled_from(ACTIVATIONS),
    st.sampled_from([0, 1]),
    st.sampled_from([0.1, 0.3, 0.6, 0.9, 1.0]),
    st.integers(0, 2**31),
)
def test_a_network_with_branches_keeps_its_outputs(
    norm: Callable[[int], nn.Module], activation: Callable[[], nn.Module], padding: int, share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    net = Branches(norm, activation, padding).eval()
    normalise_(net)
    kill_(net, share, seed)
    small = dn.compact(net, torch.randn(4, 2, 9, 9))
    assert prove(net, small, torch.randn(20, 2, 9, 9), classes=True).max_rel_float64 < 1e-6
    assert dropped(small).weights <= dropped(small).weights_before


def conv_pair(padding: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), activation(), nn.Conv2d(4, 5, 3, padding=padding), nn.Flatten(), nn.Linear(5 * 25, 2))
    )


def test_a_filter_that_emits_zero_goes_also_before_padding() -> None:
    net = conv_pair(1, nn.Identity)
    net[4] = nn.Linear(5 * 49, 2)
    with torch.no_grad():
        net[0].weight[1] = net[0].bias[1] = 0  # type: ignore[operator]
    assert sizes(dn.compact(net, torch.randn(2, 1, 9, 9)))["0"] == (1, 3)


def test_a_constant_filter_goes_where_nothing_is_padded_and_stays_with_a_reason_where_zeros_are() -> None:
    for padding, left in ((0, 3), (1, 4)):
        net = conv_pair(padding)
        net[4] = nn.Linear(5 * (5 + 2 * padding) ** 2, 2)
        with torch.no_grad():
            net[0].weight[1], net[0].bias[1] = 0, 1  # type: ignore[operator]
        small = dn.compact(net, torch.randn(2, 1, 9, 9))
        assert sizes(small)["0"] == (1, left)
        reasons = dropped(small).stayed
        assert bool(reasons) == bool(padding)
        assert not reasons or "'2' pads with zeros" in next(iter(reasons))
        assert not reasons or "1 units that no weight enters stay: '2' pads" in str(dropped(small))


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([1, 2, 3]), st.sampled_from(ACTIVATIONS), st.sampled_from([0, 1]), st.sampled_from([0.2, 0.5, 0.9]),
    st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_a_convolution_of_each_channel_by_itself_keeps_its_outputs(
    filters: int, activation: Callable[[], nn.Module], padding: int, share: float, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    each = nn.Conv2d(8, 8 * filters, 3, padding=padding, groups=8, bias=bias)
    net = nn.Sequential(
        *(nn.Conv2d(2, 8, 1), nn.BatchNorm2d(8), activation(), each, nn.BatchNorm2d(8 * filters), activation()),
        *(nn.Conv2d(8 * filters, 5, 1), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)),
    )
    normalise_(net)
    kill_(net, share, seed)
    small = dn.compact(net.eval(), torch.randn(4, 2, 5, 5))
    assert prove(net, small, torch.randn(30, 2, 5, 5)).max_rel_float64 < 1e-6


@pytest.mark.parametrize("filters", [1, 2])
def test_a_channel_goes_with_the_filters_that_it_has_for_itself(filters: int) -> None:
    each = nn.Conv2d(6, 6 * filters, 3, padding=1, groups=6)
    net = nn.Sequential(nn.Conv2d(2, 6, 1), each, nn.ReLU(), nn.Conv2d(6 * filters, 4, 1))
    with torch.no_grad():
        net.get_parameter("3.weight")[:, 2 * filters :] = 0  # what the last four channels come to is not read
        each.weight[0] = 0  # a filter of a channel whose other one is read
        each.bias[0] = 0  # type: ignore[index]
    small = dn.compact(net, torch.randn(2, 2, 5, 5))
    left = 2 if filters > 1 else 1
    first, narrow = small.get_submodule("0"), small.get_submodule("1")
    assert isinstance(first, nn.Conv2d)
    assert isinstance(narrow, nn.Conv2d)
    assert (narrow.in_channels, narrow.groups, narrow.out_channels) == (left, left, left * filters)
    assert narrow.weight.shape[0] == left * filters
    assert first.out_channels == left


def test_channels_that_are_normalised_together_go_together() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 2, 3))
    normalise_(net)
    with torch.no_grad():
        net[3].weight[:, [1, 2, 3]] = 0  # type: ignore[operator]
    small = dn.compact(net, torch.randn(2, 1, 9, 9))
    assert sizes(small)["0"] == (1, 4)
    assert sizes(small)["3"] == (3, 2), "of the two groups left one channel is not read"
    assert small.get_submodule("1").num_groups == 2


def test_a_residual_branch_that_dies_becomes_the_constants_that_it_emits() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return x + self.two(torch.sigmoid(self.one(x)))

    net = Residual()
    with torch.no_grad():
        net.one.weight.zero_()
        net.two.weight[:, 2] = 0
    small = dn.compact(net, torch.randn(3, 4))
    assert sizes(small) == {"stem": (4, 5), "one": (0, 0), "two": (0, 0)}
    assert not hasattr(small, "one")
    assert {name for name, _ in small.named_buffers()} == {"net_two_constant"}
    assert dropped(small).stayed == {}


def test_a_group_of_constants_goes_as_a_whole_and_half_a_group_stays_with_its_reason() -> None:
    """Whatever the normalisation makes of them: its gain and shift are not pruned here."""
    for dead, left in (((0, 1), 4), ((0, 2), 6)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 2, 3))
        normalise_(net)
        without(net[0], *dead)
        small = dn.compact(net, torch.randn(2, 1, 9, 9))
        assert sizes(small)["0"] == (1, left)
        why = "what '3' reads of them, or of the whole group that is normalised with them, is not constant"
        assert dropped(small).stayed == ({} if left < 6 else {why: 2})


def joined(join: Callable[[Tensor, Tensor], Tensor], net: Any, x: Tensor) -> Any:
    return net.out(join(net.one(x), net.two(x)))


def test_the_reason_names_sums_and_products_only_where_there_are_some() -> None:
    parts = {"one": without(nn.Linear(4, 5), 1), "two": nn.Linear(4, 5), "out": nn.Linear(5, 2)}
    for join, said in ((torch.add, "added to"), (torch.mul, "multiplied with")):
        small = dn.compact(Forward(partial(joined, join), **parts), torch.randn(3, 4))
        why = f"what 'out' reads of them, or of units that they are {said}, is not constant"
        assert dropped(small).stayed == {why: 1}
    pool = nn.AvgPool2d(3, 1, 1)
    assert dropped(dn.compact(image(lambda net, x: net.pool(x), pool=pool), torch.randn(IMAGE))).stayed == {
        "what 'two' reads of them is not constant": 1
    }


@pytest.mark.parametrize(
    ("part", "between", "why", "stays"),
    [
        (
            nn.Conv1d(4, 4, 1, groups=2),
            lambda part, x: part(x.transpose(1, 2)).transpose(1, 2),
            "the units of a convolution with groups are not followed",
            "'transpose' may mix them",
        ),
        (nn.LSTM(4, 4, batch_first=True), lambda part, x: part(x)[0], "the units of LSTM are not followed", "'part'"),
        (
            nn.MultiheadAttention(4, 2, batch_first=True),
            lambda part, x: part(x, x, x, need_weights=False)[0],
            "the units of MultiheadAttention are not followed",
            "'part'",
        ),
    ],
)
def test_what_is_kept_whole_is_counted_and_named_with_the_reason(
    part: nn.Module, between: Callable[[Any, Tensor], Tensor], why: str, stays: str
) -> None:
    """Its weights are part of the totals, and units before it stay for it."""
    one, two = without(nn.Linear(3, 4), 1), nn.Linear(4, 2)
    net = Forward(lambda net, x: net.two(between(net.part, net.one(x))), one=one, part=part, two=two)
    found = dropped(dn.compact(net, torch.randn(2, 5, 3)))
    assert {other.why for other in found.others} == {why}
    assert all(other.name.startswith("part.") and other.weights == other.weights_before for other in found.others)
    whole = sum(parameter.numel() for parameter in net.parameters() if parameter.ndim > 1)
    assert found.weights_before == found.weights == whole
    assert f"weights ({why})" in str(found)
    assert [reason.startswith(stays) for reason in found.stayed] == [True]


def test_a_convolution_with_groups_before_which_units_stay_says_so() -> None:
    net = nn.Sequential(without(nn.Conv2d(2, 4, 1), 1), nn.Conv2d(4, 4, 1, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
    found = dropped(dn.compact(net, torch.randn(2, 2, 5, 5)))
    assert found.stayed == {"'1' is a convolution with groups, which is kept whole": 1}
    assert [(other.name, other.weights) for other in found.others] == [("1.weight", 8)]


def test_the_totals_count_depthwise_tied_and_hooked_layers_and_what_is_left_of_them() -> None:
    each, tied = nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 4)
    hooked, twice = nn.Linear(4, 3), nn.Linear(4, 4)
    hooked.register_forward_hook(lambda module, inputs, output: output)
    twice.weight = tied.weight

    def forward(net: Any, x: Tensor) -> Tensor:
        return net.hooked(net.twice(net.tied(net.each(net.one(x)).mean((2, 3)))))

    parts = {"one": nn.Conv2d(2, 4, 1), "each": each, "tied": tied, "twice": twice, "hooked": hooked}
    net = Forward(forward, **parts)
    found = dropped(dn.compact(net, torch.randn(2, 2, 5, 5)))
    assert (found.weights_before, found.weights) == (8 + 36 + 16 + 12,) * 2
    assert [(other.name, other.why) for other in found.others] == [
        ("each.weight", "its filters go with their channels"),
        ("tied.weight", "it is used more than once, or shares its numbers"),
        ("hooked.weight", "it has a hook"),
    ]
    narrow = nn.Sequential(nn.Conv2d(2, 4, 1), each, nn.Conv2d(4, 2, 1))
    unread(narrow[2], 1)
    found = dropped(dn.compact(narrow, torch.randn(2, 2, 5, 5)))
    assert [(other.weights_before, other.weights) for other in found.others] == [(36, 27)]
    assert (found.weights_before, found.weights) == (8 + 36 + 8, 6 + 27 + 6)


def test_units_that_only_one_another_read_go() -> None:
    class Stream(nn.Module):
        """The second unit of the sum is read by the block that adds to it alone."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block, self.out = nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.out(x + torch.relu(self.block(x)))

    net = Stream()
    with torch.no_grad():
        net.block.weight[0, 1] = net.out.weight[0, 1] = 0
    assert sizes(dn.compact(net, torch.randn(3, 3)))["stem"] == (3, 1)


def test_inputs_and_features_that_are_not_read_become_an_index() -> None:
    net = conv_pair(0)
    with torch.no_grad():
        net[4].weight[:, 3:100] = 0  # type: ignore[operator]
    small = dn.compact(net, torch.randn(2, 1, 9, 9))
    assert sizes(small) == {"0": (1, 4), "2": (4, 2), "4": (28, 2)}
    net = nn.Sequential(nn.Linear(6, 4))
    with torch.no_grad():
        net[0].weight[:, [0, 2, 5]] = 0  # type: ignore[operator]
    small = dn.compact(net, torch.randn(2, 6))
    assert sizes(small) == {"0": (3, 4)}
    assert small.get_buffer("0_inputs" if hasattr(small, "0_inputs") else "_0_inputs").tolist() == [1, 3, 4]


def test_constant_outputs_stay_outputs() -> None:
    net = mlp([3, 4, 5], nn.Tanh)
    with torch.no_grad():
        net[2].weight[[1, 3]] = 0  # type: ignore[operator]
    small = dn.compact(net, torch.randn(2, 3))
    assert sizes(small)["2"] == (4, 5)
    assert dropped(small).stayed == {"they are outputs of the network": 2}


def test_a_layer_norm_counts_its_dead_channels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight[1] = 0  # type: ignore[operator]
        net[3].weight[:, 2] = 0  # type: ignore[operator]
        net[3].weight[0] = 0  # type: ignore[operator]
    small = dn.compact(net, torch.randn(2, 3))
    assert sizes(small) == {"0": (3, 6), "3": (5, 3), "5": (3, 2)}
    assert dropped(small).stayed == {"'1' mixes them all": 1}


def test_pruning_of_torch_and_parametrizations_become_plain_weights() -> None:
    net = mlp([4, 6, 3], nn.ReLU)
    torch_prune.ln_structured(net[0], "weight", amount=2, n=2, dim=0)  # type: ignore[no-untyped-call]
    nn.utils.parametrizations.weight_norm(net[2])
    small = dn.compact(net, torch.randn(3, 4))
    assert sizes(small)["0"] == (4, 4)
    assert {name for name, _ in small.named_parameters()} == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert hasattr(net[0], "weight_orig"), "the network itself is left as it is"


@pytest.mark.parametrize("shape", [(6, 1), (1, 4), (4,), (5, 4), (4, 6)])
def test_a_mask_of_another_shape_is_refused_even_where_torch_would_broadcast_it(shape: tuple[int, ...]) -> None:
    net = mlp([4, 6, 3], nn.ReLU)
    torch_prune.identity(net[0], "weight")  # type: ignore[no-untyped-call]
    net[0].weight_mask = torch.ones(shape)
    with pytest.raises(
        ArgumentError, match=r"0.weight_mask is not of the shape of 0.weight_orig: \[.*\], not \[6, 4\]"
    ):
        dn.compact(net, torch.randn(3, 4))


def test_a_parametrization_that_fails_is_one_line() -> None:
    class Fails(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            if weight.requires_grad:
                return weight
            raise RuntimeError("no weights\ntoday")

    net = mlp([4, 6, 3], nn.ReLU)
    nn.utils.parametrize.register_parametrization(net[0], "weight", Fails())
    net[0].parametrizations.weight.original.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(ArgumentError, match=r"^the weights of '0' cannot be computed: no weights$"):
        dn.compact(net, torch.randn(3, 4))


def test_layers_that_share_a_weight_or_are_used_twice_stay_whole() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.two(torch.relu(self.one(x)))))

    net = Tied()
    with torch.no_grad():
        net.one.weight[1] = 0
    small = dn.compact(net, torch.randn(3, 4))
    assert sizes(small) == {"out": (4, 2)}


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class CountsOnItsSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.relu(self.one(x)) * torch.ones(4, 1, 1)[:4])


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(self.fc(x), training=True)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class ChangesAView(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x)
        hidden.flatten(1).relu_()
        outputs: Tensor = self.fc(hidden.view(-1, 2))
        return outputs


@pytest.mark.parametrize(
    ("net", "shape", "said"),
    [
        (Untraceable(), (2, 3), "cannot be followed"),
        (Pair(), (2, 3), "does not return one tensor"),
        (nn.Linear(3, 2), (2, 4), "does not run on the example input: mat1 and mat2"),
        (nn.Linear(3, 2), (0, 3), "has no samples"),
        (ChangesAView(), (2, 1, 3, 3), "relu_ changes conv in place, in another shape, and it is read later"),
        (nn.LazyLinear(2), (2, 3), "'weight' of LazyLinear holds no numbers yet"),
        (nn.Linear(3, 2, device="meta"), (2, 3), "'weight' of Linear holds no numbers yet"),
        (torch.jit.script(nn.Linear(3, 2)), (2, 3), "TorchScript cannot be followed"),
        (nn.Sequential(OrderedDict(dropped=nn.Linear(3, 2))), (2, 3), "has a part named 'dropped'"),
        (nn.Sequential(OrderedDict({"in": nn.Linear(3, 2)})), (2, 3), "a part named 'in', which is a word of Python"),
    ],
)
def test_what_cannot_be_made_smaller_is_refused_in_a_line(net: nn.Module, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ArgumentError, match=said) as raised:
        dn.compact(net, torch.randn(shape))
    assert "\n" not in str(raised.value)


def test_a_network_that_draws_random_numbers_is_not_equal_to_itself() -> None:
    with pytest.raises(NotEqualError, match="differ by"):
        dn.compact(Noisy(), torch.randn(20, 3))


def test_units_that_something_unknown_reads_stay() -> None:
    net = CountsOnItsSize()
    with torch.no_grad():
        net.one.weight[1] = 0
        net.two.weight[:, 2] = 0
    assert sizes(dn.compact(net, torch.randn(2, 1, 3, 3)))["one"] == (1, 4)


def test_a_proof_names_what_differs() -> None:
    torch.manual_seed(0)
    net, other = mlp([4, 5, 3], nn.ReLU), mlp([4, 5, 3], nn.ReLU)
    other.load_state_dict(net.state_dict())
    inputs = torch.randn(100, 4)
    assert prove(net, other, inputs, classes=True).changed_predictions == 0
    with torch.no_grad():
        other[2].bias += torch.tensor([0.0, 1e-3, 0.0])  # type: ignore[operator]
    with pytest.raises(NotEqualError, match="of the largest output in float64"):
        prove(net, other, inputs)
    with pytest.raises(NotEqualError, match=r"puts out \[100, 2\], not \[100, 3\]"):
        prove(net, mlp([4, 2], nn.ReLU), inputs)
    with pytest.raises(NotEqualError, match="the network itself puts out NaN"):
        prove(net, net, inputs.log())


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    net = nn.Linear(3, 1)
    with pytest.raises(ArgumentError, match=r"classes are outputs \[N, 2 or more\], not \[5, 1\]: leave 'classes' out"):
        prove(net, net, torch.randn(5, 3), classes=True)
    with pytest.raises(ArgumentError, match="no samples to compare"):
        prove(net, net, torch.randn(0, 3))
    with pytest.raises(ArgumentError, match=r"must be a tensor \[B, ...\], not list"):
        dn.compact(net, [1.0])  # type: ignore[arg-type]


def test_a_prediction_that_rounding_changes_is_explained() -> None:
    """Two outputs that are equal but for rounding: which is the larger one is chance."""
    net, other = nn.Linear(1, 2), nn.Linear(1, 2)
    with torch.no_grad():
        for module, last in ((net, 1.0), (other, 1.0 + 2**-23)):
            module.weight.copy_(torch.tensor([[1.0], [last]]))
            module.bias.zero_()
    proof = prove(net, other, torch.ones(3, 1), classes=True)
    assert (proof.changed_predictions, proof.unexplained_predictions) == (3, 0)


class WrongInFloat32(nn.Module):
    """Gives what a network gives, and something else on top where it computes in float32."""

    def __init__(self, net: nn.Module, added: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("added", torch.tensor(added))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.net(x)
        return outputs + self.get_buffer("added") if x.dtype == torch.float32 else outputs


@pytest.mark.parametrize(
    ("added", "classes", "said"),
    [
        ((0.0, 100.0, 0.0), True, r"another class for \d+ of 200 samples, which rounding does not explain"),
        ((0.0, 100.0, 0.0), False, "differ by 1e[+]02 in float32"),
        ((1e-3, 1e-3, 1e-3), True, "differ by 0.001 in float32"),
        ((torch.nan, 0.0, 0.0), True, r"another class for \d+ of 200 samples"),
        ((torch.nan, 0.0, 0.0), False, "differ by nan in float32"),
        ((0.0, -torch.inf, 0.0), False, "differ by inf in float32"),
    ],
)
def test_a_smaller_network_that_is_wrong_in_float32_alone_is_no_proof(
    added: tuple[float, ...], classes: bool, said: str
) -> None:
    """Its own rounding does not count: else whatever it puts out would explain itself."""
    torch.manual_seed(0)
    net = mlp([4, 5, 3], nn.ReLU)
    with pytest.raises(NotEqualError, match=said):
        prove(net, WrongInFloat32(net, added), torch.randn(200, 4), classes=classes, batch_size=64)


def test_a_network_that_is_nan_in_float32_alone_is_no_proof() -> None:
    net = WrongInFloat32(mlp([4, 3], nn.ReLU), [torch.nan] * 3)
    with pytest.raises(NotEqualError, match="the network itself puts out NaN"):
        prove(net, net, torch.randn(5, 4))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda channels: nn.GroupNorm(3, channels)])
def test_a_filter_without_weights_goes_with_what_normalises_it(norm: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), norm(6), nn.ReLU(), nn.Conv2d(6, 2, 3, padding=1), nn.ReLU()).eval()
    normalise_(net)
    with torch.no_grad():
        net[0].weight[2:4] *= 1e-4  # type: ignore[index, operator]
    assert not dn.prune(net, 1e-3, layers=["0", "3"])["0"][2:4].any()
    small = dn.compact(net, torch.randn(2, 1, 9, 9))
    assert sizes(small) == {"0": (1, 4), "3": (4, 2)}
    assert dropped(small).stayed == {}


class Forward(nn.Module):
    """A network of the given parts, with a function as its ``forward``."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)


T = TypeVar("T", bound=nn.Module)


def without(layer: T, *units: int, bias: float | None = None) -> T:
    """Return the layer, without weights into these units."""
    with torch.no_grad():
        for unit in units:
            layer.weight[unit] = 0  # type: ignore[operator]
            if bias is not None:
                layer.bias[unit] = bias  # type: ignore[operator]
    return layer


def unread(layer: T, *inputs: int) -> T:
    """Return the layer, without weights from these inputs."""
    with torch.no_grad():
        layer.weight[:, list(inputs)] = 0  # type: ignore[operator]
    return layer


def in_place(change: Callable[[Any, Tensor], object], result_is_read: bool) -> Forward:
    """A network whose hidden units are changed in place by ``change``, and read again by their first name."""

    def forward(net: Any, x: Tensor) -> Any:
        hidden = net.one(x)
        changed = change(net, hidden)
        return net.two(changed + hidden if result_is_read else hidden)

    parts = {"act": nn.ReLU(inplace=True), "same": nn.Identity()}
    return Forward(forward, one=without(nn.Linear(4, 5), 1, 2, bias=-2.0), two=nn.Linear(5, 2), **parts)


def hidden(between: Callable[[Any, Tensor], Any], channels: int = 5, **parts: nn.Module) -> Forward:
    """Two linear layers with something between them; no weight enters the second neuron."""
    one, two = without(nn.Linear(4, 5), 1), nn.Linear(channels, 2)
    return Forward(lambda net, x: net.two(between(net, net.one(x))), one=one, two=two, **parts)


def image(between: Callable[[Any, Tensor], Any], channels: int = 5, padding: int = 0, **parts: nn.Module) -> Forward:
    """Two convolutions with something between them; no weight enters the second filter, which emits 1."""
    one, two = without(nn.Conv2d(2, 5, 3), 1, bias=1.0), nn.Conv2d(channels, 2, 1, padding=padding)
    return Forward(lambda net, x: net.two(between(net, net.one(x))), one=one, two=two, **parts)


def gated(spread: Callable[[Tensor], Tensor]) -> Forward:
    return image(
        lambda net, x: x * spread(torch.sigmoid(net.gate(x.mean((2, 3))))), gate=without(nn.Linear(5, 5), 1, bias=0.0)
    )


def with_hook(net: nn.Sequential, part: int) -> nn.Sequential:
    net[part].register_forward_hook(lambda module, inputs, output: output + 1)
    return net


VECTOR, IMAGE = (3, 4), (3, 2, 7, 7)


@pytest.mark.parametrize(
    ("net", "shape", "expected"),
    [
        # in place
        (in_place(lambda net, x: net.act(x), True), VECTOR, {"one": (4, 3)}),
        (in_place(lambda net, x: net.act(net.same(x)), True), VECTOR, {"one": (4, 3)}),
        (in_place(lambda net, x: net.act(x), False), VECTOR, {"one": (4, 3)}),
        (in_place(lambda net, x: x.relu_(), False), VECTOR, {"one": (4, 3)}),
        (in_place(lambda net, x: functional.relu(x, inplace=True), False), VECTOR, {"one": (4, 3)}),
        (
            hidden(
                lambda net, x: net.late(net.early(x)).mul_(x),
                early=nn.Linear(5, 3),
                late=unread(nn.Linear(3, 5), 0, 1, 2),
            ),
            VECTOR,
            {"one": (4, 4), "early": (0, 0), "late": (0, 0)},
        ),
        (Forward(lambda net, x: net.one(x.add_(1)), one=nn.Linear(4, 2)), VECTOR, {"one": (4, 2)}),
        # ways to write the same
        (hidden(lambda net, x: 1 - x), VECTOR, {"one": (4, 4)}),
        (hidden(lambda net, x: torch.add(input=x, other=x * 2, alpha=2)), VECTOR, {"one": (4, 4)}),
        (hidden(lambda net, x: torch.cat([x, x], -1), 10), VECTOR, {"one": (4, 4), "two": (8, 2)}),
        (hidden(lambda net, x: torch.cat(tensors=[x, x], dim=1), 10), VECTOR, {"one": (4, 4), "two": (8, 2)}),
        (hidden(lambda net, x: torch.concat((x, x), axis=1), 10), VECTOR, {"one": (4, 4), "two": (8, 2)}),  # type: ignore[call-arg]
        (hidden(lambda net, x: torch.flatten(x, 2)), (3, 6, 4), {"one": (4, 4)}),
        (image(lambda net, x: x.contiguous(memory_format=torch.channels_last)), IMAGE, {"one": (2, 4)}),
        (gated(lambda gate: gate[:, :, None, None]), IMAGE, {"one": (2, 4), "gate": (4, 4)}),
        (gated(lambda gate: gate.unsqueeze(-1).unsqueeze(2)), IMAGE, {"one": (2, 4), "gate": (4, 4)}),
        (gated(lambda gate: gate.view(gate.size(0), gate.size(1), 1, 1)), IMAGE, {"one": (2, 4), "gate": (4, 4)}),
        # sizes
        (hidden(lambda net, x: x / x.size(1)), VECTOR, {"one": (4, 5)}),
        (
            Forward(
                lambda net, x: net.two(y := net.one(x)) / y.shape[1],
                one=without(nn.Linear(4, 5), 1),
                two=nn.Linear(5, 2),
            ),
            VECTOR,
            {"one": (4, 5)},
        ),
        (
            Forward(
                lambda net, x: net.two(y := net.one(x)) / y.shape[0],
                one=without(nn.Linear(4, 5), 1),
                two=nn.Linear(5, 2),
            ),
            VECTOR,
            {"one": (4, 4)},
        ),
        # pooling and padding
        (image(lambda net, x: x, padding=1), IMAGE, {"one": (2, 5)}),
        (image(lambda net, x: net.pool(x), pool=nn.AvgPool2d(3, 2, 1)), IMAGE, {"one": (2, 5)}),
        (
            image(lambda net, x: net.pool(x), pool=nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
            IMAGE,
            {"one": (2, 4)},
        ),
        (image(lambda net, x: net.pool(x), pool=nn.AvgPool2d(2, ceil_mode=True)), IMAGE, {"one": (2, 4)}),
        (image(lambda net, x: net.pool(x), pool=nn.AvgPool2d(2, divisor_override=3)), IMAGE, {"one": (2, 5)}),
        (image(lambda net, x: net.pool(x), pool=nn.AdaptiveAvgPool2d(9)), IMAGE, {"one": (2, 4)}),
        (image(lambda net, x: net.pool(x), pool=nn.Dropout2d()), IMAGE, {"one": (2, 4)}),
        (image(lambda net, x: net.pool(x), pool=nn.Upsample(scale_factor=2, mode="bilinear")), IMAGE, {"one": (2, 4)}),
        (image(lambda net, x: functional.interpolate(x, size=3)), IMAGE, {"one": (2, 4)}),
        (hidden(lambda net, x: net.pool(x), 2, pool=nn.MaxPool1d(2)), VECTOR, {"one": (4, 5)}),
        (hidden(lambda net, x: net.pool(x), pool=nn.AdaptiveAvgPool1d(5)), VECTOR, {"one": (4, 5)}),
        # parts used twice, and what else has an effect on them
        (hidden(lambda net, x: net.norm(net.norm(x)), norm=nn.BatchNorm1d(5, affine=False)), VECTOR, {"one": (4, 5)}),
        (
            Forward(lambda net, x: functional.linear(net.one(x), net.one.weight.t()), one=unread(nn.Linear(4, 5), 2)),
            VECTOR,
            {},
        ),
        (with_hook(mlp([4, 5, 2], nn.ReLU), 0), VECTOR, {"2": (5, 2)}),
        (with_hook(mlp([4, 5, 2], nn.ReLU), 1), VECTOR, {"0": (4, 5), "2": (5, 2)}),
        (nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 5)), unread(nn.Linear(5, 2), 1)), VECTOR, {"1": (5, 2)}),
        # names
        (
            Forward(
                lambda net, x: net.fc_inputs(net.net(net.fc(x))),
                fc=unread(nn.Linear(4, 5), 1),
                net=nn.ReLU(),
                fc_inputs=nn.Linear(5, 2),
            ),
            VECTOR,
            {"fc": (3, 5)},
        ),
        (
            Forward(
                lambda net, x: net.a[0](x) + net.a_0(x),
                a=nn.Sequential(unread(nn.Linear(4, 5), 1)),
                a_0=unread(nn.Linear(4, 5), 0, 3),
            ),
            VECTOR,
            {"a.0": (3, 5), "a_0": (2, 5)},
        ),
        # few numbers
        (mlp([1, 5, 2], nn.ReLU), (1, 1), {"0": (1, 5)}),
        (Forward(lambda net, x: net.one(x).sum(), one=nn.Linear(4, 2)), VECTOR, {"one": (4, 2)}),
        (Forward(lambda net, x: torch.log(net.one(x).relu() * 0), one=nn.Linear(4, 2)), VECTOR, {"one": (4, 2)}),
        (nn.Identity(), VECTOR, {}),
    ],
)
def test_hostile_networks_keep_their_outputs(
    net: nn.Module, shape: tuple[int, ...], expected: dict[str, tuple[int, int]]
) -> None:
    """As ``dn.compact`` proves. Neither the network nor its input is changed."""
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    before, state = inputs.clone(), copy.deepcopy(net.state_dict())
    small = dn.compact(net, inputs)
    assert sizes(small).items() >= expected.items()
    assert "→" in str(dropped(small))
    torch.testing.assert_close(inputs, before, rtol=0, atol=0)
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_precision_of_a_network_stays(dtype: torch.dtype) -> None:
    net = hidden(lambda net, x: torch.sigmoid(x)).to(dtype)
    small = dn.compact(net, torch.randn(VECTOR).to(dtype))
    assert sizes(small) == {"one": (4, 4), "two": (4, 2)}
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}


def test_a_frozen_network_stays_frozen_with_the_biases_that_it_gets() -> None:
    net = nn.Sequential(without(nn.Linear(4, 5), 1, bias=1.0), nn.Linear(5, 2, bias=False)).requires_grad_(False)
    small = dn.compact(net, torch.randn(VECTOR))
    assert sizes(small)["0"] == (4, 4)
    assert {name: parameter.requires_grad for name, parameter in small.named_parameters()} == dict.fromkeys(
        ("0.weight", "0.bias", "1.weight", "1.bias"), False
    )


def test_a_network_is_made_smaller_in_inference_mode() -> None:
    with torch.inference_mode():
        small = dn.compact(in_place(lambda net, x: net.act(x), True), torch.randn(VECTOR))
    assert sizes(small)["one"] == (4, 3)
    small(torch.randn(VECTOR)).sum().backward()


def test_a_copy_says_what_was_dropped_too() -> None:
    first = nn.Linear(4, 5)
    network = nn.Sequential(first, nn.ReLU(), nn.Linear(5, 2)).eval()
    with torch.no_grad():
        first.weight[:2] = 0
    found = dn.compact(network, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    assert isinstance(found.dropped, Dropped)
    assert found.dropped.layers[0].outputs == 3
    assert copy.deepcopy(found).dropped == found.dropped
