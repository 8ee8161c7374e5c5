"""LeNet-300-100: 784 → 300 → 100 → 10 (published script ``lenet-300-100.py``)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Training
from dn_distributed.tasks.base import ImageClassifier
from dn_distributed.tasks.initialize import he_, normal_


class LeNet300100(nn.Module):
    """Two ReLU layers with dropout, then the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, 10)
        self.dropout1, self.dropout2 = nn.Dropout(), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 784]`` to logits ``[B, 10]``."""
        x = self.dropout1(functional.relu(self.fc1(x)))
        x = self.dropout2(functional.relu(self.fc2(x)))
        return self.fc3(x)  # type: ignore[no-any-return]


class LeNet300(ImageClassifier):
    """Classify digits with three fully connected layers, all of them regularised."""

    name: Literal["lenet300"] = "lenet300"
    default_training: ClassVar[Training] = Training(epochs=100, batch_size=256)
    stack_overhead: ClassVar[float] = 0.3
    later_options: ClassVar[Mapping[str, Any]] = {"initial": "paper"}
    initial: Literal["paper", "he"] = "paper"
    """Initial weights: N(0, 0.01²) as in the paper, or N(0, 2 / fan-in) of He et al."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All three layers."""
        return ("fc1", "fc2", "fc3")

    def network(self) -> nn.Module:
        """Return the untrained network."""
        return LeNet300100()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights and biases from N(0, 0.01²), unless ``initial`` says otherwise."""
        if self.initial == "he":
            he_(network, draw)
        else:
            normal_(network, 0.01, draw)
