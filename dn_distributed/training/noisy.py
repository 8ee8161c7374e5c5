"""Replicates whose weights are random while they train, as a stack with more parameters than the networks have.

Shapes: K replicates.
"""

from collections.abc import Sequence

from torch import Tensor

from dn_distributed.errors import ArgumentError
from dn_distributed.random_weights import COEFFICIENTS, NoiseSource
from dn_distributed.replicas import Replicas
from dn_distributed.training.finite import rows_are_finite
from dn_distributed.training.learner import Learner
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.phases import Phase
from dn_distributed.training.training_setup import TrainingSetup


def has_random_weights(setup: TrainingSetup, phase: Phase) -> bool:
    """Return whether weights are random in a phase: where the penalties act on their distribution."""
    return setup.random_weights is not None and phase.training.penalties != "off"


def check_phases(setup: TrainingSetup, phases: Sequence[Phase]) -> None:
    """ArgumentError where weights would be random in a phase that has a structure to keep."""
    for number, phase in enumerate(phases):
        before = [other.training for other in phases[: number + 1]]
        if has_random_weights(setup, phase) and any(training.has_masks for training in before):
            raise ArgumentError(
                f"phase {number + 1} drops, prunes or keeps what was left, which weights that are random "
                f'({", ".join(COEFFICIENTS)}) do not go with: give it, and those after it, penalties: "off"'
            )


class Noisy:
    """The replicates of a stack in a phase. The stack has the networks that are tested after ``write_back`` alone."""

    def __init__(self, setup: TrainingSetup, phase: Phase, *, before: "Noisy | None") -> None:
        """``before``: of the phase before, where weights were random in it too; else those of the stack go on."""
        assert setup.random_weights is not None
        self._random_weights, self._plain = setup.random_weights, setup.replicas
        self._layers = setup.task.layers
        plain = self._plain
        self._stack = Replicas(
            setup.task, plain.seeds, setup.dropout, plain.device, random_weights=self._random_weights
        )
        for name, value in plain.parameters.items():
            self._stack.parameters[name].copy_(value)
        self._stack.running.copy_(plain.running)
        purpose = f"noise of phase {phase.number}"
        shapes = self._stack.noise_shapes(plain.output_shapes(setup.first_samples(phase.training.batch_size)))
        self._noise = NoiseSource(self._random_weights, shapes, plain.seeds, purpose)
        optimizer = Optimizer(phase.training, self._stack.values, with_multipliers=setup.penalties.overlap)
        self._learner = Learner(
            self._stack, setup.penalties, optimizer, phase.training.precision, self._add_penalty_gradient_
        )
        if before is not None:
            self._stack.values.copy_(before._stack.values)
            optimizer.go_on_from_(before._learner.optimizer)

    def _add_penalty_gradient_(self, factor: float) -> None:
        stack = self._stack
        self._random_weights.add_gradient_(self._layers, stack.parameters, stack.views(stack.gradients), factor)

    def step_(
        self, inputs: Tensor, targets: Tensor, masks: list[Tensor], own_step: int, rate: float, penalty_factor: float
    ) -> Tensor:
        """As ``Learner.step_``; ``own_step``: of the phase."""
        noise = self._noise.at(own_step, self._stack.device)
        return self._learner.step_(inputs, targets, [*masks, *noise], rate, penalty_factor)

    def write_back(self) -> None:
        """Write the networks that are tested into the stack."""
        tested = self._random_weights.tested(self._layers, self._stack.parameters)
        for name, value in self._plain.parameters.items():
            value.copy_(tested.get(name, self._stack.parameters[name]))
        self._plain.running.copy_(self._stack.running)

    def finite(self) -> Tensor:
        """As ``Learner.finite``; running statistics too."""
        return self._learner.finite() & rows_are_finite(self._stack.running)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the rest of the phase depends on, by name."""
        running = self._stack.running
        return {**self._learner.tensors(), **({"running": running} if running.numel() else {})}
