"""Over how much of a task's network penalties, pruning and counts speak."""

import torch

from dn_distributed.coverage import Coverage
from dn_distributed.tasks.base import Task


def coverage(task: Task) -> Coverage | None:
    """Return how much of a network the regularised layers are; None where they are all of it."""
    with torch.random.fork_rng(devices=[]):
        network = task.network()
    total = sum(parameter.numel() for parameter in network.parameters())
    parts = [network.get_submodule(name) for name in task.layers]
    here = sum(parameter.numel() for part in parts for parameter in part.parameters())
    found = Coverage(layers=tuple(task.layers), parameters=here, all_parameters=total)
    return found if here < total else None
