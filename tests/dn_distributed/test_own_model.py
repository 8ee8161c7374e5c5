"""Bring your own model: a task around a network that this project did not write."""

from collections.abc import Callable
from functools import cache, partial

import pytest
import torch
from torch import Tensor, nn

import dn_distributed as dn
from dn_distributed import sparsity
from dn_distributed.replicas import Replicas
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from tests.dn_distributed.own_models import BatchNormResNet, GroupNormResNet, OwnTask
from tests.dn_distributed.support import MakeTrainer

EVERYTHING = {"l1": 1e-4, "l2": 1e-4, "dn": 1e-4}


class WrongHead(GroupNormResNet):
    head = ("classifier",)


class ConvolutionAsHead(GroupNormResNet):
    head = ("conv1",)


class Everything(BatchNormResNet):
    head = ("conv1", "layer1.0.conv1", "layer1.0.conv2", "fc")


class _Numbers(nn.Module):
    """What it does depends on numbers, so that no graph shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3), nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        added = self.conv1(x) + self.conv2(x)
        if [size for size in added.shape if size == 7]:
            added = added * 2
        return self.fc(added.mean((2, 3)))


class Unfollowed(OwnTask):
    make = _Numbers
    head = ("conv1", "conv2", "fc")


class Grouped(ConvolutionAsHead):
    def network(self) -> nn.Module:
        network = super().network()
        network.conv1 = nn.Sequential(nn.Conv2d(1, 64, 3, stride=2), nn.Conv2d(64, 64, 3, groups=64))
        return network

    head = ("conv1.1",)


class LoopedResNet(GroupNormResNet):
    """Its replicates run one by one, as the task's authors may find faster on a CPU."""

    vectorize_on_cpu = False


@pytest.fixture(scope="module")
def trained(make_trainer: MakeTrainer) -> Callable[..., Trainer]:
    """After three steps with every penalty; each pack is trained once."""

    @cache
    def three_steps(task: type[OwnTask], *seeds: int) -> Trainer:
        trainer = make_trainer(task(), seeds, EVERYTHING, steps=3, batch_size=4)
        trainer.advance(3)
        return trainer

    return three_steps


@pytest.mark.parametrize("task", [GroupNormResNet, LoopedResNet, BatchNormResNet])
def test_a_replicate_ends_the_same_alone_and_in_a_pack(trained: Callable[..., Trainer], task: type[OwnTask]) -> None:
    packed, alone = trained(task, 3, 7).replicas.values, trained(task, 7).replicas.values
    torch.testing.assert_close(packed[1], alone[0], rtol=1e-5, atol=1e-5)


def test_a_stack_ends_as_a_loop_does(trained: Callable[..., Trainer]) -> None:
    stacked, looped = (trained(task, 3, 7).replicas.values for task in (GroupNormResNet, LoopedResNet))
    torch.testing.assert_close(stacked, looped, rtol=1e-4, atol=1e-4)


def test_penalties_act_on_the_head_alone(make_trainer: MakeTrainer) -> None:
    """In the first step, which starts from the same gradient of the loss."""
    free, penalised = (
        make_trainer(GroupNormResNet(), [3], coefficients, steps=1, batch_size=4)
        for coefficients in ({}, {"l1": 10.0, "dn": 10.0})
    )
    free.advance(1)
    penalised.advance(1)
    before, after = free.replicas.parameters, penalised.replicas.parameters
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"fc.weight", "fc.bias"}


def test_outcomes_count_the_head_and_keep_every_parameter(trained: Callable[..., Trainer]) -> None:
    _, outcome = trained(GroupNormResNet, 3, 7).outcomes()
    assert [(layer.name, layer.shape) for layer in outcome.counts.layers] == [("fc", (10, 64))]
    assert set(outcome.parameters) == {name for name, _ in GroupNormResNet().network().named_parameters()}


def test_a_wrong_layer_is_refused_with_the_valid_ones(make_trainer: MakeTrainer) -> None:
    valid = "no nn.Linear or nn.Conv2d of the network; it has: conv1, layer1.0.conv1, layer1.0.conv2, fc"
    with pytest.raises(ValueError, match=f"'classifier' is {valid}"):
        make_trainer(WrongHead(), [1, 2])


def test_a_convolution_with_groups_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match=r"layer 'conv1\.1' is a convolution with groups"):
        make_trainer(Grouped(), [1, 2])


@pytest.mark.parametrize("task", [ConvolutionAsHead, Everything])
def test_penalties_act_on_the_convolutions_that_are_named(make_trainer: MakeTrainer, task: type[OwnTask]) -> None:
    """Each is counted for itself in a residual network."""
    free, penalised = (
        make_trainer(task(), [3], coefficients, steps=1, batch_size=4)
        for coefficients in ({}, {"l1": 10.0, "dn": 10.0})
    )
    free.advance(1)
    penalised.advance(1)
    before, after = free.replicas.parameters, penalised.replicas.parameters
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[0] for name in changed} == set(task.head)
    (outcome,) = penalised.outcomes()
    assert outcome.counts.is_chain == (task is ConvolutionAsHead)
    assert [unit.name for unit in outcome.counts.units] == ["input"] * outcome.counts.is_chain + list(task.head)
    assert outcome.masks["conv1"].shape == (64, 1, 3, 3)


