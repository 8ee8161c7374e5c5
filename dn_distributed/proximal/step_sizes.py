"""How far an optimiser moves a weight per unit of its gradient: the metric of the proximal step."""

from torch import Tensor


def of_adam(second_moment: Tensor, rate: float | Tensor, correction: float | Tensor, eps: float) -> Tensor:
    """Return ``rate / (√(second_moment / correction) + eps)``: Adam moves a weight by this times its mean gradient.

    ``correction`` is that of the second moment's bias, ``1 - β₂ᵗ``. Positive and finite where the moment is 0 too.
    """
    scale = second_moment.sqrt().mul_(1 / (correction**0.5 * rate))
    return scale.add_(max(eps, 1e-30) / rate).reciprocal_()


def of_sgd(rate: float | Tensor, momentum: float = 0.0, dampening: float = 0.0) -> float | Tensor:
    """Return how far SGD moves a weight, in the end, per unit of a gradient: with momentum a gradient acts again."""
    return rate * (1 - dampening) / (1 - momentum) if momentum else rate
