"""Scores and counts of the replicates of a stack as they stand, unpruned and pruned at several thresholds.

Shapes: K replicates, B samples of a batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from dn_distributed import pruning, recovery, score_names, sparsity
from dn_distributed.compaction.needed import (
    count_needed,
    count_needed_of_chain,
    is_shown_chain,
    may_need_units_off_paths,
)
from dn_distributed.compaction.units import reads_zeros
from dn_distributed.data import Split, Splits
from dn_distributed.errors import ArgumentError
from dn_distributed.pruning import Cut
from dn_distributed.regularizers.dropout import MaskSource
from dn_distributed.replicas import Replicas
from dn_distributed.score_names import Split as SplitName
from dn_distributed.tasks import Task
from dn_distributed.training.outcome import Outcome

_FEW = 2
"""Samples that a network is followed with."""
_MOST_VALUES = 2**21
"""Input values per replicate in one batch: bounds its memory."""


class Evaluation:
    """Measures the replicates of a stack; what it returns by name holds one float per replicate."""

    def __init__(
        self, task: Task, replicas: Replicas, splits: Splits, dropout: float, dropout_shapes: Sequence[torch.Size]
    ) -> None:
        """``dropout_shapes`` as ``Replicas.dropout_shapes`` gives them."""
        self._task, self._replicas, self._splits = task, replicas, splits
        self._dropout, self._dropout_shapes = dropout, dropout_shapes

    def counts(self, threshold: Cut) -> list[sparsity.NetworkCounts]:
        """Return what pruning at ``threshold`` would leave of each replicate."""
        is_chain = self.is_chain
        left = pruning.masks(self._replicas.weights(), threshold)
        pruned = {} if is_chain and not self._pads else self._pruned(threshold)
        found = []
        for row in range(len(self._replicas.seeds)):
            masks = {name: mask[row] for name, mask in left.items()}
            needed = self._needed_of_chain(row, pruned, masks) if is_chain else self._needed(row, pruned)
            found.append(sparsity.count(masks, self._task.hidden_rule, chain=is_chain, needed=needed))
        return found

    def _needed_of_chain(
        self, row: int, pruned: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> dict[str, tuple[int, int]] | None:
        """As ``count_needed_of_chain``, of a replicate."""
        if not self._pads or not may_need_units_off_paths(self._replicas.network, masks):
            return None
        network = self._replicas.plain_network(row, pruned)
        return count_needed_of_chain(network, self._few_inputs, {name: mask.cpu() for name, mask in masks.items()})

    @cached_property
    def _pads(self) -> bool:
        """Whether a layer behind the first is a convolution that pads with zeros."""
        return any(reads_zeros(self._replicas.network.get_submodule(name)) for name in self._task.layers[1:])

    @cached_property
    def is_chain(self) -> bool:
        """Whether the regularised layers are seen to be a chain, with the shapes of the data."""
        return is_shown_chain(self._replicas.plain_network(0, {}), self._few_inputs, self._task.layers)

    @property
    def _few_inputs(self) -> Tensor:
        """That a network is followed with, on the CPU."""
        return self._splits.of_first(self._splits.test).inputs[:_FEW].cpu()

    def _needed(self, row: int, pruned: Mapping[str, Tensor]) -> dict[str, tuple[int, int]] | None:
        """By layer the outputs and inputs that a pruned network needs; None where it cannot be followed."""
        try:
            return self._count_needed(row, pruned)
        except ArgumentError:
            return None

    def _count_needed(self, row: int, pruned: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
        network = self._replicas.plain_network(row, pruned)
        return count_needed(network, self._few_inputs, self._task.layers)

    def not_followed(self) -> str:
        """Return in a sentence why it is not known what the network needs; nothing where it is."""
        if self.is_chain:
            return ""
        try:
            self._count_needed(0, {})
        except ArgumentError as error:
            return (
                f"what pruning leaves alive of {self._task.name!r} is not known, its layers are counted each for "
                f"itself, by their weights: {error}"
            )
        return ""

    @torch.no_grad()
    def scores(self, split: Split, *, threshold: Cut | None = None, dropout: bool = False) -> dict[str, list[float]]:
        """Return the loss and every score of the task on ``split``, one float per replicate.

        ``threshold``: after pruning at it; None for the network as it was trained.
        ``dropout`` leaves dropout on.
        """
        values = None if threshold is None else self._pruned(threshold)
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        for number, (inputs, targets) in enumerate(self._batches(split)):
            masks = self._test_masks(number, inputs.shape[1]) if dropout and self._dropout else None
            outputs = self._replicas.forward(inputs, masks, values)
            parts = {score.name: score.parts(outputs, targets) for score in self._task.scores}
            losses = torch.vmap(self._task.loss)(outputs, targets).double()
            parts["loss"] = (losses * targets.shape[1], torch.full_like(losses, targets.shape[1]))
            for name, (top, bottom) in parts.items():
                before = sums.get(name, (0, 0))
                sums[name] = (before[0] + top, before[1] + bottom)
        return {name: (top / bottom).tolist() for name, (top, bottom) in sums.items()}

    def _pruned(self, threshold: Cut) -> dict[str, Tensor]:
        """By name the parameters that pruning changes."""
        left = pruning.masks(self._replicas.weights(), threshold)
        return pruning.changed(self._replicas.parameters, left, self._replicas.parts_of_filters)

    def _batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets ``[K, B, ...]`` over the whole split, the last batch shorter."""
        inputs, targets = split.inputs, split.targets
        if not self._splits.stacked:
            inputs = inputs.expand(len(self._replicas.seeds), *inputs.shape)
            targets = targets.expand(len(self._replicas.seeds), *targets.shape)
        size = _batch_size(inputs[0, 0].numel())
        yield from zip(torch.split(inputs, size, dim=1), torch.split(targets, size, dim=1), strict=True)

    def _test_masks(self, number: int, batch_size: int) -> list[Tensor]:
        purpose, seeds = f"test dropout {number}", self._replicas.seeds
        source = MaskSource(self._dropout_shapes, batch_size, self._dropout, seeds, purpose)
        return source.masks(0, self._replicas.device)

    def outcomes(self, threshold: Cut, curve: Sequence[float] = ()) -> list[Outcome]:
        """Measure the replicates before and after pruning at ``threshold``, on validation and test data.

        ``curve``: thresholds that they are measured at besides.
        """
        measured: dict[str, list[float]] = {}
        for split_name, split, dropout in self._final_splits():
            for stage, pruned_at in zip(score_names.STAGES, (None, threshold), strict=True):
                for name, values in self.scores(split, threshold=pruned_at, dropout=dropout).items():
                    measured[score_names.final(split_name, name, stage)] = values
        measured |= self._recovery(threshold)
        points = [self._curve_point(other) for other in curve]
        left = {name: mask.cpu() for name, mask in pruning.masks(self._replicas.weights(), threshold).items()}
        tensors = {**self._replicas.parameters, **self._replicas.statistics}
        parameters = {name: view.cpu() for name, view in tensors.items()}
        return [
            Outcome(
                seed=seed,
                scores={name: values[row] for name, values in measured.items()},
                counts=counts,
                parameters={name: view[row].clone() for name, view in parameters.items()},
                masks={name: mask[row].clone() for name, mask in left.items()},
                curve=tuple({name: values[row] for name, values in point.items()} for point in points),
            )
            for row, (seed, counts) in enumerate(zip(self._replicas.seeds, self.counts(threshold), strict=True))
        ]

    def _recovery(self, threshold: Cut) -> dict[str, list[float]]:
        """How well a network that estimates coefficients finds the true ones; empty for other tasks."""
        truth = self._splits.truth
        if truth is None:
            return {}
        weights = pruning.prune(self._replicas.weights(), threshold)
        found = recovery.measure(recovery.estimate(weights.values()), truth)
        return {name: values.tolist() for name, values in found.items()}

    def _curve_point(self, threshold: float) -> dict[str, list[float]]:
        """Counts and scores of the replicates pruned at ``threshold``."""
        counts = self.counts(threshold)
        point = {
            "threshold": [threshold] * len(self._replicas.seeds),
            "num_nonzero": [float(c.num_nonzero) for c in counts],
            "density": [c.density for c in counts],
            "neurons_published": [float(c.neurons_published) for c in counts],
            "neurons_alive": [float(c.neurons_alive) for c in counts],
            "hidden_alive": [float(c.hidden_alive) for c in counts],
            "dense_size": [float(c.dense_size) for c in counts],
        }
        for name in score_names.SPLITS:
            scores = self.scores(getattr(self._splits, name), threshold=threshold)
            point |= {score_names.of_split(name, score): values for score, values in scores.items()}
        return point

    def _final_splits(self) -> Iterator[tuple[SplitName, Split, bool]]:
        """Name, data, and whether dropout stays on: test data are measured both ways where there is dropout."""
        yield "validation", self._splits.validation, False
        yield "test", self._splits.test, False
        if self._dropout:
            yield score_names.TEST_WITH_DROPOUT, self._splits.test, True


def _batch_size(values_per_sample: int) -> int:
    # Not a function of K: a replicate's sums must not depend on which others share its pack.
    return max(1, min(2000, _MOST_VALUES // values_per_sample))
