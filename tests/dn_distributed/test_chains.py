"""What is no chain of layers is never counted or cut as one, and what is one is counted as ``compact`` leaves it."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import dn_distributed as dn
from dn_distributed import pruning
from dn_distributed.chains import is_followed_chain, why_no_followed_chain
from dn_distributed.compaction.dropped import Dropped
from dn_distributed.compaction.needed import is_shown_chain
from dn_distributed.config import Drop, Prune, Training
from dn_distributed.data import Split, Splits
from dn_distributed.training import Trainer
from tests.dn_distributed.own_models import OwnTask

STILL = 1e-30
"""A learning rate at which nothing moves."""
SIZE = 6
"""Of images."""

Way = Callable[[Tensor], Tensor]


class Two(nn.Module):
    """Two layers, and how one leads to the other."""

    def __init__(self, first: nn.Module, way: Way | nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.way, self.second = first, way, second

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.way(self.first(x)))
        return outputs


def conv_conv(way: Way | nn.Module) -> tuple[nn.Module, Tensor]:
    return Two(nn.Conv2d(1, 4, 3), way, nn.Conv2d(4, 3, 3)), torch.randn(2, 1, 8, 8)


def conv_fc(way: Way | nn.Module, num_inputs: int = 4 * 4) -> tuple[nn.Module, Tensor]:
    return Two(nn.Conv2d(1, 4, 3), way, nn.Linear(num_inputs, 3)), torch.randn(2, 1, 4, 4)


def fc_fc(way: Way | nn.Module) -> tuple[nn.Module, Tensor]:
    return Two(nn.Linear(5, 4), way, nn.Linear(4, 3)), torch.randn(2, 5)


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def cat(x: Tensor) -> Tensor:
    return torch.cat([x.flatten(1), x.flatten(1)], 1)


CHAINS = {
    "relu": fc_fc(torch.relu),
    "a product with itself": fc_fc(silu),
    "batch norm of values": fc_fc(nn.BatchNorm1d(4)),
    "batch norm of flat values": conv_fc(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16))),
    "pooling": conv_conv(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))),
    "a norm of each channel": conv_conv(nn.GroupNorm(4, 4)),
    "flatten": conv_fc(lambda x: torch.relu(x).flatten(1)),
    "a layer that flattens": conv_fc(nn.Flatten()),
    "view": conv_fc(lambda x: x.view(x.size(0), -1)),
    "view by numbers": conv_fc(lambda x: x.view(-1, 16)),
    "mean": conv_fc(lambda x: x.mean((2, 3)), 4),
    "keepdim": conv_fc(lambda x: x.mean((-1, -2), keepdim=True).flatten(1), 4),
}
OTHERS = {
    "permuted": (conv_fc(lambda x: x.permute(0, 2, 3, 1).flatten(1)), "between 'first' and 'second' stands permute"),
    "twice": (conv_fc(cat, 32), "between 'first' and 'second' stands cat"),
    "shuffled": (conv_conv(nn.ChannelShuffle(2)), "between 'first' and 'second' stands ChannelShuffle"),
    "rolled": (fc_fc(lambda x: x.roll(1, 1)), "between 'first' and 'second' stands roll"),
    "normalised together": (conv_conv(nn.GroupNorm(1, 4)), "between 'first' and 'second' stands GroupNorm"),
    "layer norm": (fc_fc(nn.LayerNorm(4)), "between 'first' and 'second' stands LayerNorm"),
    "batch norm of places": (
        (Two(nn.Linear(5, 4), nn.BatchNorm1d(7), nn.Linear(4, 3)), torch.randn(2, 7, 5)),
        "between 'first' and 'second' stands BatchNorm1d",
    ),
    "softmax": (fc_fc(nn.Softmax(1)), "between 'first' and 'second' stands Softmax"),
    "residual": (
        (nn.Sequential(nn.Linear(5, 4), Two(nn.ReLU(), nn.Linear(4, 4), nn.ReLU())), torch.randn(2, 5)),
        "",
    ),
    "along places": (conv_fc(nn.Identity(), 2), "layer 'second' reads along another dimension"),
    "places of channels": (conv_fc(nn.Flatten(2), 4), "between 'first' and 'second' stands Flatten"),
    "mean of channels": (conv_fc(lambda x: x.mean(1).flatten(1), 4), "between 'first' and 'second' stands mean"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_what_leaves_units_as_they_are_makes_a_chain(name: str) -> None:
    network, example = CHAINS[name]
    layers = ("first", "second")
    assert why_no_followed_chain(network, layers) == ""
    assert is_shown_chain(network, example, layers)
    assert dn.count(network, layers=layers, example_input=example).is_chain


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - {"residual"}))
def test_what_may_mix_or_move_units_makes_none(name: str) -> None:
    (network, example), reason = OTHERS[name]
    layers = ("first", "second")
    assert reason in why_no_followed_chain(network, layers)
    assert not is_shown_chain(network, example, layers)
    assert not dn.count(network, layers=layers).is_chain
    assert not dn.count(network, layers=layers, example_input=example).is_chain


def test_channels_that_become_samples_make_no_chain() -> None:
    """Their sizes alone do not tell: it takes an example."""

    class Channels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(36, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).view(-1, 36)).view(-1, 4, 3).mean(1)

    network, layers = Channels(), ("conv", "fc")
    assert is_followed_chain(network, layers)
    assert not is_shown_chain(network, torch.randn(2, 1, 8, 8), layers)


def test_a_normalisation_that_others_read_too_keeps_its_gain() -> None:
    """The filter of one convolution that is gone is there in the other."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.norm = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.norm(self.one(x)) + self.norm(self.other(x))
            return outputs

    network = Shared()
    with torch.no_grad():
        network.one.weight[0] = 0
    dn.prune(network, 0.0, layers=["one", "other"])
    assert network.one.bias is not None
    assert network.one.bias[0] == 0
    assert network.norm.weight.tolist() == [1, 1]