def test_of_a_residual_network_is_counted_what_the_smaller_network_needs(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Everything(), [3, 4], steps=2, batch_size=8, threshold=0.05)
    trainer.advance(2)
    parameters = trainer.replicas.parameters
    parameters["layer1.0.conv2.weight"][:, :, 5:] = 0.01  # below the threshold
    for name in ("conv1.weight", "layer1.0.conv2.weight", "bn1.bias", "layer1.0.bn2.bias"):
        parameters[name][1, :7] = 0  # of the second replicate these filters give nothing, to one another neither
    inputs = torch.rand(2, 1, 28, 28)
    for row, outcome in enumerate(trainer.outcomes()):
        network = trainer.replicas.plain_network(row, {})
        dn.prune(network, 0.05, layers=Everything.head)
        dropped = {layer.name: layer for layer in dn.compact(network, inputs).dropped.layers}  # type: ignore[union-attr]
        assert 0 < outcome.counts.neurons_alive < outcome.counts.neurons_total
        assert [unit.alive for unit in outcome.counts.units] == [dropped[name].outputs for name in Everything.head]
        assert [layer.inputs_alive for layer in outcome.counts.layers] == [dropped[n].inputs for n in Everything.head]
        assert outcome.counts.dense_size == sum(layer.weights for layer in dropped.values())


def test_a_residual_network_that_cannot_be_followed_is_counted_layer_by_layer(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Unfollowed(), [3], steps=1, batch_size=4)
    trainer.advance(1)
    (outcome,) = trainer.outcomes()
    assert outcome.counts == sparsity.count(outcome.masks, chain=False)


class _Mixing(nn.Module):
    """Fully connected layers that fit one another and are no chain, followed or not."""

    def __init__(self, is_followed: bool) -> None:
        super().__init__()
        self.is_followed = is_followed
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(784, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.fc1(x.flatten(1)))
        x = x + self.fc3(torch.relu(self.fc2(x)))
        if not self.is_followed and float(x.sum()) > 1e9:
            x = x * 2
        outputs: Tensor = self.fc4(x)
        return outputs


class _Unused(_Mixing):
    """One layer more than ``forward`` has a use for."""

    def __init__(self) -> None:
        super().__init__(True)
        self.z = nn.Linear(3, 2)


class UnusedLayer(OwnTask):
    make = _Unused
    head = ("fc1", "fc2", "fc3", "fc4", "z")


def test_a_layer_that_forward_never_uses_is_named(make_trainer: MakeTrainer) -> None:
    with pytest.raises(dn.DropNeuronError, match=r"^regularised layer 'z' is not used by the network's forward\(\)$"):
        make_trainer(UnusedLayer(), [3], steps=1, batch_size=4)


class ResidualLinear(OwnTask):
    make = partial(_Mixing, True)
    head = ("fc1", "fc2", "fc3", "fc4")
    vectorize_on_cpu = False


class UnfollowedLinear(ResidualLinear):
    make = partial(_Mixing, False)


def test_fully_connected_layers_that_fit_are_no_chain_for_that(make_trainer: MakeTrainer) -> None:
    """A branch without weights leaves all that it is added to."""
    trainer = make_trainer(ResidualLinear(), [3], steps=1, batch_size=4)
    trainer.replicas.parameters["fc3.weight"].zero_()
    (outcome,) = trainer.outcomes()
    assert not outcome.counts.is_chain
    assert [unit.alive for unit in outcome.counts.units] == [8, 0, 0, 10]
    assert outcome.counts.dense_size == 784 * 8 + 8 * 10
    assert trainer.notes() == []


def test_what_is_not_known_of_a_network_is_said(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(UnfollowedLinear(), [3], steps=1, batch_size=4)
    (outcome,) = trainer.outcomes()
    assert outcome.counts == sparsity.count(outcome.masks, chain=False)
    (note,) = trainer.notes()
    assert note.startswith(
        "what pruning leaves alive of 'own' is not known, its layers are counted each for itself, by"
    )
    assert "_Mixing.forward() cannot be followed" in note
    assert "\n" not in note


class ScaledLinear(nn.Module):
    """A network with a parameter of its own, drawn where it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(784))
        self.fc = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc(x.flatten(1) * self.scale)
        return outputs


class ScaledTask(OwnTask):
    make = ScaledLinear


def test_every_parameter_of_a_replicate_starts_from_its_seed(make_trainer: MakeTrainer) -> None:
    one, other = (make_trainer(ScaledTask(), [1, 2]).replicas.parameters["scale"] for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


class _OwnRandomness(torch.nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.fc1, self.fc2 = torch.nn.Linear(784, 8), torch.nn.Linear(8, 10)
        kinds = {"twice": nn.Dropout, "function": nn.Identity}
        self.shared = kinds.get(kind, nn.AlphaDropout)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "function":
            x = torch.nn.functional.dropout(x, training=self.training)
        if self.kind == "twice":
            x = self.shared(x)
        outputs: Tensor = self.fc2(self.shared(self.fc1(x)))
        return outputs


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("other", "use nn.Dropout"), ("function", "no nn.Dropout that it uses"), ("twice", "used at 2 places")],
)
def test_randomness_that_replicates_cannot_keep_apart_is_refused(kind: str, reason: str) -> None:
    class Own(LeNet300):
        @property
        def layers(self) -> tuple[str, ...]:
            return ("fc1", "fc2")

        def network(self) -> torch.nn.Module:
            return _OwnRandomness(kind)

    replicas_of = partial(Replicas, Own(), (0, 1), 0.5, torch.device("cpu"))
    with pytest.raises(ValueError, match=reason):
        replicas_of().dropout_shapes(torch.zeros(2, 784))
