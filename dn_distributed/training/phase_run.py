"""A phase of a training under way: its batches, its draws, its optimiser, and the structure that it keeps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dn_distributed import pruning
from dn_distributed.config import Training
from dn_distributed.pruning import Cut
from dn_distributed.regularizers.dropout import InputDropout, MaskSource
from dn_distributed.training.batches import Batches
from dn_distributed.training.finite import rows_are_finite
from dn_distributed.training.learner import Learner
from dn_distributed.training.noisy import Noisy, has_random_weights
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.phases import Phase
from dn_distributed.training.rewiring import Rewiring
from dn_distributed.training.shrinking import ShrinkingStack
from dn_distributed.training.teacher import Teacher
from dn_distributed.training.training_setup import TrainingSetup


class PhaseRun:
    """One phase. Its tensors, and the step, are all that the rest of it depends on."""

    def __init__(
        self, setup: TrainingSetup, phase: Phase, *, so_far: Sequence[Training], before: "PhaseRun | None"
    ) -> None:
        """``so_far``: this phase's training and those before it. ``before``: the phase before, at its end.

        Without ``before`` what the phase goes on from is restored.
        """
        self._setup, self.phase = setup, phase
        replicas = setup.replicas
        self.batches = Batches(setup.splits, phase, replicas.seeds, replicas.device, setup.task.image_shape)
        purpose = f"dropout of phase {phase.number}" if phase.number else "dropout"
        batch_size, rate = phase.training.batch_size, setup.dropout
        self._masks = MaskSource(setup.dropout_shapes, batch_size, rate, replicas.seeds, purpose)
        self._input_dropout = InputDropout(setup.input_dropout, replicas.seeds, f"input {purpose}")
        self._teacher: Teacher | None = None
        if phase.teacher_step is not None and phase.training.distill is not None:
            self._teacher = Teacher(replicas, *setup.earlier.at(phase.teacher_step), phase.training.distill)
        optimizer = Optimizer(phase.training, replicas.values, with_multipliers=setup.penalties.overlap)
        self._whole = Learner(replicas, setup.penalties, optimizer, phase.training.precision)
        if before is not None:
            before.write_back()
            if before._noisy is None:
                self._whole.optimizer.go_on_from_(before._whole.optimizer)
        self._noisy: Noisy | None = None
        if has_random_weights(setup, phase):
            self._noisy = Noisy(setup, phase, before=before._noisy if before is not None else None)
        self._shrinking: ShrinkingStack | None = None
        changes_structure = any(training.changes_structure for training in so_far)
        if changes_structure and setup.chain is not None:
            self._shrinking = ShrinkingStack(
                setup,
                setup.chain,
                self._whole,
                phase,
                self.batches,
                one_by_one=any(training.drop is not None for training in so_far),
                before=before._shrinking if before is not None else None,
            )
            if before is not None and before._shrinking is None and before._whole.structure is not None:
                self._shrinking.structure.copy_(before._whole.structure)
        elif any(training.has_masks for training in so_far):
            self._whole.structure = torch.ones_like(replicas.values)
            if before is not None and before._whole.structure is not None:
                self._whole.structure.copy_(before._whole.structure)
        self._rewiring: Rewiring | None = None
        self._has_moved_before = any(training.rewire is not None for training in so_far[:-1])
        if phase.training.rewire is not None:
            self._rewiring = Rewiring(replicas, setup.task.layers, phase, phase.training.rewire)

    def begin(self, threshold: Cut) -> None:
        """Do what stands at the beginning of the phase; ``threshold``: of pruning, where it fixes the structure."""
        cut = self.phase.training.prune or threshold
        if self._shrinking is not None:
            self._shrinking.begin(cut)
        elif self.phase.training.prunes:
            replicas = self._setup.replicas
            left = pruning.masks(replicas.weights(), cut)
            structure = torch.ones_like(replicas.values, dtype=torch.bool)
            views = replicas.views(structure)
            for name, stays in pruning.changed(views, left, replicas.parts_of_filters).items():
                views[name].copy_(stays)
            self._keep(structure)
        elif self._rewiring is not None and not self._has_moved_before:
            self._keep(self._rewiring.first_structure())

    def _keep(self, structure: Tensor) -> None:
        """Of the stack as a whole; ``structure``: what may be other than 0."""
        self._whole.keep_(structure)
        self._whole.structure = structure.to(self._setup.replicas.values.dtype)  # it is state, also if all ones

    def go_back_to_(self, values: Tensor, running: Tensor) -> None:
        """Give what is there earlier values, parameters ``[K, P]`` and statistics; the optimiser begins anew."""
        self.write_back()
        replicas = self._setup.replicas
        structure = self._whole.structure if self._shrinking is None else self._shrinking.structure
        replicas.values.copy_(values if structure is None else values * structure)
        replicas.running.copy_(running)
        for tensor in self._whole.optimizer.state().values():
            tensor.zero_()
        if self._shrinking is not None:
            self._shrinking.restored()

    def take_step(self, step: int) -> Tensor:
        """Take a step of the phase and return the losses ``[K]`` before it."""
        inputs, targets = self.batches.at(step)
        own_step = step - self.phase.first_step
        masks = self._masks.masks(own_step, self._setup.replicas.device)
        if self._teacher is not None:
            targets = self._teacher.targets(inputs, targets)
        inputs = self._input_dropout(inputs, own_step)
        rate, factor = self.phase.learning_rate(step), self.phase.penalty_factor(step)
        if self._noisy is not None:
            return self._noisy.step_(inputs, targets, masks, own_step, rate, factor)
        if self._rewiring is not None and self._rewiring.is_due(own_step):
            # Without penalties: new weights come where the gradient of the loss is largest.
            losses = self._whole.compute_gradients_(inputs, targets, masks, 0.0)
            self._move_weights(self._rewiring, own_step)
            return losses
        if self._shrinking is None:
            return self._whole.step_(inputs, targets, masks, rate, factor)
        losses = self._shrinking.step_(inputs, targets, masks, rate, factor)
        self._shrinking.after_step(step + 1)
        return losses

    def _move_weights(self, rewiring: Rewiring, own_step: int) -> None:
        """Let weights change their places: what is new begins at 0."""
        before = self._whole.structure
        assert before is not None
        after = rewiring.moved(before, own_step)
        self._whole.keep_(before.bool() & after)
        self._keep(after)

    def write_back(self) -> None:
        """Bring the stack's parameters up to date."""
        if self._shrinking is not None:
            self._shrinking.write_back()
        elif self._noisy is not None:
            self._noisy.write_back()

    def finite(self) -> Tensor:
        """Return which replicates have finite parameters, moments and statistics, ``[K]``."""
        learner = self._shrinking or self._noisy or self._whole
        return learner.finite() & rows_are_finite(self._setup.replicas.running)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the rest of the phase depends on, by name, to be saved or overwritten."""
        if self._noisy is not None:
            return self._noisy.tensors()
        running = self._setup.replicas.running
        statistics = {"running": running} if running.numel() else {}
        if self._shrinking is not None:
            return {**statistics, **self._shrinking.tensors()}
        structure = {} if self._whole.structure is None else {"structure": self._whole.structure}
        return {**statistics, **self._whole.tensors(), **structure}

    def restored(self) -> None:
        """Go on from ``tensors`` that were overwritten."""
        if self._shrinking is not None:
            self._shrinking.restored()
