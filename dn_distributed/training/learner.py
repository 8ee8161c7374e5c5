"""One optimiser step of a stack of replicates, or of one replicate by itself: loss, penalties, optimiser.

Shapes: K replicates, P parameters, B samples of a batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from dn_distributed.regularizers import Penalty
from dn_distributed.training.optimizer import Optimizer


class Stack(Protocol):
    """What is trained: ``Replicas``, or ``NarrowReplica``."""

    @property
    def values(self) -> Tensor:
        """All parameters, ``[K, P]``."""

    @property
    def gradients(self) -> Tensor:
        """Their gradients, ``[K, P]``."""

    def touched(self, penalty_name: str, touches: str) -> list[tuple[Tensor, Tensor]]:
        """Return (values, gradients) of what a penalty touches; see ``Penalty.touches``."""

    def add_loss_gradient_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor]) -> Tensor:
        """Add the gradient of each replicate's mean loss to ``gradients``; return the losses ``[K]``."""


class Learner:
    """A stack with the penalties that act on it and the optimiser that moves it."""

    def __init__(self, stack: Stack, penalties: Sequence[Penalty], optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._stack = stack
        self._penalties = [(penalty, stack.touched(penalty.name, penalty.touches)) for penalty in penalties]
        self.structure: Tensor | None = None
        """1 where a parameter is trained and 0 where it stays 0, ``[K, P]``; None: all are trained."""

    def step_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor], rate: float, penalty_factor: float) -> Tensor:
        """Move the parameters by a step at a learning rate; return the losses ``[K]`` before it.

        Inputs and targets ``[K, B, ...]``. ``penalty_factor`` multiplies the coefficients of the penalties.
        """
        gradients = self._stack.gradients.zero_()
        for penalty, touched in self._penalties if penalty_factor else ():
            scaled = replace(penalty, coefficient=penalty.coefficient * penalty_factor)
            for values, into in touched:
                scaled.add_gradient_(values, into, leading=1)
        losses = self._stack.add_loss_gradient_(inputs, targets, masks)
        if self.structure is not None:
            gradients.mul_(self.structure)
        self.optimizer.step_(gradients, rate)
        return losses

    def finite(self) -> Tensor:
        """Return which replicates have finite parameters and moments, ``[K]``."""
        # An infinite second moment stops a replicate with finite parameters: Adam divides by it.
        tensors = (self._stack.values, *self.optimizer.moments().values())
        return torch.stack([tensor.isfinite().all(1) for tensor in tensors]).all(0)

    def keep_(self, structure: Tensor) -> None:
        """Set to 0, for good, the parameters where ``structure`` ``[K, P]`` is False, with their moments."""
        self.structure = None if bool(structure.all()) else structure.to(self._stack.values.dtype)
        for tensor in (self._stack.values, *self.optimizer.moments().values()):
            tensor.mul_(structure)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the next step depends on, by name."""
        return {"values": self._stack.values, **self.optimizer.state()}