# --- while training ----------------------------------------------------------------------------------------------


def trainer_of(
    make: Callable[[], nn.Module],
    layers: Sequence[str],
    phases: Sequence[Training],
    shape: Sequence[int] = (1, SIZE, SIZE),
    always_shrink: bool = True,
) -> Trainer:
    """Trains on a few random samples of three classes."""
    draw = torch.Generator().manual_seed(1)
    split = Split(torch.randn(8, *shape, generator=draw), torch.arange(8) % 3)
    kind = type("Own", (OwnTask,), {"make": staticmethod(make), "head": tuple(layers), "vectorize_on_cpu": False})
    return Trainer(kind(), {}, phases, 0.02, Splits(split, split, split), [0], always_shrink=always_shrink)


def phases_with(**second: object) -> list[Training]:
    still = {"batch_size": 4, "optimizer": "sgd", "learning_rate": STILL, "steps": 1}
    return [Training(**still), Training(**{**still, **second})]  # type: ignore[arg-type]


def loss_before_and_after(trainer: Trainer) -> tuple[float, float]:
    """Of the pruned network, before and after its structure is fixed."""
    trainer.advance(trainer.phases[0].end)
    before = trainer.validate(pruned=True)["loss"][0]
    trainer.advance(1)
    return before, trainer.validate(pruned=True)["loss"][0]


class Permuted(nn.Module):
    """Its last layer reads the features of all filters at one place side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc(torch.relu(self.conv(x)).permute(0, 2, 3, 1).flatten(1))
        return outputs


@pytest.mark.parametrize("how", [{"fixed_structure": True}, {"prune": Prune(keep=0.9)}])
@pytest.mark.parametrize("shrink", [True, False])
def test_features_in_another_order_are_not_cut_as_those_of_one_filter(how: dict[str, object], shrink: bool) -> None:
    trainer = trainer_of(Permuted, ("conv", "fc"), phases_with(shrink=shrink, **how))
    trainer.replicas.parameters["conv.weight"][:, 1:] = 0
    trainer.advance(1)
    cut = Prune(keep=0.9) if "prune" in how else 0.02
    left = pruning.prune({name: weight.clone() for name, weight in trainer.replicas.weights().items()}, cut)
    trainer.advance(1)
    for name, weight in trainer.replicas.weights().items():
        torch.testing.assert_close(weight, left[name])


def test_what_is_no_chain_drops_no_units() -> None:
    with pytest.raises(dn.DropNeuronError, match=r"are no chain, .*: between 'conv' and 'fc' stands permute"):
        trainer_of(Permuted, ("conv", "fc"), phases_with(drop=Drop(to=0.5)))


class Padded(nn.Module):
    """A filter that emits a constant ends at the border of an image, which no bias says."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(n, 4, 3, padding=1) for n in (1, 4, 4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.three(torch.relu(self.two(torch.relu(self.one(x))))))
        outputs: Tensor = self.fc(x.square().mean((2, 3)))
        return outputs


