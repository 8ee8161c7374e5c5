"""The parameters of K networks of one architecture in one buffer, and their gradients in another.

Shapes: K replicates, P parameters.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dn_distributed.config import Precision
from dn_distributed.torch_internals import foreach_copy_

_ALIGNMENT = 64
"""Replicates start at multiples of it: vector instructions then round each one alike wherever it stands."""


class Parameters:
    """Buffers ``[K, P]``, of which every parameter is a view ``[K, *shape]``; the regularised layers stand first.

    So the optimiser and the elementwise penalties each work on one tensor.
    """

    def __init__(
        self, shapes: Mapping[str, torch.Size], layers: Sequence[str], num_replicates: int, device: torch.device
    ) -> None:
        """``shapes``: of one network's parameters; ``layers``: those that are regularised."""
        self._layers = tuple(layers)
        first = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias") if f"{layer}.{part}" in shapes]
        self.shapes = {name: shapes[name] for name in [*first, *(name for name in shapes if name not in first)]}
        self.names = tuple(self.shapes)
        self.values = stacked_zeros(self.shapes, num_replicates, device)
        self.gradients = torch.zeros_like(self.values)
        self.value_views = views_of(self.values, self.shapes)
        self.gradient_views = views_of(self.gradients, self.shapes)
        self._lowered: list[Tensor] = []
        self._num_regularized = sum(shapes[name].numel() for name in first)

    def values_in(self, precision: Precision) -> list[Tensor]:
        """Return the views of the values, or in lower precision copies of them, until they are asked for again."""
        if precision != "bf16":
            return self.value_views
        if not self._lowered:  # and then they stay where they are, as a recorded step needs
            self._lowered = [_like(view, torch.bfloat16) for view in self.value_views]
        foreach_copy_(self._lowered, self.value_views)
        return self._lowered

    @property
    def by_name(self) -> dict[str, Tensor]:
        """Views ``[K, *shape]`` by parameter name."""
        return dict(zip(self.names, self.value_views, strict=True))

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts ``[K, *shape]`` of a buffer ``[K, P]`` by the name of the parameter that they belong to."""
        return dict(zip(self.names, views_of(buffer, self.shapes), strict=True))

    def touched(self, layers: Sequence[str], touches: str) -> list[tuple[Tensor, Tensor]]:
        """Return (values, gradients) of what a penalty of ``layers`` touches; see ``Penalty.touches``."""
        by_name = dict(zip(self.names, zip(self.value_views, self.gradient_views, strict=True), strict=True))
        if touches == "weights":
            return [by_name[f"{layer}.weight"] for layer in layers]
        if tuple(layers) == self._layers:  # one tensor for all of them
            return [(self.values[:, : self._num_regularized], self.gradients[:, : self._num_regularized])]
        named = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
        return [(by_name[n][0].flatten(1), by_name[n][1].flatten(1)) for n in named if n in by_name]


def _like(stack: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an empty tensor of the same shape.

    Its replicates stand one right after the other where each then begins with a vector: the library for products in
    bfloat16 copies all others first, at each of them.
    """
    size = stack[0].numel()
    return torch.empty(len(stack), _aligned(size), dtype=dtype, device=stack.device)[:, :size].view(stack.shape)


def stacked_zeros(shapes: Mapping[str, torch.Size], num_replicates: int, device: torch.device) -> Tensor:
    """Return a buffer ``[K, n]`` for tensors of these shapes."""
    size = sum(shape.numel() for shape in shapes.values())
    return torch.zeros(num_replicates, _aligned(size), device=device)


def _aligned(size: int) -> int:
    """Return how far apart replicates of so many numbers begin."""
    return math.ceil(size / _ALIGNMENT) * _ALIGNMENT


def views_of(buffer: Tensor, shapes: Mapping[str, torch.Size]) -> list[Tensor]:
    """Return the tensors ``[K, *shape]`` that lie one after the other in a buffer ``[K, n]``."""
    views, start = [], 0
    for shape in shapes.values():
        views.append(buffer[:, start : start + shape.numel()].view(len(buffer), *shape))
        start += shape.numel()
    return views
