"""Convolutions of one channel as products of matrices, for stacks on a GPU.

A stack's convolutions are one convolution with a group for each network. A group of one channel is what libraries have
kernels of their own for, which took two fifths of a step of a LeNet-5. Shapes: B samples, O filters, H × W pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_MOST_COLUMNS = 2
"""The pixels that a filter sees take at most so many times the memory of the outputs."""


@contextmanager
def one_channel_as_products(device: torch.device) -> Iterator[None]:
    """Within, convolutions of one channel are products of matrices on a GPU."""
    if device.type == "cpu":  # whose stacks of convolutions are computed network by network
        yield
        return
    with OneChannelAsProducts():
        yield


class OneChannelAsProducts(TorchFunctionMode):
    """Sees each function of torch that is called."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call it."""
        kwargs = kwargs or {}
        product = _product(*args, **kwargs) if func is functional.conv2d else None
        return func(*args, **kwargs) if product is None else product


def _product(
    input: Tensor,  # as torch calls it: arguments may be given by name
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """Return the outputs ``[B, O, H, W]``; None where a convolution is better left as it is."""
    filters, channels, height, width = weight.shape
    plain = input.dim() == 4 and not isinstance(padding, str) and _pair(dilation) == (1, 1) and groups == 1
    if not plain or channels > 1 or height * width > _MOST_COLUMNS * filters:
        return None
    (down, right), (above, beside) = _pair(stride), _pair(padding)
    padded = functional.pad(input, (beside, beside, above, above)) if above or beside else input
    seen = padded[:, 0].unfold(1, height, down).unfold(2, width, right)  # [B, H, W, kernel]
    columns = seen.permute(0, 3, 4, 1, 2).flatten(3).flatten(1, 2)
    # A product for each sample: the sum over all in one, for the gradient, would be too little work side by side.
    outputs = torch.bmm(weight.flatten(1).expand(len(columns), -1, -1), columns)
    if bias is not None:
        outputs = outputs + bias[:, None]
    return outputs.view(-1, filters, *seen.shape[1:3])


def _pair(number: int | tuple[int, ...]) -> tuple[int, ...]:
    numbers = (number,) if isinstance(number, int) else tuple(number)
    return numbers * 2 if len(numbers) == 1 else numbers  # torch takes one number in a tuple too