class Unbiased(nn.Module):
    """Its second layer has no bias that could take up what a dead unit of the first emits."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(36, 8), nn.Linear(8, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.two(torch.sigmoid(self.one(x.flatten(1))))
        return outputs


@pytest.mark.parametrize(
    ("make", "layers", "dead"),
    [(Padded, ("one", "two", "three", "fc"), "one"), (Unbiased, ("one", "two"), "one")],
)
def test_dead_units_stay_where_no_bias_takes_up_what_they_emit(
    make: Callable[[], nn.Module], layers: tuple[str, ...], dead: str
) -> None:
    phases = [*phases_with(fixed_structure=True), phases_with(fixed_structure=True)[1]]
    trainer = trainer_of(make, layers, phases)
    parameters = trainer.replicas.parameters
    parameters[f"{dead}.weight"][:, :2] = 0
    if make is Padded:
        parameters["two.weight"][:, 3, 2:] = 0  # reads dead filters alone
        parameters["two.bias"].fill_(0.8)
    before, after = loss_before_and_after(trainer)
    assert after == pytest.approx(before, rel=1e-5)
    trainer.advance(1)
    assert trainer.validate(pruned=True)["loss"][0] == pytest.approx(before, rel=1e-5)


class Tied(nn.Module):
    """An autoencoder that decodes by the weights of its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(36, 8), nn.Linear(8, 8)
        self.last = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        code = torch.relu(self.two(torch.relu(self.one(x.flatten(1)))))
        outputs: Tensor = self.last(functional.linear(code, self.one.weight.t()))
        return outputs


class _Standardised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return functional.linear(x, weight, self.bias)


class Standardised(nn.Module):
    """Its first layers compute other weights of theirs: a zero is none there."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = _Standardised(36, 8), _Standardised(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))
        return outputs


class StandardisedFilters(nn.Module):
    class _Conv(nn.Conv2d):
        def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            found: Tensor = super()._conv_forward(input, weight - weight.mean((1, 2, 3), keepdim=True), bias)
            return found

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = self._Conv(1, 4, 3), self._Conv(4, 4, 2), nn.Linear(4 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(torch.relu(self.two(torch.relu(self.one(x)))).flatten(1))
        return outputs


class Hooked(nn.Module):
    """Its first layer has a hook that lets what it puts out depend on all of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(36, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.two.register_forward_hook(lambda layer, _inputs, outputs: outputs * layer.weight.mean())

    forward = Standardised.forward


READ_OTHERWISE = {
    Tied: (("one", "two"), "the weight of layer 'one' is used elsewhere in forward() too"),
    Standardised: (("one", "two", "last"), "layer 'one' is a _Standardised, which has a forward() of its own"),
    StandardisedFilters: (("one", "two", "last"), "layer 'one' is a _Conv, which convolves in a way of its own"),
    Hooked: (("one", "two", "last"), "layer 'two' has a hook"),
}
read_otherwise = pytest.mark.parametrize("make", READ_OTHERWISE)


@read_otherwise
@pytest.mark.parametrize("shrink", [True, False])
def test_units_stay_where_weights_are_read_otherwise_than_by_their_layer(make: type[nn.Module], shrink: bool) -> None:
    layers, reason = READ_OTHERWISE[make]
    trainer = trainer_of(make, layers, phases_with(fixed_structure=True, shrink=shrink))
    trainer.replicas.parameters[f"{layers[1]}.weight"][:, :, :3] = 0
    before, after = loss_before_and_after(trainer)
    assert after == pytest.approx(before, rel=1e-5)
    with pytest.raises(dn.DropNeuronError, match=f"are no chain, .*: {re.escape(reason)}"):
        trainer_of(make, layers, phases_with(drop=Drop(to=0.5)))


@read_otherwise
def test_where_weights_are_read_otherwise_as_much_is_counted_as_compact_leaves(make: type[nn.Module]) -> None:
    (layers, reason), example = READ_OTHERWISE[make], torch.randn(3, 1, SIZE, SIZE)
    network = make()
    with torch.no_grad():
        network.get_submodule(layers[1]).get_parameter("weight")[:, :3] = 0
    assert why_no_followed_chain(network, layers) == reason
    assert not dn.count(network, layers=layers).is_chain
    found = dn.count(network, layers=layers, example_input=example)
    compact = dn.compact(network, example)
    left = sum(compact.get_parameter(f"{layer}.weight").numel() for layer in layers)
    assert not found.is_chain
    assert found.dense_size == left
    alone = dn.count(network, layers=layers[:1], example_input=example)
    assert alone.is_chain == (make is Hooked), "of one layer too"


class Borders(nn.Sequential):
    """Convolutions that pad, behind something that makes of nothing a constant."""

    def __init__(self, *between: nn.Module) -> None:
        one, two, three = (nn.Conv2d(n, 8, 3, padding=1) for n in (1, 8, 8))
        super().__init__(one, *between, two, nn.ReLU(), three, nn.ReLU(), nn.Flatten(), nn.Linear(8 * SIZE**2, 3))
        for part in self:
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean = torch.linspace(-1, 1, 8)


BORDERS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "relu": (lambda: Borders(nn.ReLU()), False),
    "sigmoid": (lambda: Borders(nn.Sigmoid()), True),
    "relu, norm": (lambda: Borders(nn.ReLU(), nn.BatchNorm2d(8)), True),
    "norm without gain": (lambda: Borders(nn.BatchNorm2d(8, affine=False), nn.ReLU()), True),
}


