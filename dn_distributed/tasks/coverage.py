"""Over how much of a task's network penalties, pruning and counts speak."""

import torch

from dn_distributed.tasks.base import Task
from dn_distributed.text import shortened

_LONGEST = 60
"""Characters of the names of layers."""


def coverage(task: Task) -> str:
    """Return "of fc1, fc2: 99.2 % of all 1,663,370 parameters" where the regularised layers are not all of them."""
    with torch.random.fork_rng(devices=[]):
        network = task.network()
    total = sum(parameter.numel() for parameter in network.parameters())
    parts = [network.get_submodule(name) for name in task.layers]
    here = sum(parameter.numel() for part in parts for parameter in part.parameters())
    names = shortened(", ".join(task.layers), _LONGEST)
    return f"of {names}: {100 * here / total:.1f} % of all {total:,} parameters" if here < total else ""
