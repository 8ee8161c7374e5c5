"""The noise of random weights, whose draws depend on seed, purpose and step alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dn_distributed.random_weights.base import RandomWeights
from dn_distributed.seeds import generator


class NoiseSource:
    """Noise for each step of a phase: nothing of it needs saving."""

    def __init__(
        self, random_weights: RandomWeights, shapes: Sequence[torch.Size], seeds: Sequence[int], purpose: str
    ) -> None:
        """``shapes``: of the noise of each layer. ``purpose``: name of the draw."""
        self._random_weights, self._shapes = random_weights, tuple(shapes)
        self._seeds, self._purpose = tuple(seeds), purpose

    def at(self, step: int, device: torch.device) -> list[Tensor]:
        """Return for each layer its noise ``[K, *shape]``. Each replicate draws from its own generator."""
        drawn: list[list[Tensor]] = []
        for seed in self._seeds:
            random = generator(seed, self._purpose, step, device)
            drawn.append([self._random_weights.draw(shape, random, device) for shape in self._shapes])
        return [torch.stack(of_layer) for of_layer in zip(*drawn, strict=True)]
