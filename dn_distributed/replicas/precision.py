"""In which precision a step computes a network's products. All sums that last longer than a step are in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

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
def products_in(precision: Precision) -> Iterator[None]:
    """Within, a GPU multiplies matrices of float32 in TensorFloat-32, if that is the precision."""
    if precision != "tf32":
        yield
        return
    matmul = torch.backends.cuda.matmul  # convolutions do so anyway: torch's default
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
