"""Batch normalisation: running statistics are state of each replicate."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_leaves

from dn_distributed.replicas import Replicas
from dn_distributed.replicas.batch_norm import swap_batch_norm_
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from dn_distributed.training.rehearsal import rehearse
from tests.dn_distributed.own_models import BatchNormResNet, OwnTask
from tests.dn_distributed.support import DataOf, MakeTrainer, gradients

STATISTICS = ("0.running_mean", "0.running_var")
CPU = torch.device("cpu")
PENALTIES: dict[str, float] = {"l1": 1e-4, "l2": 1e-4, "dn": 1e-4}


def linear_network(**options: object) -> nn.Sequential:
    """No bias before a normalisation, which takes it away: its gradient is rounding, of which Adam makes steps."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 48, bias=False), nn.BatchNorm1d(48, **options), nn.ReLU(), nn.Dropout()),  # type: ignore[arg-type]
        *(nn.Linear(48, 32, bias=False), nn.BatchNorm1d(32, **options), nn.ReLU(), nn.Linear(32, 10)),  # type: ignore[arg-type]
    )


def convolutional_network() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 5, 3, stride=2, bias=False), nn.BatchNorm2d(5, momentum=0.3), nn.ReLU()),
        *(nn.Conv2d(5, 7, 3, stride=2, bias=False), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.BatchNorm2d(7), nn.Flatten(), nn.Linear(7, 10)),
    )


class BatchNormLinear(OwnTask):
    make = linear_network
    head: ClassVar[tuple[str, ...]] = ("1", "5", "8")


class LoopedLinear(BatchNormLinear):
    vectorize_on_cpu = False


class BatchNormConvolutional(OwnTask):
    make = convolutional_network
    head: ClassVar[tuple[str, ...]] = ("9",)


class LoopedConvolutional(BatchNormConvolutional):
    vectorize_on_cpu = False
    cpu_memory_format = torch.channels_last


