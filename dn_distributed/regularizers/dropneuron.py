"""DropNeuron's two group penalties: a group lasso over the weights that enter, or leave, a neuron.

Dropping principle 2 (the paper's ``li``) is :class:`Incoming`, principle 3 (``lo``) is :class:`Outgoing`.
``dn`` in a sweep file sets both.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from dn_distributed.errors import ArgumentError
from dn_distributed.regularizers.base import Penalty


class _GroupLasso(Penalty):
    """Weights are ``[n_out, n_in]``, or ``[filters, channels, ...]`` of a convolution without groups."""

    touches: ClassVar[Literal["weights"]] = "weights"
    group_dim: ClassVar[int]
    """The dimension of a weight that counts the groups; a group lies along all others."""

    def norms(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return ``‖w_group‖₂``, the dimensions along the group kept with size 1. ArgumentError for no weight."""
        norms: Tensor = torch.linalg.vector_norm(tensor, dim=self.along(tensor, leading), keepdim=True)
        return norms

    def along(self, tensor: Tensor, leading: int) -> tuple[int, ...]:
        """Return the dimensions that a group lies along. ArgumentError for no weight."""
        if tensor.ndim - leading < 2:
            raise ArgumentError(
                f"{self.name} is of weights [n_out, n_in] or [filters, channels, ...], "
                f"not of a tensor {list(tensor.shape[leading:])}"
            )
        return tuple(dimension for dimension in range(leading, tensor.ndim) if dimension != leading + self.group_dim)

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return ``coefficient · Σ_groups ‖w_group‖₂`` of each replicate."""
        norms: Tensor = torch.linalg.vector_norm(tensor, dim=self.along(tensor, leading))
        return self.coefficient * norms.sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        """Add ``coefficient · w / ‖w_group‖₂``, and nothing for a group that is exactly zero."""
        norms = self.norms(tensor, leading)
        gradient.addcdiv_(tensor, norms.masked_fill_(norms == 0, 1.0), value=self.coefficient)


class Incoming(_GroupLasso):
    """One group per output neuron j: all weights ``W[j, :]`` that enter it. Removes output neurons (filters)."""

    name: ClassVar[str] = "dn_incoming"
    group_dim: ClassVar[int] = 0


class Outgoing(_GroupLasso):
    """One group per input neuron i: all weights ``W[:, i]`` that leave it. Removes input neurons (channels)."""

    name: ClassVar[str] = "dn_outgoing"
    group_dim: ClassVar[int] = 1

    def norms(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return the same: ``[..., 1, n_in]`` of a matrix."""
        # Two to five times as fast on a CPU as vector_norm over the same, strided, dimension.
        return torch.sqrt(tensor.square().sum(self.along(tensor, leading), keepdim=True))
