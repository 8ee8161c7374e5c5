"""One optimiser step of a stack of replicates, or of one replicate by itself: loss, penalties, optimiser.

Shapes: K replicates, P parameters, B samples of a batch.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from dn_distributed.config import Precision
from dn_distributed.proximal import StackedProximalStep
from dn_distributed.replicas.precision import products_in
from dn_distributed.training.finite import rows_are_finite
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.penalties import Penalties


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

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts ``[K, *shape]`` of a buffer like ``values`` by the name of the parameter they belong to."""

    def write_loss_gradient_(
        self, inputs: Tensor, targets: Tensor, masks: list[Tensor], precision: Precision
    ) -> Tensor:
        """Write the gradient of each replicate's mean loss into ``gradients``; return the losses ``[K]``."""


class Learner:
    """A stack with the penalties that act on it and the optimiser that moves it."""

    def __init__(
        self,
        stack: Stack,
        penalties: Penalties,
        optimizer: Optimizer,
        precision: Precision,
        add_penalty_gradient_: Callable[[float], None] | None = None,
    ) -> None:
        """``add_penalty_gradient_``: adds the gradient of one more penalty, times a factor, to those of the stack."""
        self._add_penalty_gradient_ = add_penalty_gradient_
        self.optimizer = optimizer
        self._stack, self._precision = stack, precision
        self._penalties = [(penalty, stack.touched(penalty.name, penalty.touches)) for penalty in penalties.in_gradient]
        self._proximal = self._proximal_step(penalties)
        self.structure: Tensor | None = None
        """1 where a parameter is trained and 0 where it stays 0, ``[K, P]``; None: all are trained."""

    def _proximal_step(self, penalties: Penalties) -> StackedProximalStep | None:
        if not penalties.proximal:
            return None
        values = self._stack.views(self._stack.values)
        moments = {name: self._stack.views(tensor) for name, tensor in self.optimizer.moments().items()}
        coefficients = {name: found for name, found in penalties.proximal.items() if name in values}
        return StackedProximalStep(
            coefficients, values, moments.get("second_moment", {}), moments.get("multipliers", {})
        )

    def step_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor], rate: float, penalty_factor: float) -> Tensor:
        """Move the parameters by a step at a learning rate; return the losses ``[K]`` before it.

        Inputs and targets ``[K, B, ...]``. ``penalty_factor`` multiplies the coefficients of the penalties.
        """
        losses = self.compute_gradients_(inputs, targets, masks, penalty_factor)
        self.move_(rate, penalty_factor)
        return losses

    def compute_gradients_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor], penalty_factor: float) -> Tensor:
        """Leave in the stack the gradients of loss and penalties, of what stays 0 too; return the losses ``[K]``."""
        with products_in(self._precision, self._stack.values.device):
            losses = self._stack.write_loss_gradient_(inputs, targets, masks, self._precision)
        for penalty, touched in self._penalties if penalty_factor else ():
            scaled = replace(penalty, coefficient=penalty.coefficient * penalty_factor)
            for values, into in touched:
                scaled.add_gradient_(values, into, leading=1)
        if self._add_penalty_gradient_ is not None and penalty_factor:
            self._add_penalty_gradient_(penalty_factor)
        return losses

    def move_(self, rate: float, penalty_factor: float) -> None:
        """Move the parameters by a step, given the gradients in the stack."""
        gradients = self._stack.gradients
        if self.structure is not None:
            gradients.mul_(self.structure)
        self.optimizer.step_(gradients, rate)
        if self._proximal is not None and rate * penalty_factor:
            self._proximal.step_(partial(self.optimizer.step_sizes, rate), penalty_factor)

    def finite(self) -> Tensor:
        """Return which replicates have finite parameters and moments, ``[K]``."""
        # An infinite second moment stops a replicate with finite parameters: Adam divides by it.
        tensors = (self._stack.values, *self.optimizer.moments().values())
        return torch.stack([rows_are_finite(tensor) for tensor in tensors]).all(0)

    def keep_(self, structure: Tensor) -> None:
        """Set to 0, for good, the parameters where ``structure`` ``[K, P]`` is False, with their moments."""
        self.structure = None if bool(structure.all()) else structure.to(self._stack.values.dtype)
        for tensor in (self._stack.values, *self.optimizer.moments().values()):
            tensor.mul_(structure)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the next step depends on, by name."""
        return {"values": self._stack.values, **self.optimizer.state()}
