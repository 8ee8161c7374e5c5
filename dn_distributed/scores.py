"""Scores as sums: each is a numerator over a denominator, so batches add up whatever their sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # names of scores are read where nothing is computed
    from torch import Tensor

Parts: TypeAlias = "tuple[Tensor, Tensor]"


@dataclass(frozen=True)
class Score:
    """A quantity measured on a split, one value per replicate."""

    name: str
    higher_is_better: bool
    parts: Callable[[Tensor, Tensor], Parts]
    """From outputs and targets ``[K, B, ...]`` to numerator and denominator ``[K]``."""
    is_nonnegative: bool = False
    """Whether it cannot be below 0, as errors that are sums of squares, and shares: its intervals end there."""

    def better(self, a: float, b: float) -> bool:
        """Return whether score ``a`` beats score ``b``."""
        return a > b if self.higher_is_better else a < b


def _accuracy(outputs: Tensor, targets: Tensor) -> Parts:
    correct = (outputs.argmax(-1) == targets).double().sum(-1)
    return correct, correct.new_full(correct.shape, targets.shape[-1])


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().flatten(1).sum(-1).double()


def _mse(outputs: Tensor, targets: Tensor) -> Parts:
    error = _squared_error(outputs, targets)
    return error, error.new_full(error.shape, targets[0].numel())


def _nmse(outputs: Tensor, targets: Tensor) -> Parts:
    return _squared_error(outputs, targets), targets.square().flatten(1).sum(-1).double()


ACCURACY = Score("accuracy", True, _accuracy, is_nonnegative=True)
"""Share of samples whose largest output is the label."""
MSE = Score("mse", False, _mse, is_nonnegative=True)
"""Mean squared error over all output entries. The autoencoder script prints it under the name NMSE."""
NMSE = Score("nmse", False, _nmse, is_nonnegative=True)
"""Σ(y − ŷ)² / Σy² (paper, section on sparse linear regression)."""
SCORES = {score.name: score for score in (ACCURACY, MSE, NMSE)}
"""Those of this project, by name."""