def layers_of(network: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear))


@pytest.mark.parametrize("chained", [False, True], ids=["without weights", "behind such"])
@pytest.mark.parametrize("name", BORDERS)
def test_a_filter_whose_constant_ends_at_a_border_is_counted_as_compact_leaves_it(name: str, chained: bool) -> None:
    make, more = BORDERS[name]
    network, example = make().eval(), torch.randn(3, 1, SIZE, SIZE)
    layers = layers_of(network)
    with torch.no_grad():
        network.get_submodule(layers[0]).get_parameter("weight")[:3] = 0
        if chained:  # two filters that read those alone
            network.get_submodule(layers[1]).get_parameter("weight")[:2, 3:] = 0
            network.get_submodule(layers[1]).get_parameter("bias")[:2] = 0.5  # else what they emit may be 0 behind ReLU
    dn.prune(network, 0.0, layers=layers)
    found = dn.count(network, layers=layers, example_input=example)
    dropped = dn.compact(network, example).dropped
    assert isinstance(dropped, Dropped)
    assert found.is_chain
    assert found.dense_size == dropped.weights
    assert (found.dense_size > dn.count(network, layers=layers).dense_size) == (more or chained)


def test_behind_such_filters_all_is_counted_that_they_enter() -> None:
    """No path leads through: places at the border differ, whatever enters the network."""
    network, example = Borders(nn.Sigmoid()).eval(), torch.randn(3, 1, SIZE, SIZE)
    layers = layers_of(network)
    with torch.no_grad():
        network.get_submodule(layers[0]).get_parameter("weight").zero_()
    dn.prune(network, 0.0, layers=layers)
    found = dn.count(network, layers=layers, example_input=example)
    dropped = dn.compact(network, example).dropped
    assert isinstance(dropped, Dropped)
    assert [unit.alive for unit in found.units] == [0, *(layer.outputs for layer in dropped.layers)]
    assert dropped.weights - found.dense_size == 8 * 9, "its input stays, as no layer of torch reads nothing"


def test_a_replicates_dense_size_has_filters_whose_constant_ends_at_a_border() -> None:
    make, layers = BORDERS["sigmoid"][0], layers_of(BORDERS["sigmoid"][0]())
    trainer = trainer_of(make, layers, phases_with()[:1])
    trainer.advance(1)
    trainer.replicas.parameters[f"{layers[0]}.weight"][:, :3] = 0
    (outcome,) = trainer.outcomes()
    network = trainer.replicas.plain_network(0, {})
    dn.prune(network, 0.02, layers=layers)
    dropped = dn.compact(network, torch.randn(3, 1, SIZE, SIZE)).dropped
    assert isinstance(dropped, Dropped)
    assert outcome.counts.dense_size == dropped.weights
    assert outcome.counts.units[1].alive == 8, "all of the first filters"


# --- any network -------------------------------------------------------------------------------------------------