SHAPES = [
    (8, 5),
    (33, 13),
    (4, 1),
    (8, 5, 3),
    (8, 5, 1),
    (9, 1, 2),
    (3, 5, 4, 4),
    (8, 5, 1, 1),
    (8, 1, 4, 4),
    (1, 5, 2, 3),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_normalisation_has_the_bits_of_the_replicate_in_whatever_pack(shape: tuple[int, ...]) -> None:
    """Odd sizes: what is rounded by its place in memory would show."""
    network = nn.Sequential((nn.BatchNorm1d if len(shape) < 4 else nn.BatchNorm2d)(shape[1]))
    swap_batch_norm_(network, same_bits=True)
    draw = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(5, *shape, generator=draw) for _ in range(2))
    state = {name: torch.rand(5, shape[1], generator=draw) for name in ("0.weight", "0.bias", *STATISTICS)}

    def loss(state: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        used = dict(state)
        outputs = functional_call(network, used, (inputs,))
        return (outputs * targets).sum(), [used[name].detach() for name in STATISTICS]

    step = vmap(grad(loss, argnums=(0, 1), has_aux=True))
    whole = tree_leaves(step(state, inputs, targets))
    for first, last in ((0, 1), (4, 5), (1, 3), (2, 5)):
        part = step({name: value[first:last] for name, value in state.items()}, inputs[first:last], targets[first:last])
        assert all(torch.equal(one[first:last], few) for one, few in zip(whole, tree_leaves(part), strict=True))


every_task = pytest.mark.parametrize(
    "task", [BatchNormLinear, LoopedLinear, BatchNormConvolutional, LoopedConvolutional]
)


def train(make: MakeTrainer, task: OwnTask, seeds: list[int], steps: int = 8, **coefficients: float) -> Trainer:
    trainer = make(task, seeds, {**PENALTIES, **coefficients}, steps=8, batch_size=16)
    trainer.advance(steps)
    return trainer


def tensors(trainer: Trainer) -> tuple[Tensor, Tensor]:
    return trainer.replicas.values, trainer.replicas.running


@pytest.mark.parametrize(
    ("task", "dropout"),
    [(BatchNormLinear(), 0.0), (BatchNormLinear(), 0.5), (LoopedLinear(), 0.5), (LoopedConvolutional(), 0.0)],
)
def test_a_replicate_ends_with_the_same_bits_in_whatever_pack(
    make_trainer: MakeTrainer, task: OwnTask, dropout: float
) -> None:
    alone, *packs = (
        tensors(train(make_trainer, task, seeds, dropout=dropout)) for seeds in ([7], [7, 3], [3, 11, 7], [7, 1, 2, 5])
    )
    for packed, row in zip(packs, (0, 2, 0), strict=True):
        assert all(torch.equal(many[row], one[0]) for many, one in zip(packed, alone, strict=True))


class Permute(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.dims)


class MeanOfPlaces(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


AROUND: dict[str, Callable[[], list[nn.Module]]] = {
    "tanh": lambda: [nn.BatchNorm1d(48), nn.Tanh()],
    "sigmoid": lambda: [nn.BatchNorm1d(48), nn.Sigmoid()],
    "gelu, without gain": lambda: [nn.BatchNorm1d(48, affine=False), nn.GELU()],
    "nothing": lambda: [nn.BatchNorm1d(48)],
    "after relu": lambda: [nn.ReLU(), nn.BatchNorm1d(48)],
    "sequences": lambda: [nn.Unflatten(1, (6, 8)), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten()],
    "sequences, a mean": lambda: [nn.Unflatten(1, (48, 1)), nn.BatchNorm1d(48), MeanOfPlaces()],
    "places first": lambda: [
        *(nn.Unflatten(1, (8, 6)), Permute(0, 2, 1), nn.BatchNorm1d(6), Permute(0, 2, 1)),
        *(nn.SiLU(), nn.Linear(6, 6), nn.Flatten()),
    ],
    "images": lambda: [nn.Unflatten(1, (6, 2, 4)), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten()],
    "volumes": lambda: [nn.Unflatten(1, (6, 2, 2, 2)), nn.BatchNorm3d(6), nn.Tanh(), nn.Flatten()],
}


@pytest.mark.parametrize("name", AROUND)
def test_whatever_stands_around_a_normalisation_a_replicate_is_what_it_is_alone(
    make_trainer: MakeTrainer, name: str
) -> None:
    """What comes after it says how its gradient lies in memory, and by that it was rounded."""
    around = AROUND[name]

    class Normalized(OwnTask):
        head: ClassVar[tuple[str, ...]] = ("1",)

        def network(self) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(784, 48), *around(), nn.Linear(48, 10))

    task, packs = Normalized(), ([7], [7, 3], [3, 11, 7])
    alone, *others = (train(make_trainer, task, seeds) for seeds in packs)
    for pack, row in zip(others, (0, 2), strict=True):
        assert all(torch.equal(many[row], one[0]) for many, one in zip(tensors(pack), tensors(alone), strict=True))
        assert pack.outcomes()[row].scores == alone.outcomes()[0].scores


@every_task
def test_a_replicate_ends_the_same_alone_and_in_a_pack(make_trainer: MakeTrainer, task: type[OwnTask]) -> None:
    alone, packed = (tensors(train(make_trainer, task(), seeds)) for seeds in ([7], [3, 11, 7]))
    for one, many in zip(alone, packed, strict=True):
        torch.testing.assert_close(many[2], one[0], rtol=1e-4, atol=1e-5)


@every_task
def test_every_step_is_that_of_the_plain_network(make_trainer: MakeTrainer, task: type[OwnTask]) -> None:
    """Gradients and statistics within float32 rounding, 1e-4 relative or 1e-5, from wherever eight steps have led."""
    trainer = make_trainer(task(), [3, 7], steps=8, batch_size=16)
    replicas, network = trainer.replicas, trainer.task.network()
    for step in range(8):
        network.load_state_dict(state_of(replicas, 1))
        network.zero_grad()
        inputs, targets = trainer._phase_run.batches.at(step)
        network.train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()  # there is none in this training
        torch.autograd.backward(trainer.task.loss(network(inputs[1]), targets[1]))
        trainer.advance(1)
        for name, parameter in network.named_parameters():
            found = gradients(replicas)[name][1]
            torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-5)
        for name, value in replicas.statistics.items():
            torch.testing.assert_close(value[1], network.state_dict()[name], rtol=1e-4, atol=1e-5)
    network.load_state_dict(state_of(replicas, 1))
    samples = torch.rand(5, 1, 28, 28)
    with torch.no_grad():
        outputs = replicas.forward(samples.expand(2, *samples.shape))[1]
        torch.testing.assert_close(outputs, network.eval()(samples))


