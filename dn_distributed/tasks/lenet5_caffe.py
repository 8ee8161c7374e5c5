"""The LeNet-5 that records of compression are measured on: Caffe's, 20-50-800-500-10, without padding."""

from typing import ClassVar, Literal

import torch
from torch import nn

from dn_distributed.config import Training
from dn_distributed.tasks.initialize import he_
from dn_distributed.tasks.lenet5 import ConvolutionalClassifier, LeNet5Network


class LeNet5Caffe(ConvolutionalClassifier):
    """Classify digits; all four layers are regularised. Not of the paper: what other methods are compared on."""

    name: Literal["lenet5_caffe"] = "lenet5_caffe"
    default_training: ClassVar[Training] = Training(epochs=50, batch_size=256)

    @property
    def layers(self) -> tuple[str, ...]:
        """Both convolutions and both fully connected layers."""
        return ("conv1", "conv2", "fc1", "fc2")

    def network(self) -> nn.Module:
        """Return the untrained network."""
        return LeNet5Network((20, 50), 500, padding=0)

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """As He et al. do: see ``initialize.he_``."""
        he_(network, draw)
