"""Dropping principle 1: pure functions from weights to masks and pruned weights."""

from collections.abc import Mapping

from torch import Tensor

from dn_distributed.errors import ArgumentError


def masks(weights: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return, per layer, a boolean mask of the weights that stay: ``|w| >= threshold`` and ``w != 0``.

    ArgumentError for a negative threshold or NaN.
    """
    if not threshold >= 0:
        raise ArgumentError(f"threshold must be ≥ 0, not {threshold}")
    return {name: (weight.abs() >= threshold) & (weight != 0) for name, weight in weights.items()}


def prune(weights: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return the weights with those below ``threshold`` set to 0. The input is left as it is."""
    left = masks(weights, threshold)
    return {name: weight.where(left[name], 0) for name, weight in weights.items()}
