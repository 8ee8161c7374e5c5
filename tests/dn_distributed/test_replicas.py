from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from dn_distributed.regularizers import build_penalties, resolve
from dn_distributed.regularizers.dropout import MaskSource
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import TASKS, Task
from tests.dn_distributed.support import DataOf, MakeTrainer, gradients, make_task

CPU = torch.device("cpu")
PENALTIES = {"l1": 1e-4, "l2": 1e-4, "dn": 1e-4}
FULLY_CONNECTED = ("regression", "autoencoder", "lenet300", "network")
LENGTHS = {
    **{name: {"steps": 100, "batch_size": 16} for name in FULLY_CONNECTED},
    **{name: {"steps": 5, "batch_size": 8} for name in ("lenet5", "lenet5_caffe", "convnet")},
}

every_task = pytest.mark.parametrize("name", TASKS)
with_and_without_dropout = pytest.mark.parametrize("dropout", [0.0, 0.5])

Values = Callable[[str, float, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def trained(make_trainer: MakeTrainer) -> Values:
    """The values ``[K, P]`` at the end of training, with all penalties; each pack is trained once."""

    @cache
    def values(name: str, dropout: float, seeds: tuple[int, ...]) -> Tensor:
        regularization = {**PENALTIES, "dropout": dropout}
        trainer = make_trainer(make_task(name), seeds, regularization, **LENGTHS[name])
        trainer.advance(trainer.num_steps)
        return trainer.replicas.values

    return values


@every_task
@with_and_without_dropout
def test_a_replicate_ends_the_same_alone_and_in_a_pack(trained: Values, name: str, dropout: float) -> None:
    alone, packed = trained(name, dropout, (7,)), trained(name, dropout, (3, 11, 7))
    torch.testing.assert_close(packed[2], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FULLY_CONNECTED)
@with_and_without_dropout
def test_a_replicate_ends_with_the_same_bits_on_one_thread(trained: Values, name: str, dropout: float) -> None:
    alone, packed = trained(name, dropout, (7,)), trained(name, dropout, (3, 11, 7))
    assert torch.equal(packed[2], alone[0])


@pytest.mark.parametrize("name", FULLY_CONNECTED)
def test_replicates_of_a_pack_differ(trained: Values, name: str) -> None:
    first, second, third = trained(name, 0.0, (3, 11, 7))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_reports_of_a_replicate_do_not_depend_on_its_pack(make_trainer: MakeTrainer, few_data: DataOf) -> None:
    task = make_task("lenet300")
    (alone,), (packed,) = (
        list(make_trainer(task, seeds, {"dropout": 0.5}, data=few_data(task), epochs=1).run())
        for seeds in ([7], [3, 7])
    )
    for name, values in alone.metrics.items():
        assert packed.metrics[name][1] == pytest.approx(values[0], rel=1e-5)


@every_task
def test_a_start_depends_on_its_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    alone = Replicas(make_task(name), [7], 0.0, CPU)
    torch.manual_seed(2)
    packed = Replicas(make_task(name), [3, 7], 0.0, CPU)
    assert torch.equal(alone.values[0], packed.values[1])
    assert not torch.equal(packed.values[0], packed.values[1])


@every_task
def test_parameters_are_those_of_the_network(name: str) -> None:
    task = make_task(name)
    parameters = Replicas(task, [1, 2, 3], 0.5, CPU).parameters
    expected = {key: (3, *value.shape) for key, value in task.network().named_parameters()}
    assert {key: tuple(view.shape) for key, view in parameters.items()} == expected


def test_weights_are_those_of_the_regularised_layers() -> None:
    weights = Replicas(make_task("lenet5"), [1, 2], 0.0, CPU).weights()
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {
        "fc1": (2, 512, 3136),
        "fc2": (2, 10, 512),
    }


def add_penalty_gradients_(replicas: Replicas, regularization: dict[str, float]) -> None:
    for penalty in build_penalties(resolve(regularization)):
        for values, into in replicas.touched(penalty.name, penalty.touches):
            penalty.add_gradient_(values, into, leading=1)


def plain_gradients(
    task: Task, parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor, masks: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Autograd of loss and penalties through the task's own network, dropout replaced by ``masks``."""
    network = task.network()
    network.load_state_dict(parameters)
    for name, mask in masks.items():
        network.get_submodule(name).register_forward_hook(lambda _module, _inputs, output, mask=mask: output * mask)
    total = task.loss(network.eval()(inputs), targets)
    for penalty in build_penalties(resolve(PENALTIES)):
        for layer in task.layers_of(penalty.name):
            weight, bias = (network.get_parameter(f"{layer}.{part}") for part in ("weight", "bias"))
            shaped = [weight] if penalty.touches == "weights" else [weight.flatten(), bias]
            total = total + sum(penalty.value(part) for part in shaped)
    names, values = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(total, values), strict=True))


@every_task
@with_and_without_dropout
def test_gradients_equal_autograd_through_the_plain_network(data_of: DataOf, name: str, dropout: float) -> None:
    task, seeds = make_task(name), [4, 5]
    train = data_of(task).for_seeds(seeds).train
    stacked = task.kind == "linear"
    inputs, targets = (
        part[:, :8] if stacked else torch.stack([part[:8], part[8:16]]) for part in (train.inputs, train.targets)
    )
    replicas = Replicas(task, seeds, dropout, CPU)
    masks = MaskSource(replicas.dropout_shapes(inputs[0, :1]), 8, dropout, seeds, "dropout").masks(0, CPU)
    replicas.write_loss_gradient_(inputs, targets, masks)
    add_penalty_gradients_(replicas, PENALTIES)

    modules = [key for key, module in task.network().named_modules() if isinstance(module, torch.nn.Dropout)]
    for row in range(2):
        own = {key: mask[row] for key, mask in zip(modules, masks, strict=bool(dropout))}
        parameters = {key: view[row] for key, view in replicas.parameters.items()}
        expected = plain_gradients(task, parameters, inputs[row], targets[row], own)
        for key, gradient in gradients(replicas).items():
            error = (gradient[row] - expected[key]).norm() / expected[key].norm()
            assert error < 1e-5, key


def test_losses_are_those_of_the_plain_networks(data_of: DataOf) -> None:
    task = make_task("lenet300")
    train = data_of(task).for_seeds([4, 5]).train
    inputs, targets = train.inputs[:16].view(2, 8, 784), train.targets[:16].view(2, 8)
    replicas = Replicas(task, [4, 5], 0.0, CPU)
    losses = replicas.write_loss_gradient_(inputs, targets, [])
    for row in range(2):
        network = task.network()
        network.load_state_dict({name: view[row] for name, view in replicas.parameters.items()})
        torch.testing.assert_close(losses[row], task.loss(network.eval()(inputs[row]), targets[row]))


def test_penalties_leave_convolutions_alone() -> None:
    replicas = Replicas(make_task("lenet5"), [1], 0.0, CPU)
    add_penalty_gradients_(replicas, PENALTIES)
    touched = {name for name, gradient in gradients(replicas).items() if gradient.any()}
    assert touched == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}


