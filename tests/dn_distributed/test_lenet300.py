import pytest
import torch
from torch.nn import functional

from dn_distributed.config import Training
from dn_distributed.data.digits import Digits
from dn_distributed.seeds import generator
from dn_distributed.tasks.lenet300 import LeNet300


def test_layers_are_784_300_100_10() -> None:
    network = LeNet300().network()
    shapes = [tuple(network.get_submodule(layer).weight.shape) for layer in LeNet300().layers]
    assert shapes == [(300, 784), (100, 300), (10, 100)]


def test_there_are_266200_weights() -> None:
    network = LeNet300().network()
    assert sum(network.get_submodule(layer).weight.numel() for layer in LeNet300().layers) == 266200


def test_a_relu_follows_each_layer_but_the_last() -> None:
    network = LeNet300().network().eval()
    inputs = torch.rand(3, 784)
    expected = network.fc3(functional.relu(network.fc2(functional.relu(network.fc1(inputs)))))
    torch.testing.assert_close(network(inputs), expected)


def test_initial_parameters_have_standard_deviation_one_hundredth() -> None:
    network = LeNet300().network()
    LeNet300().initialize(network, generator(1, "init"))
    for name, parameter in network.named_parameters():
        spread = 5 * 0.01 / parameter.numel() ** 0.5
        assert parameter.mean().item() == pytest.approx(0, abs=spread), name
        assert parameter.std().item() == pytest.approx(0.01, abs=spread), name


def test_targets_are_the_labels(digits) -> None:
    splits = LeNet300().data(Digits(), digits).for_seeds([1])
    assert splits.test.targets.equal(digits.test_labels)


def test_defaults_are_the_published_ones() -> None:
    assert LeNet300.default_training == Training(epochs=100, batch_size=256, learning_rate=1e-3, shuffle=True)
    assert LeNet300.default_pruning.threshold == 0.01
    assert [score.name for score in LeNet300.scores] == ["accuracy"]
    assert (LeNet300().validation_size, LeNet300().hidden_rule) == (5000, "min")


def test_loss_is_the_mean_cross_entropy() -> None:
    loss = LeNet300().loss(torch.zeros(5, 10), torch.arange(5))
    torch.testing.assert_close(loss, torch.tensor(10.0).log())
