"""A task and a dataset of your own in one file: which way do the stripes of a noisy image run?

Run the sweep beside this file in its folder: ``dn sweep own_task.yaml --import own_task``.
"""

from collections import OrderedDict
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

import dn_distributed as dn


@dn.register_dataset
class Stripes(dn.ImageDataset):
    """Images of stripes that run in one of four directions; the label says in which."""

    name: Literal["stripes"] = "stripes"
    noise: float = 0.5
    """Standard deviation of what is added to every pixel, of which the stripes take 0 to 1."""

    def load(self, data_dir: Path) -> dn.RawImages:
        """Return 2000 images to train on and 500 to test on; nothing is read from ``data_dir``."""
        draw = torch.Generator().manual_seed(0)
        labels = torch.randint(4, (2500,), generator=draw)
        along, phase = labels * torch.pi / 4, 6.28 * torch.rand(2500, generator=draw)
        rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
        across = columns * along.cos().view(-1, 1, 1) + rows * along.sin().view(-1, 1, 1)
        pixels = 0.5 + 0.5 * torch.sin(across + phase.view(-1, 1, 1))
        pixels = pixels + self.noise * torch.randn(pixels.shape, generator=draw)
        images = pixels.clamp(0, 1).mul(255).round().to(torch.uint8)
        return dn.RawImages(images[:2000], labels[:2000], images[2000:], labels[2000:])


@dn.register_task
class StripeDirection(dn.ImageTask):
    """Tell the direction with two fully connected layers; penalties act on both."""

    name: Literal["stripe_direction"] = "stripe_direction"
    hidden: int = 30
    """Neurons of the hidden layer: an option, which a sweep file may set."""

    default_dataset: ClassVar[str] = "stripes"
    default_training: ClassVar[dn.Training] = dn.Training(epochs=10, batch_size=50)
    default_pruning: ClassVar[dn.Pruning] = dn.Pruning(threshold=0.01)
    scores: ClassVar[tuple[dn.Score, ...]] = (dn.ACCURACY,)

    @property
    def layers(self) -> tuple[str, ...]:
        """The regularised layers by their names in the network, in forward order."""
        return ("fc1", "fc2")

    def network(self) -> nn.Module:
        """From pixels ``[B, 784]`` to one output per direction."""
        layers = {"fc1": nn.Linear(784, self.hidden), "relu": nn.ReLU(), "fc2": nn.Linear(self.hidden, 4)}
        return nn.Sequential(OrderedDict(layers))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, targets)