def state_of(replicas: Replicas, row: int) -> dict[str, Tensor]:
    return {name: view[row].clone() for name, view in {**replicas.parameters, **replicas.statistics}.items()}


@pytest.mark.parametrize("task", [BatchNormLinear, LoopedConvolutional])
@pytest.mark.parametrize("step", [0, 1, 5, 7])
def test_interrupted_at_any_step_it_ends_with_the_same_bits(
    make_trainer: MakeTrainer, task: type[OwnTask], step: int
) -> None:
    straight, packed = train(make_trainer, task(), [7]), train(make_trainer, task(), [3, 7], step)
    again = train(make_trainer, task(), [7], 0)
    again.load_state(packed.state())
    again.advance(8)
    assert all(torch.equal(*pair) for pair in zip(tensors(again), tensors(straight), strict=True))


def test_a_state_without_statistics_is_refused(make_trainer: MakeTrainer) -> None:
    trainer = train(make_trainer, BatchNormLinear(), [1], 1)
    state = trainer.state()
    del state["running"]
    with pytest.raises(ValueError, match="not whole"):
        trainer.load_state(state)


def test_a_state_of_a_network_without_statistics_is_as_it_was(make_trainer: MakeTrainer) -> None:
    names = {"values", "first_moment", "second_moment", "adam_step", "loss_sum", "diverged", "step", "seeds"}
    assert make_trainer(LeNet300(), [1]).state().keys() == names


@every_task
def test_measuring_uses_the_statistics_and_leaves_them(make_trainer: MakeTrainer, task: type[OwnTask]) -> None:
    trainer = train(make_trainer, task(), [1, 2])
    before = trainer.replicas.running.clone()
    trainer.outcomes()
    assert torch.equal(trainer.replicas.running, before)
    inputs = torch.rand(2, 6, 1, 28, 28)
    whole, part = trainer.replicas.forward(inputs), trainer.replicas.forward(inputs[:, :1])
    torch.testing.assert_close(whole[:, :1], part)


def test_with_dropout_left_on_statistics_are_those_of_the_training(make_trainer: MakeTrainer) -> None:
    trainer = train(make_trainer, BatchNormLinear(), [1, 2], dropout=0.5)
    before = trainer.replicas.running.clone()
    inputs = torch.rand(2, 6, 1, 28, 28)
    open_masks = [torch.ones(2, 6, 48)]
    torch.testing.assert_close(trainer.replicas.forward(inputs, open_masks), trainer.replicas.forward(inputs))
    trainer.outcomes()
    assert torch.equal(trainer.replicas.running, before)


@every_task
def test_outcomes_hold_the_statistics_and_load_into_the_plain_network(
    make_trainer: MakeTrainer, few_data: DataOf, task: type[OwnTask]
) -> None:
    own = task()
    data = few_data(own)
    trainer = make_trainer(own, [1, 2], PENALTIES, data=data, steps=8, batch_size=16)
    trainer.advance(8)
    test = data.for_seeds([1, 2]).test
    for outcome in trainer.outcomes():
        network = own.network()
        network.load_state_dict(outcome.parameters)
        buffers = {name for name, _ in network.named_buffers() if not name.endswith("num_batches_tracked")}
        assert outcome.parameters.keys() == {name for name, _ in network.named_parameters()} | buffers
        with torch.no_grad():
            loss = own.loss(network.eval()(test.inputs), test.targets)
        assert outcome.scores["test/loss/before_pruning"] == pytest.approx(loss.item(), rel=1e-4)


