"""Weights that are random while a network trains, by a distribution that is learned: many end as exact zeros.

To add a way: one file beside this one, and one entry in ``WAYS``.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from dn_distributed.errors import ArgumentError
from dn_distributed.random_weights.base import RandomWeights
from dn_distributed.random_weights.hard_concrete import HardConcrete
from dn_distributed.random_weights.noise import NoiseSource
from dn_distributed.random_weights.variational import SparseVariationalDropout

__all__ = ["COEFFICIENTS", "NoiseSource", "RandomWeights", "acting", "random_weights_of"]

WAYS: tuple[type[RandomWeights], ...] = (HardConcrete, SparseVariationalDropout)

COEFFICIENTS: Mapping[str, str] = {name: text for way in WAYS for name, text in way.coefficients.items()}
"""By key of a method, what it says."""


def random_weights_of(regularization: Mapping[str, float]) -> RandomWeights | None:
    """Return what makes weights random, of a resolved regularisation; None where nothing does.

    ArgumentError where two ways would.
    """
    found = [way for way in WAYS if way.coefficients.keys() & regularization.keys()]
    if len(found) > 1:
        names = " and ".join(sorted(COEFFICIENTS.keys() & regularization.keys()))
        raise ArgumentError(f"{names} both make weights random: a method can have one of them")
    return found[0](regularization) if found else None


def acting(network: nn.Module, layers: Sequence[str]) -> set[str]:
    """Return which of the ``COEFFICIENTS`` act on any of these layers."""
    return {name for way in WAYS for name in way.acting(network, layers)}
