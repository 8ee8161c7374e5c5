"""Images that are moved and mirrored at random while a network trains, each time anew.

Shapes: K replicates, B samples of a batch, M of all batches, C channels, H × W pixels.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dn_distributed.config import Augment
from dn_distributed.errors import ArgumentError
from dn_distributed.seeds import generator
from dn_distributed.tasks import Task
from dn_distributed.training.phases import Phase

_CHANNELS = (1, 2, 3, 4)
"""Of usual images. Such a last size behind two larger ones is taken for them, not for a width."""


def check_phases(task: Task, phases: Sequence[Phase]) -> None:
    """ArgumentError where a phase would change what is no image, has its channels last, or would move out of sight."""
    for number, phase in enumerate(phases):
        augment, shape = phase.training.augment, task.image_shape
        if augment is None:
            continue
        if shape is None:
            raise ArgumentError(f"phase {number + 1} has 'augment', and the inputs of {task.name!r} are no images here")
        if shape[-1] in _CHANNELS and min(shape[:2]) > max(_CHANNELS):
            said = " × ".join(map(str, shape))
            raise ArgumentError(
                f"phase {number + 1} has 'augment', which takes samples as channels × height × width; those of "
                f"{task.name!r} are {said}, and seem to have their channels last: turn them, as by permute(2, 0, 1)"
            )
        if augment.shift >= min(shape[1:]):
            sides = f"{shape[1]} × {shape[2]}"
            raise ArgumentError(f"phase {number + 1} moves images by up to {augment.shift} pixels: they have {sides}")


def images_among(targets: torch.Size, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Return channels, height and width of what is to be put out for an image; None where that is no image of its size.

    ``targets``: the shape of one sample's. It is one where its last sizes are height and width, as of a mask, or where
    there are as many numbers as in the image, in whatever shape, as an autoencoder puts them out.
    """
    if targets.numel() == math.prod(shape):
        return shape
    return (math.prod(targets[:-2]), *shape[1:]) if tuple(targets[-2:]) == shape[1:] else None


class Augmentation:
    """The changes of a phase's images, a function of (seed, phase, step) alone: nothing of it needs saving."""

    def __init__(self, augment: Augment, shape: tuple[int, int, int], seeds: Sequence[int], phase: int) -> None:
        """``shape``: channels, height and width of an image, whatever the shape in which the network reads it."""
        self._augment, self._shape, self._seeds = augment, shape, tuple(seeds)
        self._purpose = f"augmentation of phase {phase}"

    def __call__(self, inputs: Tensor, step: int) -> Tensor:
        """Return the images ``[K, B, ...]`` of a step of the phase, changed."""
        return self._changed(inputs, step, self._shape)

    def of_targets(self, targets: Tensor, step: int) -> Tensor:
        """Return targets ``[K, B, ...]`` of a step of the phase: images changed as the inputs are, else as given."""
        shape = images_among(targets.shape[2:], self._shape)
        if shape is None:
            return targets
        if targets.is_floating_point():
            return self._changed(targets, step, shape)
        return self._changed(targets.double(), step, shape).to(targets.dtype)  # edges are repeated of floats alone

    def _changed(self, inputs: Tensor, step: int, shape: tuple[int, int, int]) -> Tensor:
        draws = [generator(seed, self._purpose, step) for seed in self._seeds]
        images, batch_size = inputs.reshape(-1, *shape), inputs.shape[1]
        if shift := self._augment.shift:
            moves = [torch.randint(2 * shift + 1, (2, batch_size), generator=draw) for draw in draws]
            down, right = torch.cat(moves, 1).to(inputs.device) - shift
            images = moved(images, down, right, shift)
        if self._augment.flip:
            chosen = [torch.rand(batch_size, generator=draw) < 0.5 for draw in draws]
            mirrored = torch.cat(chosen).to(inputs.device).view(-1, 1, 1, 1)
            images = images.flip(-1).where(mirrored, images)
        return images.reshape(inputs.shape)


def moved(images: Tensor, down: Tensor, right: Tensor, most: int) -> Tensor:
    """Return images ``[M, C, H, W]``, each moved by so many pixels ``[M]``, from ``-most`` to ``most``.

    Where nothing comes in, the pixel at the edge is repeated: what is background need not be known.
    """
    num, channels, height, width = images.shape
    padded = functional.pad(images, (most,) * 4, mode="replicate")
    # Each row of the result lies in one piece in a row of what was padded: a fifth of the time of taking single pixels.
    rows, columns = height + 2 * most, width + 2 * most
    planes = torch.arange(num * channels, device=images.device).view(num, channels, 1) * rows
    inside = torch.arange(height, device=images.device)
    starts = (planes + most - down.view(-1, 1, 1) + inside) * columns + most - right.view(-1, 1, 1)
    pieces = padded.flatten().unfold(0, width, 1)
    return pieces.index_select(0, starts.flatten()).view(images.shape)
