"""The initial weights of the paper's networks, drawn from a generator that is given."""

import torch
from torch import Tensor, nn


def normal_(network: nn.Module, std: float, draw: torch.Generator) -> None:
    """Draw every weight and bias from N(0, std²)."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, std, generator=draw)


def truncated_normal_(tensor: Tensor, std: float, draw: torch.Generator) -> None:
    """Fill ``tensor`` from N(0, std²) cut at ±2 std."""
    nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std, generator=draw)
