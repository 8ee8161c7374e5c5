"""What a penalty is. Each one is a file beside this one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor


@dataclass(frozen=True)
class Penalty(ABC):
    """A term added to the loss of every replicate, with its gradient in closed form.

    A tensor is one network's, of any shape that the penalty takes, unless ``leading`` says that its first dimensions
    count replicates: then each replicate is penalised for itself. The gradient is written out rather than left to
    autograd because it is cheaper by an order of magnitude, and because it can be made finite everywhere.
    """

    coefficient: float
    """Effective coefficient (the published scripts' argument times 0.1)."""

    name: ClassVar[str]
    """Its key in a sweep file."""
    touches: ClassVar[Literal["parameters", "weights"]]
    """"parameters": weights and biases of the regularised layers, flattened to ``[K, n]``.
    "weights": each regularised layer's weight alone, ``[K, n_out, n_in]``."""
    reach: ClassVar[slice] = slice(None)
    """Which of the regularised layers, where a task does not say otherwise: all."""

    @abstractmethod
    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return the penalty of ``tensor``, one value per replicate: ``[]`` for one network, else ``[K]``.

        Its gradient by autograd is finite for finite input.
        """

    @abstractmethod
    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        """Add the penalty's gradient at ``tensor`` to ``gradient`` in place; finite for finite input."""
