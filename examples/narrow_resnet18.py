"""A residual network as a task: torchvision's ResNet-18, narrowed, with penalties on all its convolutions.

``narrow_resnet18.yaml`` beside this file says how it is swept and made smaller.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

import dn_distributed as dn


class NarrowResNet18(ResNet):
    """ResNet-18 with ``width`` filters where the original has 64, for grey images of 28 × 28 pixels."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        self._width = width
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=10, norm_layer=norm)
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, padding=1, bias=False), norm(width)
        self.maxpool = nn.Identity()
        self.fc = nn.Linear(8 * width, 10)

    def _make_layer(
        self, block: type, planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        if planes == 64:  # the first
            self.inplanes = self._width
        return super()._make_layer(block, planes * self._width // 64, blocks, stride, dilate)


@dn.register_task
class NarrowResNet18Task(dn.ImageTask):
    """Classify small images."""

    name: Literal["narrow_resnet18"] = "narrow_resnet18"
    width: int = 8
    """Filters of the first block."""
    norm: Literal["batch", "group"] = "batch"
    """Batch normalisation, or group normalisation with four channels a group."""

    input_shape: ClassVar[tuple[int, ...]] = (1, 28, 28)
    default_training: ClassVar[dn.Training] = dn.Training(epochs=10, batch_size=50)
    default_pruning: ClassVar[dn.Pruning] = dn.Pruning(threshold=0.0015)
    scores: ClassVar[tuple[dn.Score, ...]] = (dn.ACCURACY,)
    vectorize_on_cpu: ClassVar[bool] = False

    @property
    def layers(self) -> tuple[str, ...]:
        """All convolutions."""
        return tuple(name for name, part in self.network().named_modules() if isinstance(part, nn.Conv2d))

    def network(self) -> nn.Module:
        """From pixels ``[B, 1, 28, 28]`` to one output per class."""
        if self.norm == "batch":
            return NarrowResNet18(self.width, nn.BatchNorm2d)
        return NarrowResNet18(self.width, lambda channels: nn.GroupNorm(channels // 4, channels))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, targets)
