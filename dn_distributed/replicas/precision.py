"""In which precision a network's products are computed. All sums that last longer than a step are in float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dn_distributed.config import Precision
from dn_distributed.errors import ArgumentError


def check(precision: Precision, device: torch.device) -> None:
    """ArgumentError for what the device does not have."""
    if precision == "tf32" and device.type == "cpu":
        raise ArgumentError("precision tf32 is of NVIDIA GPUs, and this trains on a CPU: give float32 or bf16")


def lower(tensor: Tensor, precision: Precision) -> Tensor:
    """Return what a network computes with: a float32 tensor in bfloat16 where the precision says so."""
    return tensor.bfloat16() if precision == "bf16" and tensor.dtype == torch.float32 else tensor


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within, a GPU multiplies what is float32 in TensorFloat-32 if that is the precision, else in float32.

    Convolutions too, for which torch takes TensorFloat-32 unless it is told otherwise; and they add up in the same
    order each time, as a training that goes on after an interruption needs.
    """
    if device.type == "cpu":  # which has neither, and a step of a small network has no time for settings
        yield
        return
    cudnn: Any = torch.backends.cudnn
    settings = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before, was_deterministic = [setting.fp32_precision for setting in settings], cudnn.deterministic
    cudnn.deterministic = True
    for setting in settings:
        setting.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        cudnn.deterministic = was_deterministic
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
