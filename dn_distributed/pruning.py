"""Dropping principle 1: pure functions from weights to masks and pruned weights."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real

from torch import Tensor

from dn_distributed.errors import ArgumentError


def masks(weights: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return, per layer, a boolean mask of the weights that stay: ``|w| >= threshold`` and ``w != 0``.

    ArgumentError for a threshold that is negative, infinite or no number.
    """
    given: object = threshold
    is_number = isinstance(given, Real) or (isinstance(given, Tensor) and given.numel() == 1)
    if not is_number or not 0 <= threshold < math.inf:
        raise ArgumentError(f"threshold must be ≥ 0 and finite, not {threshold!r}")
    return {name: (weight.abs() >= threshold) & (weight != 0) for name, weight in weights.items()}


def check_finite(weights: Mapping[str, Tensor]) -> None:
    """ArgumentError for a layer with weights that are NaN or infinite: no threshold says what becomes of them."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ArgumentError(f"layer {name!r} holds NaN or infinite weights")


def prune(weights: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return the weights with those below ``threshold`` set to 0. The input is left as it is."""
    left = masks(weights, threshold)
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
