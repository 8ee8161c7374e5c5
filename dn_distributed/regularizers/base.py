"""What a penalty is. Each one is a file beside this one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dn_distributed.chains import forward_order
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import select
from dn_distributed.text import quoted


@dataclass(frozen=True)
class Penalty(ABC):
    """A term added to the loss of every replicate, with its gradient in closed form.

    A tensor is one network's, of any shape that the penalty takes, unless ``leading`` says that its first dimensions
    count replicates: then each replicate is penalised for itself. The gradient is written out rather than left to
    autograd because it is cheaper by an order of magnitude, and because it can be made finite everywhere.
    """

    coefficient: float
    """The factor in front of the term, as of Σ|w|; the published scripts' own argument is ten times this."""

    name: ClassVar[str]
    """Its key in a sweep file."""
    touches: ClassVar[Literal["parameters", "weights"]]
    """"parameters": weights and biases of the regularised layers, flattened to ``[K, n]``.
    "weights": each regularised layer's weight alone, ``[K, n_out, n_in]`` or ``[K, filters, channels, height, width]``.
    """
    reach: ClassVar[slice] = slice(None)
    """Which of the regularised layers, where a task does not say otherwise: all."""

    def __post_init__(self) -> None:
        """ArgumentError for a coefficient that is negative, infinite or NaN, and where ``touches`` is neither."""
        check_touches(type(self))
        if not 0 <= as_number(self.name, self.coefficient) < math.inf:
            raise ArgumentError(f"{self.name} = {self.coefficient} is out of range (finite and ≥ 0)")

    @abstractmethod
    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return the penalty of ``tensor``, one value per replicate: ``[]`` for one network, else ``[K]``.

        Its gradient by autograd is finite for finite input.
        """

    @abstractmethod
    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        """Add the penalty's gradient at ``tensor`` to ``gradient`` in place; finite for finite input."""

    def __call__(self, module: nn.Module, layers: Sequence[str] | None = None) -> Tensor:
        """Return the penalty of a module's layers, one number for autograd: to be added to the loss.

        ``layers`` names them; None: every ``nn.Linear``. A penalty that reaches some of the layers only, as
        ``l2_as_scripted``, takes them in forward order. Weights in half precision are added up in
        float32, for their sum is soon too large. ArgumentError for layers that are not there or do not fit.
        """
        if layers is None and self.reach != slice(None):
            layers = forward_order(module)
        chosen = select(module, layers)
        reached = {name: chosen[name] for name in list(chosen)[self.reach]}
        if not reached:
            return _summable(next(iter(chosen.values())).weight).new_zeros(())
        if self.touches == "parameters":
            parameters = (p for layer in reached.values() for p in (layer.weight, layer.bias) if p is not None)
            return self.value(torch.cat([_summable(parameter).flatten() for parameter in parameters]))
        for name, layer in reached.items():
            if isinstance(layer, nn.Conv2d) and layer.groups != 1:
                raise ArgumentError(f"layer {name!r} is a convolution with groups, which {self.name} does not take")
        return torch.stack([self.value(_summable(layer.weight)) for layer in reached.values()]).sum()


def _summable(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def as_number(name: str, coefficient: object) -> float:
    """Return a coefficient as a number. ArgumentError for what is none, or is to be trained."""
    if isinstance(coefficient, Tensor) and coefficient.requires_grad:
        raise ArgumentError(f"{name} is a tensor that requires a gradient; a coefficient is a constant: detach it")
    if not isinstance(coefficient, Real) and not (isinstance(coefficient, Tensor) and coefficient.numel() == 1):
        raise ArgumentError(f"{name} = {quoted(coefficient)}: give a number")
    return float(coefficient)


def check_touches(cls: type[Penalty]) -> None:
    """ArgumentError where a penalty does not say what it touches: it would silently touch something else."""
    touches = getattr(cls, "touches", None)
    if touches not in ("parameters", "weights"):
        raise ArgumentError(f"penalty {cls.__name__} touches {touches!r}: give 'parameters' or 'weights'")
