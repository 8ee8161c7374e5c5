"""What the units of a small network are worth: by norm, by a Taylor expansion of the loss, or to second order.

Shapes: S samples; a layer reads n inputs, of each one value or an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dn_distributed.dropping.chain import Chain, Link
from dn_distributed.dropping.narrow import NarrowReplica


@dataclass(frozen=True)
class Worth:
    """Of one layer's inputs, and of the units that send them."""

    inputs: Tensor
    """``[n]``: of each input for itself."""
    units: Tensor
    """Of each unit of the layer before, with all inputs that come from it; of the first layer the same as inputs."""


def by_norm(replica: NarrowReplica, chain: Chain) -> dict[str, Worth]:
    """Return by layer the norm of the weights that leave an input, and of those that enter and leave a unit."""
    found: dict[str, Worth] = {}
    entering: Tensor | None = None
    for link in chain.links:
        weight = replica.parameters.by_name[f"{link.name}.weight"][0].detach()
        leaving = weight.square().transpose(0, 1).flatten(1).sum(1)
        of_units = leaving if entering is None else _per_unit(leaving, replica, link, chain) + entering
        found[link.name] = Worth(leaving.sqrt(), of_units.sqrt())
        entering = weight.square().flatten(1).sum(1)
    return found


def by_taylor(replica: NarrowReplica, chain: Chain, signals: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Worth]:
    """Return by layer ``½ E[((a - E a) · ∂L/∂a)²]``: what the loss of a sample is expected to change by.

    Of a layer without bias ``½ E[(a · ∂L/∂a)²]``: nothing stands in for the mean there.

    The expansion is of first order in what is taken away when a unit ``a`` is replaced by its mean (Molchanov et al.,
    "Importance Estimation for Neural Network Pruning", 2019, with its gate at the mean), squared as a Fisher
    information is. ``signals``: ``a`` and its gradient, by layer, ``[S, n, ...]``.
    """
    found = {}
    for link in chain.links:
        values, gradients = signals[link.name]
        lost = values - means(values).view(1, -1, *[1] * (values.ndim - 2)) if link.has_bias else values
        moved = (lost * gradients).flatten(2).sum(2) if values.ndim > 2 else lost * gradients
        of_units = _per_unit(moved.T, replica, link, chain).T
        found[link.name] = Worth(moved.square().mean(0) / 2, of_units.square().mean(0) / 2)
    return found


def means(values: Tensor) -> Tensor:
    """Return the mean ``[n]`` of what a layer reads, ``[S, n, ...]``."""
    return values.transpose(0, 1).flatten(1).mean(1)


def _per_unit(of_inputs: Tensor, replica: NarrowReplica, link: Link, chain: Chain) -> Tensor:
    """Sum over the inputs ``[n, ...]`` that come from one unit of the layer before: ``[units, ...]``."""
    before = chain.before(link)
    if before is None or link.features == 1:
        return of_inputs
    owner = owners(replica, link, chain)
    units = len(replica.left.units[before.name])
    return of_inputs.new_zeros(units, *of_inputs.shape[1:]).index_add_(0, owner.to(of_inputs.device), of_inputs)


def owners(replica: NarrowReplica, link: Link, chain: Chain) -> Tensor:
    """Return ``[n]``: which unit of the layer before (counted among those left) each input of a layer comes from."""
    before = chain.before(link)
    inputs = replica.left.inputs[link.name]
    if before is None:
        return torch.arange(len(inputs))
    return torch.searchsorted(replica.left.units[before.name], inputs // link.features)
