"""Deep autoencoder, 784 → 128 → 64 → 128 → 784 (paper, 4.2)."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Pruning, Training
from dn_distributed.scores import MSE, NMSE, Score
from dn_distributed.tasks.base import ImageTask
from dn_distributed.tasks.initialize import normal_


class DeepAutoencoder(nn.Module):
    """A sigmoid after every layer, the last one too; dropout on the three hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1 = nn.Linear(784, 128)
        self.encoder2 = nn.Linear(128, 64)
        self.decoder1 = nn.Linear(64, 128)
        self.decoder2 = nn.Linear(128, 784)
        self.dropout1, self.dropout2, self.dropout3 = nn.Dropout(), nn.Dropout(), nn.Dropout()

    def encode(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 784]`` to the code ``[B, 64]``."""
        x = self.dropout1(torch.sigmoid(self.encoder1(x)))
        return self.dropout2(torch.sigmoid(self.encoder2(x)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """From pixels ``[B, 784]`` to their reconstruction ``[B, 784]``."""
        x = self.dropout3(torch.sigmoid(self.decoder1(self.encode(x))))
        return torch.sigmoid(self.decoder2(x))


class Autoencoder(ImageTask):
    """Reconstruct pixels in [0, 1] under the squared error."""

    name: Literal["autoencoder"] = "autoencoder"
    scores: ClassVar[tuple[Score, ...]] = (MSE, NMSE)
    default_training: ClassVar[Training] = Training(epochs=50, batch_size=256)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.005)
    stack_overhead: ClassVar[float] = 0.3

    @property
    def layers(self) -> tuple[str, ...]:
        """All four layers."""
        return ("encoder1", "encoder2", "decoder1", "decoder2")

    def network(self) -> nn.Module:
        """Return the untrained autoencoder."""
        return DeepAutoencoder()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights and biases from N(0, 1)."""
        normal_(network, 1.0, draw)

    def targets(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The inputs themselves."""
        return inputs

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over pixels."""
        return functional.mse_loss(outputs, targets)
