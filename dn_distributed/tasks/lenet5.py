"""The paper's "LeNet-5": two 5 × 5 convolutions and two fully connected layers (paper, 4.3)."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Pruning, Training
from dn_distributed.scores import ACCURACY, Score
from dn_distributed.tasks.base import ImageTask
from dn_distributed.tasks.initialize import truncated_normal_


class LeNet5Network(nn.Module):
    """conv 32 → pool → conv 64 → pool → FC 3136 → 512 → dropout → FC 512 → 10, ReLU throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * 7 * 7, 512)
        self.fc2 = nn.Linear(512, 10)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 1, 28, 28]`` to logits ``[B, 10]``."""
        # max-pool(ReLU(·)) as in the paper; the two commute, and this order has a quarter of the ReLUs.
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)  # type: ignore[no-any-return]


class LeNet5(ImageTask):
    """Classify digits; penalties act on the two fully connected layers only, unless ``filters`` is on."""

    name: Literal["lenet5"] = "lenet5"
    input_shape: ClassVar[tuple[int, ...]] = (1, 28, 28)
    scores: ClassVar[tuple[Score, ...]] = (ACCURACY,)
    default_training: ClassVar[Training] = Training(steps=7812, batch_size=64)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)
    vectorize_on_cpu: ClassVar[bool] = False
    cpu_memory_format: ClassVar[torch.memory_format] = torch.channels_last
    stack_overhead: ClassVar[float] = 0.0
    max_stack: ClassVar[int] = 1
    filters: bool = False
    """Regularise, prune and count the two convolutions too, which the paper leaves whole."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The fully connected layers; with ``filters`` the convolutions before them."""
        return ("conv1", "conv2", "fc1", "fc2") if self.filters else ("fc1", "fc2")

    def identity(self) -> dict[str, Any]:
        """Name and options; ``filters``, which came later, is left out where it is off, so that earlier keys stay."""
        identity = super().identity()
        if not self.filters:
            del identity["filters"]
        return identity

    def network(self) -> nn.Module:
        """Return the untrained network."""
        return LeNet5Network()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights and biases from the truncated N(0, 0.01²)."""
        for parameter in network.parameters():
            truncated_normal_(parameter, 0.01, draw)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, targets)
