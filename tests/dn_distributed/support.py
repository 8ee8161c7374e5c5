"""What the tests of the science share: short ways to tasks, to their layers and to a trainer."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dn_distributed.data import Data
from dn_distributed.replicas import Replicas
from dn_distributed.seeds import generator
from dn_distributed.tasks import TASKS, Task
from dn_distributed.training import Trainer

DataOf = Callable[[Task], Data]
MakeTrainer = Callable[..., Trainer]
"""As the fixtures ``make_trainer`` and ``make_phased`` make one."""
EPOCH: dict[str, Any] = {"epochs": 1, "batch_size": 40}
"""Of five steps, with the 200 samples of ``few_data``."""


def make_task(name: str, **options: Any) -> Task:
    """Return the task of this name, as a sweep file makes it."""
    return TASKS[name](**{"name": name, **options})


def linear(network: nn.Module, name: str) -> nn.Linear:
    """Return a layer by its name."""
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def weight_shapes(task: Task) -> list[tuple[int, ...]]:
    """Return the shapes of the regularised weights, in the order of the layers."""
    network = task.network()
    return [tuple(linear(network, layer).weight.shape) for layer in task.layers]


def gradients(replicas: Replicas) -> dict[str, Tensor]:
    """Return the gradients by parameter name: they lie in their buffer as the values do in theirs."""
    return {
        name: replicas.gradients.as_strided(view.size(), view.stride(), view.storage_offset())
        for name, view in replicas.parameters.items()
    }


def assert_resumes_at_every_step(here: Trainer, there: Trainer, straight: Trainer) -> None:
    """Two new trainers take turns, step by step, and end with the bits of a like one that is at its end."""
    while not here.finished:
        there.load_state(here.state())
        there, here = here, there
        here.advance(1)
    for name, tensor in straight.state().items():
        assert torch.equal(here.state()[name], tensor), name


def num_weights(task: Task) -> int:
    """Return how many weights are regularised."""
    return sum(map(math.prod, weight_shapes(task)))


def assert_initial_parameters_spread(task: Task, std: float, *, cut: float = 1.0) -> None:
    """All have mean 0 and a standard deviation of ``std``, times ``cut`` where the normal's tails are cut off."""
    network = task.network()
    task.initialize(network, generator(1, "init"))
    for name, parameter in network.named_parameters():
        spread = 5 * std / parameter.numel() ** 0.5
        assert parameter.mean().item() == pytest.approx(0, abs=spread), name
        assert parameter.std().item() == pytest.approx(std * cut, abs=spread), name
