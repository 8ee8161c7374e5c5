"""The training samples in the order in which each replicate meets them, a function of seeds and step alone.

Shapes: K replicates, N samples, B samples of a batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dn_distributed.data import Splits
from dn_distributed.seeds import generator
from dn_distributed.training.augmentation import Augmentation
from dn_distributed.training.phases import Phase


class Batches:
    """The batches of a phase, each replicate's in an order of its own where ``training.shuffle`` asks for it."""

    def __init__(
        self,
        splits: Splits,
        phase: Phase,
        seeds: Sequence[int],
        device: torch.device,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        """``image_shape``: see ``Task.image_shape``; a phase that augments needs it."""
        self._phase = phase
        self._num_train, self._stacked, self._device = splits.num_train, splits.stacked, device
        self._training, self._seeds = phase.training, tuple(seeds)
        train = splits.train
        self._inputs = self._end_to_end(train.inputs)
        self._targets = self._inputs if train.targets_are_inputs else self._end_to_end(train.targets)
        self._order: tuple[int, Tensor] | None = None
        self._augmentation: Augmentation | None = None
        if (augment := phase.training.augment) is not None:
            assert image_shape is not None
            self._augmentation = Augmentation(augment, image_shape, seeds, phase.number)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets ``[K, B, ...]`` of the step; one tensor where targets are the inputs."""
        indices, own_step = self._indices(step), step - self._phase.first_step
        inputs = self._gather(self._inputs, indices)
        if self._augmentation is not None:
            inputs = self._augmentation(inputs, own_step)
        if self._targets is self._inputs:
            return inputs, inputs
        targets = self._gather(self._targets, indices)
        return inputs, targets if self._augmentation is None else self._augmentation.of_targets(targets, own_step)

    def draw(self, row: int, count: int, name: str, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets ``[n, ...]`` of ``count`` training samples (or all) that a replicate draws.

        As they are stored: nothing is augmented.
        """
        order = torch.randperm(self._num_train, generator=generator(self._seeds[row], name, step))[:count]
        indices = (order + (row * self._num_train if self._stacked else 0)).to(self._device)
        inputs = self._inputs.index_select(0, indices)
        return inputs, inputs if self._targets is self._inputs else self._targets.index_select(0, indices)

    def _end_to_end(self, samples: Tensor) -> Tensor:
        """The samples ``[K·N, ...]`` where each replicate has its own, else ``[N, ...]``."""
        return samples.flatten(0, 1) if self._stacked else samples

    def _gather(self, samples: Tensor, indices: Tensor) -> Tensor:
        batch = samples.index_select(0, indices)
        return batch.view(len(self._seeds), self._training.batch_size, *samples.shape[1:])

    def _indices(self, step: int) -> Tensor:
        """Positions ``[K·B]`` of a step's batch in the samples end to end."""
        epoch, position = self._phase.epoch(step), step - self._phase.epoch_start(step)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._draw_order(epoch))
        return self._order[1][position]

    def _draw_order(self, epoch: int) -> Tensor:
        """The epoch's batches as positions ``[steps, K·B]``."""
        num_train, batch_size = self._num_train, self._training.batch_size
        orders = []
        for row, seed in enumerate(self._seeds):
            if self._training.shuffle:
                order = torch.randperm(num_train, generator=generator(seed, "order", epoch))
            else:
                order = torch.arange(num_train)
            offset = row * num_train if self._stacked else 0
            orders.append(order[: self._phase.steps_per_epoch * batch_size].view(-1, batch_size) + offset)
        return torch.cat(orders, dim=1).to(self._device)
