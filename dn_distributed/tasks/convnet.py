"""The network of ``lenet5`` trained as the published ``convnet`` script trains it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from dn_distributed.config import Count, Training
from dn_distributed.sparsity import HiddenRule
from dn_distributed.tasks.initialize import truncated_normal_
from dn_distributed.tasks.lenet5 import LeNet5


class ConvNet(LeNet5):
    """Pixels in [−0.5, 0.5], 10 000 images held out, ten epochs in fixed order, a decaying learning rate."""

    name: Literal["convnet"] = "convnet"  # type: ignore[assignment]
    validation_size: Count = 10000
    pixel_shift: ClassVar[float] = -0.5
    default_training: ClassVar[Training] = Training(epochs=10, batch_size=64, learning_rate_decay=0.95, shuffle=False)
    count_hidden_by: HiddenRule = "min"
    """``max`` counts the larger of the hidden units that have an input and those that have an output left, as this
    script alone does; by ``min``, as all others, the smaller."""
    published_options: ClassVar[Mapping[str, Any]] = {"count_hidden_by": "max"}

    @property
    def hidden_rule(self) -> HiddenRule:
        """As the option says."""
        return self.count_hidden_by

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights from the truncated N(0, 0.1²); biases 0 in the first convolution, 0.1 elsewhere."""
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                truncated_normal_(parameter, 0.1, draw)
            else:
                nn.init.constant_(parameter, 0.0 if name.startswith("conv1") else 0.1)
