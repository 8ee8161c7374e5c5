"""The network of ``lenet5`` trained as the published ``convnet`` script trains it."""

from typing import ClassVar, Literal

import torch
from torch import nn

from dn_distributed.config import Count, Training
from dn_distributed.tasks.lenet5 import LeNet5, truncated_normal_


class ConvNet(LeNet5):
    """Pixels in [−0.5, 0.5], 10 000 images held out, ten epochs in fixed order, a decaying learning rate."""

    name: Literal["convnet"] = "convnet"  # type: ignore[assignment]
    validation_size: Count = 10000
    pixel_shift: ClassVar[float] = -0.5
    default_training: ClassVar[Training] = Training(epochs=10, batch_size=64, learning_rate_decay=0.95, shuffle=False)
    hidden_rule: ClassVar[Literal["min", "max"]] = "max"

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights from the truncated N(0, 0.1²); biases 0 in the first convolution, 0.1 elsewhere."""
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                truncated_normal_(parameter, 0.1, draw)
            else:
                nn.init.constant_(parameter, 0.0 if name.startswith("conv1") else 0.1)
