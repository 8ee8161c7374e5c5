"""The paper's "LeNet-5": two 5 × 5 convolutions and two fully connected layers (paper, 4.3)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Training
from dn_distributed.data.images import SIZE
from dn_distributed.tasks.base import ImageClassifier
from dn_distributed.tasks.initialize import truncated_normal_


class LeNet5Network(nn.Module):
    """conv 32 → pool → conv 64 → pool → FC 3136 → 512 → dropout → FC 512 → 10, ReLU throughout.

    Or with other numbers of filters and hidden units, and other padding.
    """

    def __init__(self, filters: tuple[int, int] = (32, 64), hidden: int = 512, *, padding: int = 2) -> None:
        super().__init__()
        side = SIZE
        for _ in filters:
            side = (side + 2 * padding - 4) // 2
        self.conv1 = nn.Conv2d(1, filters[0], 5, padding=padding)
        self.conv2 = nn.Conv2d(*filters, 5, padding=padding)
        self.fc1 = nn.Linear(filters[1] * side * side, hidden)
        self.fc2 = nn.Linear(hidden, 10)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 1, 28, 28]`` to logits ``[B, 10]``."""
        # max-pool(ReLU(·)) as in the paper; the two commute, and this order has a quarter of the ReLUs.
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)  # type: ignore[no-any-return]


class ConvolutionalClassifier(ImageClassifier):
    """Classify digits by convolutions."""

    input_shape: ClassVar[tuple[int, ...]] = (1, SIZE, SIZE)
    vectorize_on_cpu: ClassVar[bool] = False
    cpu_memory_format: ClassVar[torch.memory_format] = torch.channels_last
    stack_overhead: ClassVar[float] = 0.0
    max_stack: ClassVar[int] = 1


class LeNet5(ConvolutionalClassifier):
    """Classify digits; penalties act on the two fully connected layers only, unless ``filters`` is on."""

    name: Literal["lenet5"] = "lenet5"
    default_training: ClassVar[Training] = Training(steps=7812, batch_size=64)
    later_options: ClassVar[Mapping[str, Any]] = {"filters": False}
    filters: bool = False
    """Regularise, prune and count the two convolutions too, which the paper leaves whole."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The fully connected layers; with ``filters`` the convolutions before them."""
        return ("conv1", "conv2", "fc1", "fc2") if self.filters else ("fc1", "fc2")

    def network(self) -> nn.Module:
        """Return the untrained network."""
        return LeNet5Network()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights and biases from the truncated N(0, 0.01²)."""
        for parameter in network.parameters():
            truncated_normal_(parameter, 0.01, draw)
