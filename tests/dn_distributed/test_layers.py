"""The order in which a network uses its layers is read from its ``forward``, or is asked for: it is never guessed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dn_distributed as dn
from dn_distributed.chains import forward_order, is_chain
from dn_distributed.layers import check_own_weights


class Pair(nn.Module):
    """Two layers, defined the other way round than they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(functional.dropout(torch.relu(2 * self.first(x.view(x.shape[0], -1))), training=True))


class OwnLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class Residual(Pair):
    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        return self.second(hidden) + hidden


class Skipping(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + x


class Flipped(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).flip(-1))


class Gated(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) * self.gate)


class Branching(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) if x.sum() > 0 else self.second(x)


class Twice(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.second(self.first(x)))


class Unused(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


class Parallel(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


def chain(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("network", "order"),
    [
        (Pair(), ("first", "second")),
        (nn.Linear(2, 3), ("",)),
        (nn.Sequential(nn.Flatten(), chain(nn.ReLU(), nn.BatchNorm1d(4), nn.Dropout()), nn.Softmax(1)), ("1.0", "1.4")),
        (nn.Sequential(OwnLinear(3, 4), nn.Tanh(), OwnLinear(4, 2)), ("0", "2")),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), chain()), ("3.0", "3.1")),
        (nn.Sequential(nn.ReLU()), ()),
    ],
)
def test_layers_are_named_in_the_order_of_their_use(network: nn.Module, order: tuple[str, ...]) -> None:
    assert forward_order(network) == order


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Residual(), "what lies between 'first' and 'second' is used elsewhere too"),
        (Skipping(), "what enters 'first' enters other parts of the network too"),
        (Flipped(), "between 'first' and 'second' stands flip, which may mix or move units"),
        (Gated(), "the one does not follow the other between 'first' and 'second'"),
        (Branching(), "it cannot be followed"),
        (Unused(), "layer 'second' is used nowhere in it"),
        (Parallel(), "the one does not follow the other between 'first' and 'second'"),
        (chain(nn.LayerNorm(4)), "stands LayerNorm, which may mix or move units"),
        (chain(nn.Softmax(1)), "stands Softmax, which"),
        (
            nn.Sequential(
                nn.Linear(4, 4), nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 2)
            ),
            "",
        ),
        (nn.TransformerEncoderLayer(4, 1), "it cannot be followed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_where_the_order_cannot_be_known_it_is_asked_for(network: nn.Module, reason: str) -> None:
    with pytest.raises(dn.DropNeuronError) as raised:
        dn.count(network)
    name = type(network).__name__
    assert str(raised.value).startswith(f"the order of the layers cannot be read from {name}.forward(): ")
    assert reason in str(raised.value)
    assert str(raised.value).endswith("name them in that order: layers=[…]")
    assert "\n" not in str(raised.value)


def test_a_layer_that_is_used_twice_is_not_asked_for_by_name() -> None:
    with pytest.raises(dn.DropNeuronError, match=r"^layer 'second' is used 2 times in Twice.forward\(\): ") as raised:
        dn.count(Twice())
    assert "layers=" not in str(raised.value)
    assert len(dn.masks(Twice(), 0.1)) == 2


def test_layers_that_are_named_are_counted_in_that_order() -> None:
    """Where ``forward`` cannot be followed: naming them says that they are a chain."""
    counts = dn.count(Branching(), layers=["first", "second"])
    assert [unit.name for unit in counts.units] == ["input", "first", "second"]
    assert dn.count(nn.Linear(3, 2)).num_weights == 6


def test_layers_that_do_not_fit_one_another_are_refused() -> None:
    with pytest.raises(dn.DropNeuronError, match="layer '2' takes 3 inputs but '0' before it has 4 outputs"):
        dn.count(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(3, 4)))
    with pytest.raises(dn.DropNeuronError, match="layer '0' is a convolution with groups"):
        dn.count(nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten(), nn.Linear(2, 2)), layers=["0", "2"])
    with pytest.raises(dn.DropNeuronError, match=r"Sequential has no fully connected layer \(nn.Linear\); .*: 0$"):
        dn.count(nn.Sequential(nn.Conv2d(1, 2, 3)))


