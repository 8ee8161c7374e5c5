import torch
from torch.nn import functional

from dn_distributed import sparsity
from dn_distributed.chains import is_chain
from dn_distributed.compaction.needed import is_shown_chain
from dn_distributed.config import Training
from dn_distributed.seeds import generator
from dn_distributed.tasks.lenet5 import LeNet5
from tests.dn_distributed.support import assert_initial_parameters_spread, linear, num_weights

TRUNCATED_STD = 0.8796
"""Standard deviation of a standard normal cut at ±2."""


def test_parameters_are_those_of_the_paper() -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in LeNet5().network().named_parameters()}
    assert shapes == {
        "conv1.weight": (32, 1, 5, 5),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 5, 5),
        "conv2.bias": (64,),
        "fc1.weight": (512, 3136),
        "fc1.bias": (512,),
        "fc2.weight": (10, 512),
        "fc2.bias": (10,),
    }


def test_the_fully_connected_layers_have_1610752_weights() -> None:
    assert LeNet5().layers == ("fc1", "fc2")
    assert num_weights(LeNet5()) == 1610752


def test_with_filters_the_convolutions_are_regularised_too() -> None:
    task = LeNet5(filters=True)
    assert task.layers == ("conv1", "conv2", "fc1", "fc2")
    weights = {layer: task.network().get_parameter(f"{layer}.weight") for layer in task.layers}
    counts = sparsity.count({name: weight != 0 for name, weight in weights.items()}, chain=True)
    assert counts.dense_size == counts.num_weights == 1610752 + 25 * (32 + 32 * 64)
    assert is_chain(task.network(), task.layers)
    assert is_shown_chain(task.network(), torch.zeros(2, 1, 28, 28), task.layers)


def test_filters_are_in_the_identity_only_where_they_are_on() -> None:
    assert "filters" not in LeNet5().identity()
    assert LeNet5(**LeNet5(filters=True).identity()).filters


def test_forward_is_convolution_relu_pool_twice_and_two_linear_layers() -> None:
    network = LeNet5().network().eval()
    x = inputs = torch.rand(2, 1, 28, 28)
    for name in ("conv1", "conv2"):
        weight, bias = (network.get_parameter(f"{name}.{part}") for part in ("weight", "bias"))
        x = functional.conv2d(x, weight, bias, padding=2)
        x = functional.max_pool2d(functional.relu(x), 2)
    expected = linear(network, "fc2")(functional.relu(linear(network, "fc1")(x.flatten(1))))
    torch.testing.assert_close(network(inputs), expected)


def test_one_dropout_acts_between_the_fully_connected_layers() -> None:
    network = LeNet5().network()
    assert [name for name, module in network.named_modules() if isinstance(module, torch.nn.Dropout)] == ["dropout"]


def test_initial_parameters_are_cut_at_two_standard_deviations() -> None:
    network = LeNet5().network()
    LeNet5().initialize(network, generator(1, "init"))
    assert max(parameter.abs().max().item() for parameter in network.parameters()) <= 0.02 * (1 + 1e-6)


def test_initial_parameters_have_the_spread_of_the_truncated_normal() -> None:
    assert_initial_parameters_spread(LeNet5(), 0.01, cut=TRUNCATED_STD)


def test_defaults_are_the_published_ones() -> None:
    assert LeNet5.default_training == Training(steps=7812, batch_size=64, learning_rate=1e-3, shuffle=True)
    assert LeNet5.default_pruning.threshold == 0.01
    assert [score.name for score in LeNet5.scores] == ["accuracy"]
    assert (LeNet5().validation_size, LeNet5().hidden_rule, LeNet5.pixel_shift) == (5000, "min", 0.0)
