from typing import Any

import pytest
import torch

from dn_distributed.config import Training
from dn_distributed.data.linear import Described
from dn_distributed.errors import ArgumentError
from dn_distributed.seeds import generator
from dn_distributed.tasks.regression import Regression
from tests.dn_distributed.support import MakeTrainer, linear, num_weights


def test_the_network_is_20_5_1_with_linear_activations() -> None:
    network = Regression().network().eval()
    first, second = linear(network, "fc1"), linear(network, "fc2")
    assert (first.weight.shape, second.weight.shape) == ((5, 20), (1, 5))
    inputs = torch.randn(4, 20)
    expected = (inputs @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(network(inputs), expected)


def test_there_are_105_weights() -> None:
    assert num_weights(Regression()) == 105


@pytest.mark.parametrize(("hidden", "weights"), [((), 20), ((5,), 105), ((10, 5), 255), ((5, 4, 3), 135)])
def test_stacks_may_be_deeper(hidden: tuple[int, ...], weights: int) -> None:
    task = Regression(hidden=hidden)
    assert len(task.layers) == len(hidden) + 1
    assert num_weights(task) == weights
    assert task.network()(torch.zeros(3, 20)).shape == (3, 1)


def test_a_deeper_stack_trains(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(hidden=(5, 4)), [1, 2], {"l1": 0.1, "dn": 0.1, "dropout": 0.5}, steps=3)
    trainer.advance(3)
    assert [len(outcome.counts.units) for outcome in trainer.outcomes()] == [4, 4]
    assert trainer.diverged() == []


def test_hidden_sizes_may_come_as_a_list() -> None:
    assert Regression.model_validate({"hidden": [7, 3]}) == Regression(hidden=(7, 3))
    assert Regression(**Regression(hidden=(7, 3)).identity()).hidden == (7, 3)


@pytest.mark.parametrize("hidden", [[0], ["5"], [2.0], 5])
def test_hidden_sizes_that_are_no_positive_integers_are_refused(hidden: Any) -> None:
    with pytest.raises(ValueError, match="hidden"):
        Regression(hidden=hidden)


def test_dropneuron_acts_on_the_first_layer_only() -> None:
    task = Regression(hidden=(5, 4))
    assert task.layers_of("dn_incoming") == task.layers_of("dn_outgoing") == ("fc1",)
    assert task.layers_of("l1") == task.layers_of("l2") == ("fc1", "fc2", "fc3")


def test_dropout_acts_on_the_hidden_layers() -> None:
    network = Regression(hidden=(5, 4)).network()
    assert len([module for module in network.modules() if isinstance(module, torch.nn.Dropout)]) == 2


def test_initial_parameters_are_standard_normal() -> None:
    task = Regression(hidden=(200, 50))
    network = task.network()
    task.initialize(network, generator(1, "init"))
    for name in ("fc1.weight", "fc2.weight", "fc1.bias"):
        parameter = network.get_parameter(name)
        assert parameter.mean().item() == pytest.approx(0, abs=4 / parameter.numel() ** 0.5)
        assert parameter.std().item() == pytest.approx(1, abs=4 / parameter.numel() ** 0.5)


def test_defaults_are_the_published_ones() -> None:
    assert Regression.default_training == Training(
        epochs=100, batch_size=1, learning_rate=1e-3, learning_rate_decay=1.0, shuffle=False
    )
    assert Regression.default_pruning.threshold == 0.01
    assert [score.name for score in Regression.scores] == ["nmse", "mse"]
    assert Regression().hidden_rule == "min"


def test_loss_is_the_mean_squared_error() -> None:
    assert Regression().loss(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.0]])).item() == 2.0


def test_the_output_drops_where_it_is_asked_for(make_trainer: MakeTrainer) -> None:
    task = Regression(dropout_on_output=True)
    trainer = make_trainer(task, [1, 2], {"dropout": 0.5}, steps=3)
    assert [tuple(mask.shape) for mask in trainer._phase_run._masks.masks(0, trainer.device)] == [
        (2, 32, 5),
        (2, 32, 1),
    ]
    network = task.network().train()
    dropped = (network(torch.ones(1000, 20)) == 0).double().mean().item()
    assert 0.4 < dropped < 0.6
    assert len([module for module in Regression().network().modules() if isinstance(module, torch.nn.Dropout)]) == 1


def test_a_problem_may_have_more_features_which_the_identity_says() -> None:
    task = Regression(features=30, hidden=(4,))
    assert task.network()(torch.ones(7, 30)).shape == (7, 1)
    assert task.identity() == {"name": "regression", "hidden": [4], "features": 30}
    assert task.data(Described(features=30), None).num_train == 500
    with pytest.raises(ArgumentError, match="30 inputs, the dataset has 20 features"):
        task.data(Described(), None)


def test_the_option_that_came_later_enters_the_identity_only_where_it_is_on() -> None:
    assert Regression().identity() == {"name": "regression", "hidden": [5]}
    assert Regression(dropout_on_output=True).identity()["dropout_on_output"] is True
    assert Regression(**Regression(dropout_on_output=True).identity()).dropout_on_output


def test_with_dropout_on_the_output_no_error_falls_below_a_half(make_trainer: MakeTrainer) -> None:
    """Half of all outputs are 0 then, whatever has been learned: the published row's NMSE is 0.539."""
    task = Regression(dropout_on_output=True)
    trainer = make_trainer(task, range(20), {"l1": 2.0, "dropout": 0.5}, epochs=30, batch_size=1, shuffle=False)
    trainer.advance(trainer.num_steps)
    errors = [outcome.scores["test_with_dropout/nmse/after_pruning"] for outcome in trainer.outcomes()]
    assert 0.5 < sum(errors) / len(errors) < 0.75
