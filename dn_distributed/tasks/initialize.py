"""Initial weights, drawn from a generator that is given: the paper's, and those of He et al."""

import math

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


def he_(network: nn.Module, draw: torch.Generator) -> None:
    """Draw weights from N(0, 2 / fan-in) (He et al., 2015), of the last layer from N(0, 1 / fan-in); biases are 0."""
    with torch.no_grad():
        weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
        for parameter in network.parameters():
            if parameter.ndim > 1:
                gain = 1 if parameter is weights[-1] else 2
                parameter.normal_(0, math.sqrt(gain / parameter[0].numel()), generator=draw)
            else:
                parameter.zero_()
