"""Training with a fixed number of weights that move while it goes on: RigL.

Evci et al., "Rigging the lottery: making all tickets winners", ICML 2020 (arXiv 1911.11134), algorithm 1. Every ΔT
steps, in place of the optimiser's step, each layer loses the share

    f(t) = α / 2 · (1 + cos(π t / T_end))

of its weights, those smallest in absolute value, and gets as many new ones, where the gradient of the loss is largest.
New weights are 0. One that is lost and chosen again at once stays as it was, as in the authors' code.
Shapes: K replicates, P parameters.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dn_distributed.config import Rewire
from dn_distributed.replicas import Replicas
from dn_distributed.seeds import generator
from dn_distributed.training.phases import Phase


def num_weights_of(shapes: Sequence[torch.Size], rewire: Rewire) -> list[int]:
    """Return how many weights each layer has: all together ``round(density · n)``, one at least.

    Uniform: the same share of each. Erdős–Rényi: shares in proportion to ``Σ dimensions / Π dimensions`` of the weight,
    and 1 where that is more (their section 3, from Mocanu et al. 2018).
    """
    sizes = [shape.numel() for shape in shapes]
    total = max(1, round(rewire.density * sum(sizes)))
    parts = sizes if rewire.layers == "uniform" else [sum(shape) for shape in shapes]
    full: set[int] = set()
    while True:
        others = [number for number in range(len(sizes)) if number not in full]
        left = total - sum(sizes[number] for number in full)
        scale = left / sum(parts[number] for number in others) if others else 0
        too_large = {number for number in others if scale * parts[number] > sizes[number]}
        if not too_large:
            break
        full |= too_large
    found = [sizes[number] if number in full else math.floor(scale * parts[number]) for number in range(len(sizes))]
    for number in sorted(others, key=lambda number: found[number] - scale * parts[number])[: total - sum(found)]:
        found[number] += 1
    return found


class Rewiring:
    """Which weights of a stack are there in a phase, ``[K, P]``: other parameters always are."""

    def __init__(self, replicas: Replicas, layers: Sequence[str], phase: Phase, rewire: Rewire) -> None:
        self._replicas, self._rewire = replicas, rewire
        self._names = [f"{layer}.weight" for layer in layers]
        self._end = phase.last_move

    def first_structure(self) -> Tensor:
        """Return what is there at first: weights drawn at random for each replicate, True where there is one."""
        structure = torch.ones_like(self._replicas.values, dtype=torch.bool)
        views = self._replicas.views(structure)
        counts = num_weights_of([views[name].shape[1:] for name in self._names], self._rewire)
        for number, (name, count) in enumerate(zip(self._names, counts, strict=True)):
            for row, seed in enumerate(self._replicas.seeds):
                size = views[name][row].numel()
                chosen = torch.randperm(size, generator=generator(seed, "first weights", number))[:count]
                mask = torch.zeros(size, dtype=torch.bool).index_fill_(0, chosen, True)
                views[name][row].copy_(mask.view(views[name][row].shape))
        return structure

    def is_due(self, own_step: int) -> bool:
        """Return whether weights move at a step of the phase."""
        return 0 < own_step < self._end and own_step % self._rewire.every == 0

    def moved(self, structure: Tensor, own_step: int) -> Tensor:
        """Return what is there from now on; ``structure``: until now. The stack has the gradients of all weights."""
        share = self._rewire.fraction / 2 * (1 + math.cos(math.pi * own_step / self._end))
        found = structure.bool()
        masks, values = self._replicas.views(found), self._replicas.parameters
        gradients: Mapping[str, Tensor] = self._replicas.views(self._replicas.gradients)
        for name in self._names:
            for mask, weight, gradient in zip(masks[name], values[name], gradients[name], strict=True):
                mask.copy_(_moved(mask.flatten(), weight.flatten(), gradient.flatten(), share).view(mask.shape))
        return found


def _moved(mask: Tensor, weight: Tensor, gradient: Tensor, share: float) -> Tensor:
    """Of one layer of one replicate, ``[n]``."""
    count = int(share * int(mask.sum()))
    lost = weight.abs().where(mask, torch.inf).topk(count, largest=False).indices
    stays = mask.index_fill(0, lost, False)
    new = gradient.abs().where(~stays, -1).topk(count).indices
    return stays.index_fill(0, new, True)