class Branch(nn.Module):
    """What enters, and what a layer makes of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = x + self.layer(torch.relu(x))
        return outputs


class Does(nn.Module):
    def __init__(self, function: Way) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


IMAGES: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(4, 4, 2),
    "residual": lambda: Branch(nn.Conv2d(4, 4, 3, padding=1)),
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "pool": lambda: nn.MaxPool2d(2, 1),
    "average": lambda: nn.AvgPool2d(2, 1),
    "batch norm": lambda: nn.BatchNorm2d(4, momentum=0.0),
    "group norm": lambda: nn.GroupNorm(1, 4),
    "norms": lambda: nn.GroupNorm(4, 4),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
    "shuffle": lambda: nn.ChannelShuffle(2),
    "roll": lambda: Does(lambda x: x.roll(1, 1)),
    "cat": lambda: Does(lambda x: torch.cat([x[:, 2:], x[:, :2]], 1)),
    "transpose": lambda: Does(lambda x: x.transpose(2, 3)),
}
VALUES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 6),
    "no bias": lambda: nn.Linear(6, 6, bias=False),
    "residual": lambda: Branch(nn.Linear(6, 6)),
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "swish": lambda: Does(silu),
    "layer norm": lambda: nn.LayerNorm(6),
    "batch norm": lambda: nn.BatchNorm1d(6, momentum=0.0),
    "softmax": lambda: nn.Softmax(1),
    "roll": lambda: Does(lambda x: x.roll(1, 1)),
    "cat": lambda: Does(lambda x: torch.cat([x[:, 3:], x[:, :3]], 1)),
}
FLATTEN: dict[str, Way] = {
    "channel by channel": lambda x: x.flatten(1),
    "view": lambda x: x.reshape(x.shape[0], -1),
    "place by place": lambda x: x.permute(0, 2, 3, 1).flatten(1),
    "twice": lambda x: torch.cat([x.flatten(1), x.flatten(1)], 1),
    "mean": lambda x: x.mean((2, 3)),
}


def network_of(images: Sequence[str] | None, flatten: str, values: Sequence[str]) -> nn.Sequential:
    """Made of the steps of these names; without images fully connected layers alone."""
    parts: list[nn.Module] = [nn.Flatten(), nn.Linear(SIZE * SIZE, 6)]
    if images is not None:
        parts = [nn.Conv2d(1, 4, 2), *(IMAGES[name]() for name in images), Does(FLATTEN[flatten])]
        with torch.no_grad():
            num_features = nn.Sequential(*parts).eval()(torch.zeros(2, 1, SIZE, SIZE)).shape[1]
        parts.append(nn.Linear(num_features, 6))
    return nn.Sequential(*parts, *(VALUES[name]() for name in values), nn.Linear(6, 3))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.none() | st.lists(st.sampled_from(sorted(IMAGES)), max_size=3),
    st.sampled_from(sorted(FLATTEN)),
    st.lists(st.sampled_from(sorted(VALUES)), max_size=3),
    st.integers(0, 99),
    st.booleans(),
)
def test_any_network_is_counted_as_compact_leaves_it_and_stays_what_it_is_when_pruned(
    images: list[str] | None, flatten: str, values: list[str], seed: int, shrink: bool
) -> None:
    make = partial(network_of, images, flatten, values)
    layers = [name for name, part in make().named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    trainer = trainer_of(make, layers, phases_with(fixed_structure=True, shrink=shrink))
    draw = torch.Generator().manual_seed(seed)
    for weight in trainer.replicas.weights().values():
        of_units, of_inputs = (torch.rand(n, generator=draw) < 0.3 for n in weight.shape[1:3])
        weight[:, of_units] = 0
        weight[:, :, of_inputs] = 0
    before, after = loss_before_and_after(trainer)
    assert after == pytest.approx(before, rel=1e-4)

    (outcome,) = trainer.outcomes()
    network, inputs = trainer.replicas.plain_network(0, {}), torch.randn(2, 1, SIZE, SIZE)
    dropped = dn.compact(network, inputs).dropped
    assert isinstance(dropped, Dropped)
    left = {layer.name: layer.weights for layer in dropped.layers}
    if outcome.counts.is_chain:
        assert is_followed_chain(network, layers)
        left[layers[-1]] = left[layers[-1]] * outcome.counts.units[-1].alive // 3  # outputs stay, alive or not
    if all(unit.alive for unit in outcome.counts.units):  # torch has no layer without units
        assert outcome.counts.dense_size == sum(left.values())
