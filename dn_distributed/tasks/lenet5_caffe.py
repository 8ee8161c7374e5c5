"""The LeNet-5 that records of compression are measured on: Caffe's, 20-50-800-500-10."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Pruning, Training
from dn_distributed.scores import ACCURACY, Score
from dn_distributed.tasks.base import ImageTask
from dn_distributed.tasks.initialize import he_


class LeNet5CaffeNetwork(nn.Module):
    """conv 20 → pool → ReLU → conv 50 → pool → ReLU → FC 800 → 500 → dropout → FC 500 → 10; no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(50 * 4 * 4, 500)
        self.fc2 = nn.Linear(500, 10)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 1, 28, 28]`` to logits ``[B, 10]``."""
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)  # type: ignore[no-any-return]


class LeNet5Caffe(ImageTask):
    """Classify digits; all four layers are regularised. Not of the paper: what other methods are compared on."""

    name: Literal["lenet5_caffe"] = "lenet5_caffe"
    input_shape: ClassVar[tuple[int, ...]] = (1, 28, 28)
    scores: ClassVar[tuple[Score, ...]] = (ACCURACY,)
    default_training: ClassVar[Training] = Training(epochs=50, batch_size=256)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)
    vectorize_on_cpu: ClassVar[bool] = False
    cpu_memory_format: ClassVar[torch.memory_format] = torch.channels_last
    stack_overhead: ClassVar[float] = 0.0
    max_stack: ClassVar[int] = 1

    @property
    def layers(self) -> tuple[str, ...]:
        """Both convolutions and both fully connected layers."""
        return ("conv1", "conv2", "fc1", "fc2")

    def network(self) -> nn.Module:
        """Return the untrained network."""
        return LeNet5CaffeNetwork()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """As He et al. do: see ``initialize.he_``."""
        he_(network, draw)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, targets)
