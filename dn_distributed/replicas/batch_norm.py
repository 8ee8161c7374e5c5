"""Batch normalisation as a function: a step returns the new running statistics, which are state of a replicate."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError


class _Functional(nn.Module):
    """Normalises as the class beside it does, but assigns new running statistics where that one writes into them."""

    dimensions: ClassVar[tuple[int, ...]]
    """That inputs may have."""
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
            evaluated: Tensor = super().forward(input)
            return evaluated
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

        if inputs.shape[1] > 1 and math.prod(inputs.shape[2:]) > 1:
            return by_batch(inputs)
        # Memory that reads as channels first and as channels last takes either way, by the size of the stack, and a
        # replicate's last bits with it. As one sample of B · ... values per channel it has one way.
        moved = inputs.transpose(0, 1)
        normalized, mean, inverse_std = by_batch(moved.contiguous().flatten(1).unsqueeze(0))
        return normalized.view(moved.shape).transpose(0, 1), mean, inverse_std

    def _moved(self, running: Tensor, of_batch: Tensor) -> Tensor:
        return running * (1 - self.momentum) + of_batch.detach() * self.momentum


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


def swap_batch_norm_(network: nn.Module) -> list[str]:
    """Make each batch normalisation of ``network`` a function in place and return their names.

    Parameters and statistics keep their names. The number of batches is not counted: it is the step. ArgumentError
    for an average over all batches, which needs that number.
    """
    names = []
    for name, module in network.named_modules():
        if type(module) in _FUNCTIONAL:
            if module.momentum is None and module.track_running_stats:
                raise ArgumentError(f"module {name!r} averages over all batches (momentum=None); give it a momentum")
            module.__class__ = _FUNCTIONAL[type(module)]
            module.num_batches_tracked = None
            names.append(name)
    return names
