import torch

from dn_distributed.config import Training
from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.tasks.autoencoder import Autoencoder, DeepAutoencoder
from tests.dn_distributed.support import assert_initial_parameters_spread, num_weights, weight_shapes


def test_layers_are_784_128_64_128_784() -> None:
    assert weight_shapes(Autoencoder()) == [(128, 784), (64, 128), (128, 64), (784, 128)]


def test_there_are_217088_weights() -> None:
    assert num_weights(Autoencoder()) == 217088


def test_a_sigmoid_follows_every_layer() -> None:
    network = Autoencoder().network().eval()
    inputs = expected = torch.rand(3, 784)
    for layer in Autoencoder().layers:
        expected = torch.sigmoid(network.get_submodule(layer)(expected))
    torch.testing.assert_close(network(inputs), expected)


def test_the_code_has_64_units() -> None:
    network = Autoencoder().network()
    assert isinstance(network, DeepAutoencoder)
    assert network.encode(torch.rand(3, 784)).shape == (3, 64)


def test_initial_parameters_are_standard_normal() -> None:
    assert_initial_parameters_spread(Autoencoder(), 1.0)


def test_targets_are_the_inputs(digits: RawImages) -> None:
    splits = Autoencoder().data(Digits(), digits).for_seeds([1])
    assert splits.train.targets.equal(splits.train.inputs)
    assert splits.test.targets.equal(splits.test.inputs)


def test_pixels_lie_between_zero_and_one(digits: RawImages) -> None:
    inputs = Autoencoder().data(Digits(), digits).for_seeds([1]).train.inputs
    assert (inputs.shape[1], inputs.min().item(), inputs.max().item()) == (784, 0.0, 1.0)


def test_defaults_are_the_published_ones() -> None:
    assert Autoencoder.default_training == Training(epochs=50, batch_size=256, learning_rate=1e-3, shuffle=True)
    assert Autoencoder.default_pruning.threshold == 0.005
    assert [score.name for score in Autoencoder.scores] == ["mse", "nmse"]
    assert (Autoencoder().validation_size, Autoencoder().hidden_rule) == (5000, "min")


def test_loss_is_the_mean_squared_error_over_pixels() -> None:
    assert Autoencoder().loss(torch.ones(2, 784), torch.zeros(2, 784)).item() == 1.0