def test_a_replicate_whose_statistics_are_lost_has_diverged(make_trainer: MakeTrainer) -> None:
    trainer = train(make_trainer, BatchNormLinear(), [4, 5, 6], 1)
    trainer.replicas.statistics["2.running_var"][1, 0] = torch.inf
    assert trainer.diverged() == [5]


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}, {"momentum": 0.9}])
def test_the_options_of_a_normalisation_are_taken(make_trainer: MakeTrainer, options: dict[str, object]) -> None:
    class Own(BatchNormLinear):
        make = partial(linear_network, **options)

    trainer = train(make_trainer, Own(), [1, 2])
    tracked = options != {"track_running_stats": False}
    assert len(trainer.replicas.statistics) == 4 * tracked
    assert all(outcome.scores["test/accuracy/before_pruning"] >= 0 for outcome in trainer.outcomes())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: nn.BatchNorm1d(48, momentum=None), r"'2' averages over all batches \(momentum=None\); give it a mom"),
        (lambda: nn.InstanceNorm1d(48, track_running_stats=True), "'2' keeps buffers.*only nn.BatchNorm1d, 2d and 3d"),
        (lambda: nn.SyncBatchNorm(48), "'2' keeps buffers"),
        (lambda: nn.BatchNorm1d(48, affine=False).double(), "buffer '2.running_mean' is of type float64"),
    ],
)
def test_other_statistics_are_refused(make_trainer: MakeTrainer, layer: Callable[[], nn.Module], reason: str) -> None:
    class Own(BatchNormLinear):
        def network(self) -> nn.Module:
            network = linear_network()
            network[2] = layer()
            return network

    with pytest.raises(ValueError, match=reason):
        make_trainer(Own(), [1, 2])


def test_a_batch_of_one_sample_has_no_variance(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match=r"one value per channel in a batch \[1, 48\]"):
        make_trainer(BatchNormLinear(), [1], steps=1, batch_size=1).advance(1)


def test_inputs_of_other_dimensions_are_refused(make_trainer: MakeTrainer) -> None:
    class Own(BatchNormLinear):
        def network(self) -> nn.Module:
            network = linear_network()
            network[2] = nn.BatchNorm2d(48)
            return network

    with pytest.raises(ValueError, match="BatchNorm2d of inputs of 2 dimensions"):
        make_trainer(Own(), [1], steps=1).advance(1)


class PretrainedStatistics(BatchNormLinear):
    """Each replicate starts from statistics of its own, drawn where its parameters are."""

    name: Literal["pretrained"] = "pretrained"  # type: ignore[assignment]

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        super().initialize(network, draw)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=draw)


class RandomStatistics(BatchNormLinear):
    def network(self) -> nn.Module:
        network = linear_network()
        nn.init.uniform_(network[2].running_mean)  # type: ignore[arg-type]
        return network


def test_statistics_start_as_the_task_says() -> None:
    fresh = Replicas(BatchNormLinear(), [1, 2], 0.0, CPU).statistics
    assert {name: sorted(set(value.flatten().tolist())) for name, value in fresh.items()} == {
        "2.running_mean": [0.0],
        "2.running_var": [1.0],
        "6.running_mean": [0.0],
        "6.running_var": [1.0],
    }
    alone, packed = (Replicas(PretrainedStatistics(), seeds, 0.0, CPU).running for seeds in ([7], [3, 7]))
    assert torch.equal(alone[0], packed[1])
    assert not torch.equal(packed[0], packed[1])


@pytest.mark.parametrize("task", [BatchNormLinear, LoopedConvolutional, BatchNormResNet, PretrainedStatistics])
def test_a_rehearsal_takes_such_tasks(few_data: DataOf, task: type[OwnTask]) -> None:
    own = task()
    rehearse(own, PENALTIES, task.default_training, few_data(own))


def test_a_rehearsal_refuses_statistics_that_no_seed_draws(few_data: DataOf) -> None:
    with pytest.raises(ValueError, match="the same seed does not draw the same initial network"):
        rehearse(RandomStatistics(), {}, BatchNormLinear.default_training, few_data(BatchNormLinear()))
