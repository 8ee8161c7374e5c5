"""Networks that this project did not write, and the task around them."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from dn_distributed.config import Pruning, Training
from dn_distributed.scores import ACCURACY, Score
from dn_distributed.tasks import ImageTask


def small_resnet(norm_layer: Callable[[int], nn.Module]) -> nn.Module:
    """torchvision's smallest ResNet for grey images, cut after its first stage."""
    network: nn.Module = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=norm_layer)
    network.conv1 = nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False)
    network.layer2 = network.layer3 = network.layer4 = nn.Identity()
    network.fc = nn.Linear(64, 10)
    return network


class OwnTask(ImageTask):
    """What a user writes, but for the network."""

    name: Literal["own"] = "own"
    input_shape: ClassVar[tuple[int, ...]] = (1, 28, 28)
    scores: ClassVar[tuple[Score, ...]] = (ACCURACY,)
    default_training: ClassVar[Training] = Training(epochs=1, batch_size=32)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)
    head: ClassVar[tuple[str, ...]] = ("fc",)
    make: ClassVar[Callable[[], nn.Module]]

    @property
    def layers(self) -> tuple[str, ...]:
        return self.head

    def network(self) -> nn.Module:
        return type(self).make()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets)


class GroupNormResNet(OwnTask):
    make = partial(small_resnet, partial(nn.GroupNorm, 2))


class BatchNormResNet(OwnTask):
    make = partial(small_resnet, nn.BatchNorm2d)
