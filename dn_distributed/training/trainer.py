"""One training loop for every task, device and method. It yields progress and knows no logger.

Shapes: K replicates, B samples of a batch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dn_distributed import score_names
from dn_distributed.config import Training
from dn_distributed.data import Splits
from dn_distributed.regularizers import build_penalties
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.regularizers.dropout import MaskSource
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training.batches import Batches
from dn_distributed.training.evaluation import Evaluation
from dn_distributed.training.optimizer import Optimizer, learning_rate
from dn_distributed.training.outcome import EpochReport, Outcome


class Trainer:
    """Trains a pack of replicates. Interrupted at any step and restored, it ends with the same bits."""

    def __init__(
        self,
        task: Task,
        regularization: Mapping[str, float],
        training: Training,
        threshold: float,
        splits: Splits,
        seeds: Sequence[int],
        *,
        curve: Sequence[float] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        """``splits`` as ``Data.for_seeds(seeds)`` gives; ``regularization`` as ``regularizers.resolve`` gives.

        ``curve``: thresholds that the trained replicates are measured at, besides ``threshold``.
        ValueError where the data are fewer than a batch, or the network cannot be stacked.
        """
        if not seeds:
            raise ValueError("a pack needs at least one seed")
        self.task, self.seeds, self.threshold, self.curve = task, tuple(seeds), threshold, tuple(curve)
        self.device = torch.device(device)
        self.step = 0
        self._splits = splits.to(self.device)
        self.training = training.resolve(splits.num_train)
        self._batches = Batches(self._splits, training, seeds, self.device)
        self.steps_per_epoch = self._batches.steps_per_epoch
        assert self.training.steps is not None
        self.num_steps = self.training.steps
        self.num_epochs = math.ceil(self.num_steps / self.steps_per_epoch)

        dropout = regularization.get(DROPOUT, 0.0)
        self.replicas = Replicas(task, seeds, dropout, self.device)
        self._penalties = [
            (penalty, self.replicas.touched(penalty.name, penalty.touches))
            for penalty in build_penalties(regularization)
        ]
        of_one = self._splits.train.inputs[0] if splits.stacked else self._splits.train.inputs
        shapes = self.replicas.dropout_shapes(of_one[: training.batch_size])
        self._masks = MaskSource(shapes, training.batch_size, dropout, seeds, "dropout")
        self._evaluation = Evaluation(task, self.replicas, self._splits, dropout, shapes)
        self._optimizer = Optimizer(training, self.replicas.values)
        self._loss_sum = torch.zeros(len(self.seeds), device=self.device)
        self._diverged = torch.zeros(len(self.seeds), dtype=torch.bool, device=self.device)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.num_steps

    def run(self) -> Iterator[EpochReport]:
        """Train to the end from wherever the state stands, yielding a report after each epoch."""
        while not self.finished:
            first = self.epoch * self.steps_per_epoch
            self.advance(min(first + self.steps_per_epoch, self.num_steps) - self.step)
            yield self._report(self.step - first)

    def advance(self, num_steps: int) -> None:
        """Take ``num_steps`` optimiser steps (fewer where the training ends before)."""
        for _ in range(min(num_steps, self.num_steps - self.step)):
            self._take_step(*self._batches.at(self.step))

    def _take_step(self, inputs: Tensor, targets: Tensor) -> None:
        if self.step % self.steps_per_epoch == 0:
            self._loss_sum.zero_()
        self.replicas.gradients.zero_()
        for penalty, touched in self._penalties:
            for values, gradients in touched:
                penalty.add_gradient_(values, gradients, leading=1)
        masks = self._masks.masks(self.step, self.device)
        self._loss_sum += self.replicas.add_loss_gradient_(inputs, targets, masks)
        rate = learning_rate(self.training, self.step, self.steps_per_epoch)
        self._optimizer.step_(self.replicas.gradients, rate)
        self.step += 1

    def _report(self, steps: int) -> EpochReport:
        """Scores on the validation data, and what pruning would leave, at this point."""
        self._note_divergence()
        metrics = {score_names.TRAIN_LOSS: (self._loss_sum / steps).tolist()}
        metrics |= {score_names.of_split("validation", name): v for name, v in self.validate().items()}
        counts = self._evaluation.counts(self.threshold)
        metrics["num_nonzero"] = [float(c.num_nonzero) for c in counts]
        metrics["neurons_alive"] = [float(c.neurons_alive) for c in counts]
        return EpochReport(math.ceil(self.step / self.steps_per_epoch), self.step, metrics)

    def validate(self, *, pruned: bool = False) -> dict[str, list[float]]:
        """Return loss and scores on the validation data, one float per replicate."""
        return self._evaluation.scores(self._splits.validation, threshold=self.threshold if pruned else None)

    def outcomes(self) -> list[Outcome]:
        """Measure the replicates as they stand, before and after pruning, on validation and test data."""
        return self._evaluation.outcomes(self.threshold, self.curve)

    def diverged(self) -> list[int]:
        """Return the seeds whose loss, parameters or moments were not finite now or after an epoch before."""
        self._note_divergence()
        return [seed for seed, lost in zip(self.seeds, self._diverged.tolist(), strict=True) if lost]

    def _note_divergence(self) -> None:
        # An infinite second moment stops a replicate with finite parameters: Adam divides by it.
        finite = self._loss_sum.isfinite()
        for tensor in (self.replicas.values, self.replicas.running, *self._optimizer.moments().values()):
            finite &= tensor.isfinite().all(1)
        self._diverged |= ~finite

    def state(self) -> dict[str, Tensor]:
        """Return all that the rest of the training depends on, as named tensors on the CPU.

        Generators are not among them: every draw follows from the seed and the step.
        """
        saved = {name: tensor.cpu().clone() for name, tensor in self._state_tensors().items()}
        return {**saved, "step": torch.tensor(self.step), "seeds": torch.tensor(self.seeds)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, of these replicates or of a pack that had them among others.

        ValueError where it belongs to others; nothing has changed then.
        """
        own = self._state_tensors()
        if not {*own, "step", "seeds"} <= state.keys():
            raise ValueError("the saved state is not whole")
        saved = state["seeds"].tolist()
        if not set(self.seeds) <= set(saved):
            raise ValueError("the saved state belongs to other replicates")
        rows = torch.tensor([saved.index(seed) for seed in self.seeds])
        found = {name: state[name] if tensor.ndim == 0 else state[name][rows] for name, tensor in own.items()}
        if any(found[name].shape != tensor.shape for name, tensor in own.items()):
            raise ValueError("the saved state belongs to another network")
        self.step = int(state["step"])
        for name, tensor in own.items():
            tensor.copy_(found[name])

    def _state_tensors(self) -> dict[str, Tensor]:
        running = self.replicas.running
        return {
            **({"running": running} if running.numel() else {}),
            "values": self.replicas.values,
            **self._optimizer.state(),
            "loss_sum": self._loss_sum,
            "diverged": self._diverged,
        }
