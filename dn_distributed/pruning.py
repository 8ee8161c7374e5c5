"""Dropping principle 1: pure functions from weights to masks and pruned weights."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TypeAlias

import torch
from torch import Tensor

from dn_distributed.config import Prune, Pruning
from dn_distributed.errors import ArgumentError

Cut: TypeAlias = float | Pruning | Prune
"""What pruning drops: weights below a threshold, or as ``Pruning`` or ``Prune`` says."""


def masks(weights: Mapping[str, Tensor], cut: Cut, *, num_weights: int | None = None) -> dict[str, Tensor]:
    """Return, per layer, a boolean mask of the weights that stay: ``|w| >= threshold`` and ``w != 0``.

    With a target density or a share the weights are ``[K, ...]`` of K replicates, each of which has a threshold of its
    own, and ``num_weights`` is what the density is of, where some weights are not here. ArgumentError for a threshold
    that is negative, infinite or no number.
    """
    if isinstance(cut, Prune):
        return _largest_share(weights, cut)
    if not isinstance(cut, Pruning):
        _check_threshold(cut)
        return {name: _mask(weight, cut) for name, weight in weights.items()}
    if cut.target_density is None:
        return {name: _mask(weight, cut.thresholds.get(name, cut.threshold)) for name, weight in weights.items()}
    sizes = torch.cat([weight.abs().flatten(1) for weight in weights.values()], dim=1)
    num_left = round(cut.target_density * (num_weights or sizes.shape[1]))
    if num_left >= sizes.shape[1]:
        return {name: weight != 0 for name, weight in weights.items()}
    largest = sizes.topk(num_left + 1, dim=1).values[:, -1]  # the largest of those that go
    return {name: _above(weight, largest) for name, weight in weights.items()}


def _largest_share(weights: Mapping[str, Tensor], cut: Prune) -> dict[str, Tensor]:
    """Magnitude pruning (Han et al., NeurIPS 2015): of each replicate the share ``keep`` of what is not 0 stays.

    Ranked over all layers, or within each. That is ``round(keep · n)`` of n weights, where no two are equally large.
    """
    left: dict[str, Tensor] = {}
    for names in [[name] for name in weights] if cut.within == "layer" else [list(weights)]:
        sizes = torch.cat([weights[name].abs().flatten(1) for name in names], dim=1)
        num_left = ((sizes != 0).sum(1, keepdim=True) * cut.keep).round().long()
        ranked = torch.nn.functional.pad(sizes.sort(dim=1, descending=True).values, (0, 1))
        largest = ranked.gather(1, num_left).flatten()  # the largest of those that go
        left |= {name: _above(weights[name], largest) for name in names}
    return left


def _above(weight: Tensor, thresholds: Tensor) -> Tensor:
    return weight.abs() > thresholds.view(-1, *[1] * (weight.ndim - 1))


def _mask(weight: Tensor, threshold: float) -> Tensor:
    return (weight.abs() >= threshold) & (weight != 0)


def _check_threshold(given: object) -> None:
    is_number = isinstance(given, Real) or (isinstance(given, Tensor) and given.numel() == 1)
    if not is_number or not 0 <= given < math.inf:  # type: ignore[operator]
        raise ArgumentError(f"threshold must be ≥ 0 and finite, not {given!r}")


def check_finite(weights: Mapping[str, Tensor]) -> None:
    """ArgumentError for a layer with weights that are NaN or infinite: no threshold says what becomes of them."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ArgumentError(f"layer {name!r} holds NaN or infinite weights")


def prune(weights: Mapping[str, Tensor], cut: Cut) -> dict[str, Tensor]:
    """Return the weights with those that pruning drops set to 0. The input is left as it is."""
    left = masks(weights, cut)
    return {name: weight.where(left[name], 0) for name, weight in weights.items()}


def changed(
    parameters: Mapping[str, Tensor], left: Mapping[str, Tensor], parts: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Return by name the parameters that pruning changes: weights by their masks, and see ``drop_filters``."""
    weights = {f"{layer}.weight": parameters[f"{layer}.weight"].where(mask, 0) for layer, mask in left.items()}
    return weights | drop_filters(parameters, left, parts)


def drop_filters(
    parameters: Mapping[str, Tensor], left: Mapping[str, Tensor], parts: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Return what else of ``parameters`` pruning sets to 0: parts of filters of which no weight is left.

    So a dropped filter emits 0, and a normalisation behind it does not give it a value again. ``left``: masks
    ``[..., filters, channels, height, width]`` by layer; ``parts``: names of tensors ``[..., filters]``, as
    ``layers.parts_of_filters`` gives them.
    """
    return {
        part: parameters[part].where(left[layer].flatten(-3).any(-1), 0)
        for layer, names in parts.items()
        for part in names
    }
