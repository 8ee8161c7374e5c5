"""Phases that leave no weight of a layer: what a user should know of a training before it begins."""

from collections.abc import Mapping, Sequence

import torch

from dn_distributed.config import Prune, Training
from dn_distributed.tasks import Task
from dn_distributed.training.rewiring import num_weights_of


def layers_without_weights(task: Task, phases: Sequence[Training]) -> list[str]:
    """Return a sentence for the first phase whose ``prune`` or ``rewire`` leaves no weight of a regularised layer.

    Of each phase the most weights that there can be are counted: others may have gone before.
    """
    if all(phase.rewire is None and phase.prune is None for phase in phases):
        return []  # a network takes time to build, and there is one of these for each cell
    with torch.random.fork_rng(devices=[]):
        network = task.network()
    shapes = {name: network.get_parameter(f"{name}.weight").shape for name in task.layers}
    most = {name: shape.numel() for name, shape in shapes.items()}
    total = whole = sum(most.values())
    for number, phase in enumerate(phases, start=1):
        if phase.rewire is not None:
            most = dict(zip(most, num_weights_of(list(shapes.values()), phase.rewire), strict=True))
            total = sum(most.values())
            how = f"'rewire' has {total} of {whole} weights" + ", the fewest there can be" * (total == 1)
        elif phase.prune is not None:
            before = total
            most, total = _pruned(most, total, phase.prune)
            how = f"'prune' keeps {100 * phase.prune.keep:g} % of {before} weights"
            how += {"layer": " in each layer", "network": ""}[phase.prune.within]
            how += f", {phase.prune.rounds} times" if phase.prune.rounds > 1 else ""
        else:
            continue
        empty = [name for name, count in most.items() if not count]
        if empty or total < len(most):
            of = ", ".join(empty) or f"some layer, of {total} for {len(most)} layers"
            return [f"phase {number} leaves no weight of {of}: {how}"]
    return []


def _pruned(most: Mapping[str, int], total: int, prune: Prune) -> tuple[dict[str, int], int]:
    """The most weights of each layer, and of all, after the rounds of a phase."""
    for _ in range(prune.rounds):
        if prune.within == "layer":
            most = {name: round(prune.keep * count) for name, count in most.items()}
            total = min(total, sum(most.values()))
        else:
            total = round(prune.keep * total)
            most = {name: min(count, total) for name, count in most.items()}
        if not total:
            break
    return dict(most), total
