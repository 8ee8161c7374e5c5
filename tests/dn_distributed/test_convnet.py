import pytest
import torch

from dn_distributed.config import Training
from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.seeds import generator
from dn_distributed.tasks.convnet import ConvNet
from dn_distributed.tasks.lenet5 import LeNet5


def test_the_network_is_that_of_lenet5() -> None:
    assert repr(ConvNet().network()) == repr(LeNet5().network())
    assert ConvNet().layers == LeNet5().layers


def test_initial_weights_are_from_the_truncated_normal() -> None:
    network = ConvNet().network()
    ConvNet().initialize(network, generator(1, "init"))
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            assert parameter.abs().max().item() <= 0.2 * (1 + 1e-6), name
            assert parameter.std().item() == pytest.approx(0.08796, abs=5 * 0.1 / parameter.numel() ** 0.5), name


def test_initial_biases_are_zero_in_the_first_convolution_and_a_tenth_elsewhere() -> None:
    network = ConvNet().network()
    ConvNet().initialize(network, generator(1, "init"))
    biases = {name: set(parameter.tolist()) for name, parameter in network.named_parameters() if "bias" in name}
    tenth = {torch.tensor(0.1).item()}
    assert biases == {"conv1.bias": {0.0}, "conv2.bias": tenth, "fc1.bias": tenth, "fc2.bias": tenth}


def test_pixels_lie_between_minus_and_plus_one_half(digits: RawImages) -> None:
    inputs = ConvNet().data(Digits(), digits).for_seeds([1]).train.inputs
    assert inputs.shape[1:] == (1, 28, 28)
    assert (inputs.min().item(), inputs.max().item()) == (-0.5, 0.5)


def test_defaults_are_the_published_ones() -> None:
    assert ConvNet.default_training == Training(
        epochs=10, batch_size=64, learning_rate=1e-3, learning_rate_decay=0.95, shuffle=False
    )
    assert ConvNet.default_pruning.threshold == 0.01
    assert (ConvNet().validation_size, ConvNet().hidden_rule) == (10000, "min")


def test_hidden_neurons_are_counted_as_its_script_counts_only_when_asked_for() -> None:
    published = ConvNet(**ConvNet.published_options)
    assert published.hidden_rule == "max"
    assert published.identity() != ConvNet().identity()
