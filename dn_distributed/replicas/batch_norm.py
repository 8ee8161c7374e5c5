"""Batch normalisation as a function: a step returns the new running statistics, which are state of a replicate."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError


class _Functional(nn.Module):
    """Normalises as the class beside it does, but assigns new running statistics where that one writes into them."""

    dimensions: ClassVar[tuple[int, ...]]
    """That inputs may have."""
    same_bits: bool
    """Whether a replicate of a stack is normalised as if alone, to the last bit."""
    num_features: int
    eps: float
    momentum: float
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``[B, C, ...]`` over all dimensions but C: by the batch in training mode, else by the statistics.

        ValueError for a batch of one value per channel in training mode, or of another number of dimensions.
        """
        if not self.training:
            evaluated: Tensor = super().forward(input.contiguous() if self.same_bits else input)
            return evaluated.contiguous() if self.same_bits else evaluated  # vmap puts the replicates among channels
        if input.ndim not in self.dimensions:
            raise ValueError(f"{type(self).__bases__[1].__name__} of inputs of {input.ndim} dimensions")
        count = input.numel() // self.num_features
        if count == 1:
            raise ValueError(f"BatchNorm while training: one value per channel in a batch {list(input.shape)}")
        normalized, mean, inverse_std = self._normalize(input.float())  # statistics are never in lower precision
        if self.running_mean is not None and self.running_var is not None:
            variance = 1 / (inverse_std * inverse_std) - self.eps
            self.running_mean = self._moved(self.running_mean, mean)
            self.running_var = self._moved(self.running_var, variance * (count / (count - 1)))
        return normalized.to(input.dtype)

    def _normalize(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs, and of the batch the mean and 1 / √(variance + eps)."""
        weight, bias = (None if tensor is None else tensor.float() for tensor in (self.weight, self.bias))

        def by_batch(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            found: tuple[Tensor, Tensor, Tensor] = torch.native_batch_norm(
                inputs, weight, bias, None, None, True, 0.0, self.eps
            )
            return found

        if inputs.shape[1] > 1 and math.prod(inputs.shape[2:]) > 1 and not self.same_bits:
            return by_batch(inputs)
        # Memory that reads as channels first and as channels last takes either way, by the size of the stack, and a
        # replicate's last bits with it. As one sample of B · ... values per channel it has one way, and so has its
        # gradient where that lies in memory as the sample does.
        moved = inputs.transpose(0, 1)
        normalized, mean, inverse_std = by_batch(moved.contiguous().flatten(1).unsqueeze(0))
        if self.same_bits:
            normalized = _WithContiguousGradient.apply(normalized)
        return normalized.view(moved.shape).transpose(0, 1), mean, inverse_std

    def _moved(self, running: Tensor, of_batch: Tensor) -> Tensor:
        return running * (1 - self.momentum) + of_batch.detach() * self.momentum


class _WithContiguousGradient(torch.autograd.Function):
    """A tensor as it is, whose gradient lies in memory in the order of its dimensions, whatever reads it."""

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], tensor: Tensor) -> tuple[Tensor, int | None]:
        return _WithContiguousGradient.apply(tensor), in_dims[0]


class _BatchNorm1d(_Functional, nn.BatchNorm1d):  # type: ignore[misc]
    dimensions = (2, 3)


class _BatchNorm2d(_Functional, nn.BatchNorm2d):  # type: ignore[misc]
    dimensions = (4,)


class _BatchNorm3d(_Functional, nn.BatchNorm3d):  # type: ignore[misc]
    dimensions = (5,)


_FUNCTIONAL: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _BatchNorm1d,
    nn.BatchNorm2d: _BatchNorm2d,
    nn.BatchNorm3d: _BatchNorm3d,
}


def swap_batch_norm_(network: nn.Module, *, same_bits: bool) -> list[str]:
    """Make each batch normalisation of ``network`` a function in place and return their names.

    Parameters and statistics keep their names. The number of batches is not counted: it is the step. ArgumentError
    for an average over all batches, which needs that number. ``same_bits``: of a stack each replicate is to be what it
    is alone, to the last bit, which takes some copies.
    """
    names = []
    for name, module in network.named_modules():
        if type(module) in _FUNCTIONAL:
            if module.momentum is None and module.track_running_stats:
                raise ArgumentError(f"module {name!r} averages over all batches (momentum=None); give it a momentum")
            module.__class__ = _FUNCTIONAL[type(module)]
            module.num_batches_tracked, module.same_bits = None, same_bits
            names.append(name)
    return names
