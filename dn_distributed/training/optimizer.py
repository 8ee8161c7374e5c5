"""One step of an optimiser for all replicates of a stack.

Shapes: K replicates, P parameters.
"""

import math

import torch
from torch import Tensor

from dn_distributed.config import Training
from dn_distributed.proximal import step_sizes
from dn_distributed.torch_internals import adam

_BETA2, _EPS = 0.999, 1e-8


class Optimizer:
    """Adam, AdamW or SGD, as ``torch.optim`` has them, on one buffer ``[K, P]``. Weight decay is decoupled."""

    def __init__(self, training: Training, values: Tensor, *, with_multipliers: bool = False) -> None:
        """``with_multipliers``: keep those of proximal steps beside the moments."""
        self._training, self._values = training, values
        self._is_sgd = training.optimizer == "sgd"
        self._first_moment = torch.zeros_like(values)
        self._multipliers = {"multipliers": torch.zeros_like(values)} if with_multipliers else {}
        if not self._is_sgd:
            self._second_moment = torch.zeros_like(values)
            self._adam_step = torch.zeros((), device=values.device)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that the next step depends on, by name."""
        return self.moments() if self._is_sgd else {**self.moments(), "adam_step": self._adam_step}

    def moments(self) -> dict[str, Tensor]:
        """Return what is kept of the gradients, and of proximal steps, ``[K, P]`` by name."""
        if self._is_sgd:
            return {"momentum": self._first_moment, **self._multipliers}
        return {"first_moment": self._first_moment, "second_moment": self._second_moment, **self._multipliers}

    def go_on_from_(self, other: "Optimizer") -> None:
        """Take over what another one of the same values has kept; the moments where it is of the same kind."""
        mine, others = self.state(), other.state()
        for name in mine.keys() & others.keys():
            mine[name].copy_(others[name])

    def step_sizes(self, rate: float, second_moment: Tensor | None) -> Tensor:
        """Return how far a step moves a parameter per unit of its gradient: one number, or one per second moment."""
        if second_moment is None:
            return self._values.new_tensor(step_sizes.of_sgd(rate, self._training.momentum))
        correction = -torch.expm1(self._adam_step * math.log(_BETA2))
        return step_sizes.of_adam(second_moment, rate, correction, _EPS)

    def step_(self, gradients: Tensor, rate: float) -> None:
        """Move the values, given their gradients ``[K, P]``, at a learning rate."""
        if self._training.weight_decay:
            self._values.mul_(1 - rate * self._training.weight_decay)
        if self._is_sgd:
            self._sgd(gradients, rate)
        else:
            self._adam(gradients, rate)

    def _sgd(self, gradients: Tensor, rate: float) -> None:
        momentum = self._training.momentum
        direction = self._first_moment.mul_(momentum).add_(gradients)
        if self._training.nesterov:
            direction = gradients.add(direction, alpha=momentum)
        self._values.add_(direction, alpha=-rate)

    def _adam(self, gradients: Tensor, rate: float) -> None:
        """Adam in its functional form: the optimiser object costs a small network a tenth of its step."""
        adam(
            [self._values],
            [gradients],
            [self._first_moment],
            [self._second_moment],
            [],
            [self._adam_step],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=_BETA2,
            eps=_EPS,
            weight_decay=0.0,
            maximize=False,
            lr=rate,
        )
