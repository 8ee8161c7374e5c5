import torch
from torch.nn import functional

from dn_distributed.config import Training
from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.tasks.lenet300 import LeNet300
from tests.dn_distributed.support import assert_initial_parameters_spread, linear, num_weights, weight_shapes


def test_layers_are_784_300_100_10() -> None:
    assert weight_shapes(LeNet300()) == [(300, 784), (100, 300), (10, 100)]


def test_there_are_266200_weights() -> None:
    assert num_weights(LeNet300()) == 266200


def test_a_relu_follows_each_layer_but_the_last() -> None:
    network = LeNet300().network().eval()
    inputs = torch.rand(3, 784)
    fc1, fc2, fc3 = (linear(network, layer) for layer in ("fc1", "fc2", "fc3"))
    expected = fc3(functional.relu(fc2(functional.relu(fc1(inputs)))))
    torch.testing.assert_close(network(inputs), expected)


def test_initial_parameters_have_standard_deviation_one_hundredth() -> None:
    assert_initial_parameters_spread(LeNet300(), 0.01)


def test_targets_are_the_labels(digits: RawImages) -> None:
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
