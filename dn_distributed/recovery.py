"""Does an estimate find the coefficients that made the data?

A network of linear layers has an exact reading: the product of its weight matrices is the coefficient vector that
it estimates.
"""

from collections.abc import Iterable
from functools import reduce

from torch import Tensor


def estimate(weights: Iterable[Tensor]) -> Tensor:
    """Return the coefficients ``[..., n]`` of a stack of linear layers with one output, weights in forward order."""
    return reduce(lambda product, weight: weight @ product, weights).flatten(-2)


def measure(found: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Compare estimated coefficients ``[K, n]`` with the true ones: support and error, one value per replicate.

    Precision is 0 where nothing was found. The error is ``Σ(ĉ − c)² / Σc²``.
    """
    estimated, true = found != 0, truth != 0
    hits = (estimated & true).sum(-1).double()
    return {
        "support/precision": hits / estimated.sum(-1).clamp(min=1),
        "support/recall": hits / true.sum(-1),
        "support/exact": (estimated == true).all(-1).double(),
        "coefficients/nmse": (found.double() - truth).square().sum(-1) / truth.double().square().sum(-1),
    }
