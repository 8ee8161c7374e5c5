"""The proximal operator of a group lasso where every weight has a step size of its own."""

import torch
from torch import Tensor

ITERATIONS = 16
"""Newton's steps until the norms are exact to rounding, where step sizes in a group span eight decades."""


def shrink_groups(
    scaled: Tensor, steps: Tensor, coefficient: float, along: tuple[int, ...], iterations: int = ITERATIONS
) -> tuple[Tensor, Tensor]:
    """Return ``argmin_x Σ (x − z)² / (2 · steps) + coefficient · Σ_groups ‖x_group‖₂``, and ``x / ‖x_group‖₂``.

    ``scaled`` is ``z / steps``; ``steps`` are positive and broadcast to it; a group lies along the dimensions
    ``along``; ``coefficient`` is positive. The second tensor is a subgradient of the norm at x, in the unit ball where
    a group is zero. A group is exactly zero if and only if ``‖z / steps‖₂ ≤ coefficient``.

    Of any other group the norm n is the root of ``Σ (z / (steps · coefficient + n))² = 1``, and
    ``x = z · n / (steps · coefficient + n)``: set the derivative to zero (Yun, Lozano and Yang, "Adaptive proximal
    gradient methods for structured neural networks", NeurIPS 2021, have the operator; the root is theirs to one).
    Below, ``radius = n / coefficient``, and ``‖direction‖⁻¹ − 1`` as a function of it is concave and rises: Newton's
    steps from below stay below and rise to the root. Both starts are such steps, from 0 and from infinity. Fewer
    ``iterations`` give a norm that is too small, never too large, and the same zeros.
    """
    scaled = scaled / coefficient
    points = scaled * steps
    squares = scaled.square_()
    total = _sum(squares, along)
    reach = total.sqrt()
    from_zero = (reach - 1) * (total / _sum(squares.div_(steps), along))
    squares = torch.mul(points, points, out=squares)
    total = _sum(squares, along)
    from_infinity = total.sqrt() - _sum(squares.mul_(steps), along) / total
    radius = torch.fmax(from_zero, from_infinity)
    for _ in range(iterations):
        widths = steps + radius
        squares = torch.div(points, widths, out=squares).square_()
        total = _sum(squares, along)
        radius = radius + (total.sqrt() - 1) * (total / _sum(squares.div_(widths), along))
    radius = torch.where(reach > 1, radius, 0.0)
    direction = points.div_(steps + radius)
    return direction * (radius * coefficient), direction


def _sum(tensor: Tensor, along: tuple[int, ...]) -> Tensor:
    return tensor.sum(along, keepdim=True)