def test_dropneuron_touches_weights_but_no_biases() -> None:
    replicas = Replicas(make_task("lenet300"), [1], 0.0, CPU)
    add_penalty_gradients_(replicas, {"dn": 1.0})
    touched = {name for name, gradient in gradients(replicas).items() if gradient.any()}
    assert touched == {"fc1.weight", "fc2.weight", "fc3.weight"}


def test_dropneuron_touches_the_first_layer_alone_in_the_regression() -> None:
    replicas = Replicas(make_task("regression", hidden=(5, 4)), [1], 0.0, CPU)
    add_penalty_gradients_(replicas, {"dn": 1.0})
    touched = {name for name, gradient in gradients(replicas).items() if gradient.any()}
    assert touched == {"fc1.weight"}


def test_dropout_shapes_are_those_of_one_sample() -> None:
    replicas = Replicas(make_task("lenet300"), [1, 2], 0.5, CPU)
    assert replicas.dropout_shapes(torch.zeros(1, 784)) == [(300,), (100,)]


def test_forward_uses_the_values_that_replace_parameters() -> None:
    replicas = Replicas(make_task("lenet300"), [1, 2], 0.0, CPU)
    outputs = replicas.forward(torch.rand(2, 4, 784), values={"fc3.weight": torch.zeros(2, 10, 100)})
    torch.testing.assert_close(outputs, replicas.parameters["fc3.bias"].unsqueeze(1).expand(2, 4, 10))