def test_units_of_a_reversed_definition_are_counted_along_their_path() -> None:
    """By the order of definition the dead unit would be another."""
    network = Pair()
    with torch.no_grad():
        network.first.weight[0] = 0
        network.second.weight[:, 1] = 0
    hidden = dn.count(network).units[1]
    assert (hidden.name, hidden.published, hidden.alive) == ("first", 3, 2)


def test_finding_the_order_changes_nothing_of_the_network() -> None:
    network = Pair().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dn.count(network)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


class Remembering(Pair):
    """Keeps what a forward pass made, in every way that there is."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.shapes, self.lock = 0, ["none"], threading.Lock()
        self.hidden: Tensor | None = None
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        self.shapes.append("one")
        self.calls.add_(1)
        with self.lock:
            self.hidden = self.first(x)
        return self.second(self.hidden)


def test_what_forward_keeps_is_as_before() -> None:
    network = Remembering()
    assert forward_order(network) == ("first", "second")
    assert (network.steps, network.shapes, network.hidden) == (0, ["none"], None)
    network(torch.ones(2, 4))
    hidden = network.hidden
    dn.count(network)
    assert (network.steps, network.shapes, network.calls.item()) == (1, ["none", "one"], 1)
    assert network.hidden is hidden
    assert not network.lock.locked()


def test_threads_find_the_order_one_after_the_other() -> None:
    networks = [Pair() for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(forward_order, networks)) == {("first", "second")}
    assert nn.Module.__call__.__module__ == "torch.nn.modules.module"


def test_owners_of_weights_are_found_in_time_that_grows_with_the_layers() -> None:
    network = nn.Sequential(*(nn.Linear(1, 1) for _ in range(6000)))
    began = time.process_time()
    check_own_weights(network, [name for name, _ in network.named_children()])
    assert time.process_time() - began < 2


class Net(nn.Module):
    """Three convolutions and a fully connected layer; ``way`` is how one leads to the next."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(channels, 4, 3, padding=1) for channels in (1, 4, 4))
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.norm(self.conv1(x)))
        second = self.conv2(first)
        if self.way == "residual":
            second = second + first
        if self.way == "many":
            second = torch.cat([second, self.conv2(first)], 2)[:, :, :4]
        x = functional.max_pool2d(functional.relu(self.conv3(second)), 1)
        x = x.view(x.size(0), -1) if self.way == "view" else x.reshape(x.shape[0], -1)
        if self.way == "numbers" and float(x.sum()) > 0:
            x = x * 2
        return self.fc(x)


ALL = ("conv1", "conv2", "conv3", "fc")


@pytest.mark.parametrize(
    ("way", "names", "expected"),
    [
        ("chain", ALL, True),
        ("view", ALL, True),
        ("chain", ALL[1:], True),
        ("residual", ("conv1",), True),
        ("residual", ("conv3", "fc"), True),
        ("numbers", ALL, True),  # forward() cannot be followed: sizes tell
        ("residual", ALL, False),
        ("residual", ("conv2", "conv3"), False),
        ("chain", ("conv1", "conv3"), False),  # another stands between them
        ("chain", ("conv2", "conv1"), False),
        ("many", ALL, False),
    ],
)
def test_convolutions_are_a_chain_where_each_takes_what_the_one_before_gives(
    way: str, names: tuple[str, ...], expected: bool
) -> None:
    network = Net(way)
    assert is_chain(network, names) == expected
    assert dn.count(network, layers=names).is_chain == expected


@pytest.mark.parametrize("network", [chain(nn.LayerNorm(4)), Residual(), Flipped()])
def test_named_layers_that_are_seen_to_be_no_chain_are_counted_each_for_itself(network: nn.Module) -> None:
    names = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)][::-1]
    names = names if isinstance(network, Pair) else names[::-1]
    assert not is_chain(network, names)
    assert [unit.name for unit in dn.count(network, layers=names).units] == names
