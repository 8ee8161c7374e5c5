"""Networks of every kind that an export has to hold, untrained, in evaluation mode, each with a batch of inputs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Made = tuple[nn.Module, Tensor]


class Residual(nn.Module):
    """Normalised convolutions, a residual sum, a concatenation, pooling by function and by module."""

    def __init__(self, norm: Callable[[int], nn.Module], padding: Any = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2, padding=1), norm(6), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Conv2d(6, 6, 3, padding=padding, bias=False), norm(6), nn.SiLU())
        self.pool = nn.AdaptiveAvgPool2d((2, 2))
        self.head = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([self.body(x) + x, functional.max_pool2d(x, 3, 1, padding=1)], dim=1)
        x = functional.gelu(self.pool(x))
        return self.head(x.view(x.shape[0], -1))


class Picky(nn.Module):
    """Reads some of its inputs, scales them, slices, and has dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels: Tensor
        self.register_buffer("pixels", torch.tensor([0, 3, 4, 8]))
        self.scale = nn.Parameter(torch.rand(4) + 0.5)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(6, 3, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.index_select(x, 1, self.pixels) * self.scale
        x = self.layers(x.double().float())
        return functional.log_softmax(-x[:, 1:] / 2, dim=-1).clamp(min=-float("inf"), max=3)


class Looking(nn.Module):
    """Attention over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        seen, _ = self.attention(x, x, x, need_weights=False)
        return self.head(self.norm(x + seen).mean(dim=1))


def norm_of_groups(channels: int) -> nn.Module:
    return nn.GroupNorm(3, channels)


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 7), nn.Hardswish(), nn.Linear(7, 3))


def _images() -> Tensor:
    return torch.randn(4, 1, 28, 28)


NETWORKS: dict[str, Callable[[], Made]] = {
    "plain": lambda: (plain(), _images()),
    "batch norm": lambda: (Residual(nn.BatchNorm2d), _images()),
    "group norm": lambda: (Residual(norm_of_groups), _images()),
    "padding by name": lambda: (Residual(nn.BatchNorm2d, padding="same"), _images()),
    "some inputs": lambda: (Picky(), torch.randn(5, 9)),
    "attention": lambda: (Looking(), torch.randn(3, 6, 8)),
    "float64": lambda: (nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double(), torch.randn(2, 4, dtype=torch.float64)),
}


def make(name: str) -> tuple[torch.fx.GraphModule, Tensor]:
    """A traced network whose running statistics are not those of the start."""
    torch.manual_seed(0)
    network, inputs = NETWORKS[name]()
    network.train()
    network(inputs)
    return torch.fx.symbolic_trace(network.eval()), inputs
