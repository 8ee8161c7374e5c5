"""One training loop for every task, device and method. It yields progress and knows no logger.

Shapes: K replicates, N samples, B samples of a batch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

from dn_distributed import pruning, recovery, score_names, sparsity
from dn_distributed.config import Training
from dn_distributed.data import Split, Splits
from dn_distributed.regularizers import build_penalties
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.regularizers.dropout import MaskSource
from dn_distributed.replicas.stack import Replicas
from dn_distributed.score_names import Split as SplitName
from dn_distributed.seeds import generator
from dn_distributed.tasks import Task

_EVALUATION_VALUES = 2**21
"""Input values per replicate in one evaluation batch: bounds its memory."""


@dataclass(frozen=True)
class EpochReport:
    """State of the replicates after an epoch (or after the last step). One float per replicate."""

    epoch: int
    step: int
    metrics: dict[str, list[float]]


@dataclass(frozen=True)
class Outcome:
    """What is recorded of one trained replicate."""

    seed: int
    scores: dict[str, float]
    """By name, as ``score_names.final`` makes it."""
    counts: sparsity.NetworkCounts
    parameters: dict[str, Tensor]
    """All parameters before pruning, on the CPU."""
    masks: dict[str, Tensor]
    """What pruning leaves of each regularised layer, on the CPU."""
    curve: tuple[dict[str, float], ...] = ()
    """The same network at other thresholds: threshold, counts, and scores by ``split/score``."""


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
        self.steps_per_epoch = training.steps_per_epoch(splits.num_train)
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
        self._dropout_shapes = self.replicas.dropout_shapes(of_one[: training.batch_size])
        self._masks = MaskSource(self._dropout_shapes, training.batch_size, dropout, seeds, "dropout")
        self._dropout = dropout
        self._first_moment = torch.zeros_like(self.replicas.values)
        self._second_moment = torch.zeros_like(self.replicas.values)
        self._adam_step = torch.zeros((), device=self.device)
        self._loss_sum = torch.zeros(len(self.seeds), device=self.device)
        self._diverged = torch.zeros(len(self.seeds), dtype=torch.bool, device=self.device)
        self._order: tuple[int, Tensor] | None = None

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
        train = self._splits.train
        one_tensor = train.targets_are_inputs
        inputs = train.inputs.flatten(0, 1) if self._splits.stacked else train.inputs
        targets = train.targets.flatten(0, 1) if self._splits.stacked else train.targets
        batch = (len(self.seeds), self.training.batch_size)
        for _ in range(min(num_steps, self.num_steps - self.step)):
            indices = self._batch_indices()
            x = inputs.index_select(0, indices).view(*batch, *inputs.shape[1:])
            y = x if one_tensor else targets.index_select(0, indices).view(*batch, *targets.shape[1:])
            self._take_step(x, y)

    def _take_step(self, inputs: Tensor, targets: Tensor) -> None:
        if self.step % self.steps_per_epoch == 0:
            self._loss_sum.zero_()
        self.replicas.gradients.zero_()
        for penalty, touched in self._penalties:
            for values, gradients in touched:
                penalty.add_gradient_(values, gradients, leading=1)
        masks = self._masks.masks(self.step, self.device)
        self._loss_sum += self.replicas.add_loss_gradient_(inputs, targets, masks)
        self._adam()
        self.step += 1

    def _adam(self) -> None:
        """Adam in its functional form: the optimiser object costs a small network a tenth of its step."""
        adam(
            [self.replicas.values],
            [self.replicas.gradients],
            [self._first_moment],
            [self._second_moment],
            [],
            [self._adam_step],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=0.0,
            maximize=False,
            lr=self.training.learning_rate * self.training.learning_rate_decay**self.epoch,
        )

    def _batch_indices(self) -> Tensor:
        """Positions ``[K·B]`` of the next batch in the training samples of all replicates, end to end."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._draw_order(epoch))
        return self._order[1][position]

    def _draw_order(self, epoch: int) -> Tensor:
        """The epoch's batches as positions ``[steps, K·B]``."""
        num_train, batch_size = self._splits.num_train, self.training.batch_size
        orders = []
        for row, seed in enumerate(self.seeds):
            if self.training.shuffle:
                order = torch.randperm(num_train, generator=generator(seed, "order", epoch))
            else:
                order = torch.arange(num_train)
            offset = row * num_train if self._splits.stacked else 0
            orders.append(order[: self.steps_per_epoch * batch_size].view(-1, batch_size) + offset)
        return torch.cat(orders, dim=1).to(self.device)

    def _report(self, steps: int) -> EpochReport:
        """Scores on the validation data, and what pruning would leave, at this point."""
        self._note_divergence()
        metrics = {score_names.TRAIN_LOSS: (self._loss_sum / steps).tolist()}
        metrics |= {score_names.of_split("validation", name): v for name, v in self.validate().items()}
        counts = self._counts(self.threshold)
        metrics["num_nonzero"] = [float(c.num_nonzero) for c in counts]
        metrics["neurons_alive"] = [float(c.neurons_alive) for c in counts]
        return EpochReport(math.ceil(self.step / self.steps_per_epoch), self.step, metrics)

    def _counts(self, threshold: float) -> list[sparsity.NetworkCounts]:
        kept = pruning.masks(self.replicas.weights(), threshold)
        return [
            sparsity.count({name: mask[row] for name, mask in kept.items()}, self.task.hidden_rule)
            for row in range(len(self.seeds))
        ]

    @torch.no_grad()
    def evaluate(
        self, split: Split, *, threshold: float | None = None, dropout: bool = False
    ) -> dict[str, list[float]]:
        """Return the loss and every score of the task on ``split``, one float per replicate.

        ``threshold``: after pruning at it; None for the network as it was trained.
        ``dropout`` leaves dropout on.
        """
        values = None
        if threshold is not None:
            weights = pruning.prune(self.replicas.weights(), threshold)
            values = {f"{layer}.weight": weight for layer, weight in weights.items()}
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        for number, (inputs, targets) in enumerate(self._evaluation_batches(split)):
            masks = self._test_masks(number, inputs.shape[1]) if dropout and self._dropout else None
            outputs = self.replicas.forward(inputs, masks, values)
            parts = {score.name: score.parts(outputs, targets) for score in self.task.scores}
            losses = torch.vmap(self.task.loss)(outputs, targets).double()
            parts["loss"] = (losses * targets.shape[1], torch.full_like(losses, targets.shape[1]))
            for name, (top, bottom) in parts.items():
                before = sums.get(name, (0, 0))
                sums[name] = (before[0] + top, before[1] + bottom)
        return {name: (top / bottom).tolist() for name, (top, bottom) in sums.items()}

    def _evaluation_batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets ``[K, B, ...]`` over the whole split, the last batch shorter."""
        inputs, targets = split.inputs, split.targets
        if not self._splits.stacked:
            inputs = inputs.expand(len(self.seeds), *inputs.shape)
            targets = targets.expand(len(self.seeds), *targets.shape)
        size = _evaluation_batch_size(inputs[0, 0].numel())
        yield from zip(torch.split(inputs, size, dim=1), torch.split(targets, size, dim=1), strict=True)

    def _test_masks(self, number: int, batch_size: int) -> list[Tensor]:
        source = MaskSource(self._dropout_shapes, batch_size, self._dropout, self.seeds, f"test dropout {number}")
        return source.masks(0, self.device)

    def validate(self, *, pruned: bool = False) -> dict[str, list[float]]:
        """Return loss and scores on the validation data."""
        return self.evaluate(self._splits.validation, threshold=self.threshold if pruned else None)

    def outcomes(self) -> list[Outcome]:
        """Measure the replicates as they stand, before and after pruning, on validation and test data."""
        measured: dict[str, list[float]] = {}
        for split_name, split, dropout in self._final_splits():
            for stage, threshold in zip(score_names.STAGES, (None, self.threshold), strict=True):
                for name, values in self.evaluate(split, threshold=threshold, dropout=dropout).items():
                    measured[score_names.final(split_name, name, stage)] = values
        measured |= self._recovery()
        curve = [self._at(threshold) for threshold in self.curve]
        kept = {name: mask.cpu() for name, mask in pruning.masks(self.replicas.weights(), self.threshold).items()}
        parameters = {name: view.cpu() for name, view in self.replicas.parameters.items()}
        return [
            Outcome(
                seed=seed,
                scores={name: values[row] for name, values in measured.items()},
                counts=counts,
                parameters={name: view[row].clone() for name, view in parameters.items()},
                masks={name: mask[row].clone() for name, mask in kept.items()},
                curve=tuple({name: values[row] for name, values in point.items()} for point in curve),
            )
            for row, (seed, counts) in enumerate(zip(self.seeds, self._counts(self.threshold), strict=True))
        ]

    def _recovery(self) -> dict[str, list[float]]:
        """How well a network that estimates coefficients finds the true ones; empty for other tasks."""
        truth = self._splits.truth
        if truth is None:
            return {}
        weights = pruning.prune(self.replicas.weights(), self.threshold)
        found = recovery.measure(recovery.estimate(weights.values()), truth)
        return {name: values.tolist() for name, values in found.items()}

    def _at(self, threshold: float) -> dict[str, list[float]]:
        """The replicates pruned at another threshold."""
        counts = self._counts(threshold)
        point = {
            "threshold": [threshold] * len(self.seeds),
            "num_nonzero": [float(c.num_nonzero) for c in counts],
            "density": [c.density for c in counts],
            "neurons_published": [float(c.neurons_published) for c in counts],
            "neurons_alive": [float(c.neurons_alive) for c in counts],
            "hidden_alive": [float(c.hidden_alive) for c in counts],
        }
        for name in score_names.SPLITS:
            scores = self.evaluate(getattr(self._splits, name), threshold=threshold)
            point |= {score_names.of_split(name, score): values for score, values in scores.items()}
        return point

    def _final_splits(self) -> Iterator[tuple[SplitName, Split, bool]]:
        """Name, data, and whether dropout stays on: test data are measured both ways where there is dropout."""
        yield "validation", self._splits.validation, False
        yield "test", self._splits.test, False
        if self._dropout:
            yield score_names.TEST_WITH_DROPOUT, self._splits.test, True

    def diverged(self) -> list[int]:
        """Return the seeds whose loss, parameters or moments were not finite now or after an epoch before."""
        self._note_divergence()
        return [seed for seed, lost in zip(self.seeds, self._diverged.tolist(), strict=True) if lost]

    def _note_divergence(self) -> None:
        # An infinite second moment stops a replicate with finite parameters: Adam divides by it.
        finite = self._loss_sum.isfinite()
        for tensor in (self.replicas.values, self._first_moment, self._second_moment):
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
        return {
            "values": self.replicas.values,
            "first_moment": self._first_moment,
            "second_moment": self._second_moment,
            "adam_step": self._adam_step,
            "loss_sum": self._loss_sum,
            "diverged": self._diverged,
        }


def _evaluation_batch_size(values_per_sample: int) -> int:
    # Not a function of K: a replicate's sums must not depend on which others share its pack.
    return max(1, min(2000, _EVALUATION_VALUES // values_per_sample))
