"""The proximal operators: the minimum that a slow solver finds, exact zeros, finite, each replicate for itself."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dn_distributed.proximal import Coefficients, shrink_groups, step_
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1

ROWS, COLUMNS = (1,), (0,)
L1_ALONE, ROWS_ALONE, COLUMNS_ALONE, BOTH, ALL = (
    *(Coefficients(l1=0.3), Coefficients(incoming=0.8), Coefficients(outgoing=0.8)),
    *(Coefficients(incoming=0.7, outgoing=0.5), Coefficients(l1=0.2, incoming=0.7, outgoing=0.5)),
)
CASES = {
    "l1": L1_ALONE,
    "incoming": ROWS_ALONE,
    "outgoing": COLUMNS_ALONE,
    "sparse incoming": Coefficients(l1=0.2, incoming=0.7),
    "sparse outgoing": Coefficients(l1=0.2, outgoing=0.7),
    "incoming and outgoing": BOTH,
    "all": ALL,
}
each_case = pytest.mark.parametrize("coefficients", CASES.values(), ids=CASES)


def problem(shape: tuple[int, ...] = (6, 5), decades: float = 2.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points and step sizes; a group of the points is near enough to zero to become it."""
    draw = torch.Generator().manual_seed(seed)
    steps = 10 ** (decades * (torch.rand(shape, dtype=torch.float64, generator=draw) - 0.5))
    points = torch.randn(shape, dtype=torch.float64, generator=draw)
    points[..., 0, :] *= 0.05
    points[..., :, 1] *= 0.05
    return points, steps


def solve(points: Tensor, steps: Tensor, coefficients: Coefficients, sweeps: int = 300) -> Tensor:
    """The minimum by another way: ascent of the dual, a block after the other, each root by halving."""
    dual = [torch.zeros_like(points) for _ in range(3)]
    for _ in range(sweeps):
        for block, project in enumerate((_into_box, _into_balls(1), _into_balls(0))):
            coefficient = (coefficients.l1, coefficients.incoming, coefficients.outgoing)[block]
            others = sum(part for other, part in enumerate(dual) if other != block)
            dual[block] = project(points / steps - others, steps, coefficient)
    return points - steps * sum(dual)


def _into_box(scaled: Tensor, _steps: Tensor, coefficient: float) -> Tensor:
    return scaled.clamp(-coefficient, coefficient)


def _into_balls(along: int) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Project each group onto the ball of a radius, in the norm that ``steps`` weigh."""

    def project(scaled: Tensor, steps: Tensor, coefficient: float) -> Tensor:
        norms = torch.linalg.vector_norm(scaled, dim=along, keepdim=True)
        if not coefficient:
            return torch.zeros_like(scaled)
        points = scaled * steps
        low = torch.zeros_like(norms)
        high = torch.linalg.vector_norm(points, dim=along, keepdim=True) / coefficient
        for _ in range(100):
            middle = (low + high) / 2
            outside = torch.linalg.vector_norm(points / (steps + middle), dim=along, keepdim=True) > coefficient
            low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
        return torch.where(norms > coefficient, points / (steps + high), scaled)

    return project


def step(points: Tensor, steps: Tensor, coefficients: Coefficients, sweeps: int = 1) -> Tensor:
    """The step from the same points, ``sweeps`` times with the multipliers of the time before."""
    multipliers = torch.zeros_like(points)
    for _ in range(sweeps):
        found = points.clone()
        step_(found, steps, coefficients, multipliers)
    return found


def objective(x: Tensor, points: Tensor, steps: Tensor, coefficients: Coefficients) -> float:
    distance = ((x - points).square() / steps).sum() / 2
    penalties = (L1(coefficients.l1), Incoming(coefficients.incoming), Outgoing(coefficients.outgoing))
    return (distance + sum(penalty.value(x) for penalty in penalties)).item()


@each_case
@pytest.mark.parametrize("decades", [0.0, 2.0, 6.0])
def test_the_step_is_the_minimum_that_a_slow_solver_finds(coefficients: Coefficients, decades: float) -> None:
    points, steps = problem(decades=decades)
    expected = solve(points, steps, coefficients)
    found = step(points, steps, coefficients, sweeps=300 if coefficients.overlap else 1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(found == 0, expected.abs() < 1e-12)


@each_case
def test_nothing_near_it_is_better(coefficients: Coefficients) -> None:
    points, steps = problem()
    found = step(points, steps, coefficients, sweeps=500)
    best = objective(found, points, steps, coefficients)
    draw = torch.Generator().manual_seed(1)
    for size in (1e-5, 1e-3, 1e-1):
        for _ in range(50):
            other = found + size * torch.randn(found.shape, dtype=torch.float64, generator=draw)
            assert objective(other, points, steps, coefficients) >= best
            assert objective(other * (found != 0), points, steps, coefficients) >= best


def test_weights_and_groups_become_exactly_zero() -> None:
    points, steps = problem((20, 30))
    assert (step(points, steps, L1_ALONE) == 0).any()
    assert (step(points, steps, ROWS_ALONE) == 0).all(1).any()
    assert (step(points, steps, COLUMNS_ALONE) == 0).all(0).any()
    found = step(points, steps, ALL)
    assert (found == 0).all(1).any()
    assert (found == 0).all(0).any()


def test_a_group_is_zero_just_where_its_norm_over_the_steps_is_the_coefficient() -> None:
    points, steps = problem((1, 7))
    edge = (points / steps).norm().item()
    for coefficient, zero in ((edge * 0.999999, False), (edge * 1.000001, True)):
        assert bool((shrink_groups(points / steps, steps, coefficient, ROWS)[0] == 0).all()) == zero


@pytest.mark.parametrize("iterations", range(6))
def test_fewer_iterations_shrink_more_and_never_less_and_have_the_same_zeros(iterations: int) -> None:
    points, steps = problem((40, 30), decades=6.0)
    few, _ = shrink_groups(points / steps, steps, 0.8, ROWS, iterations)
    exact, _ = shrink_groups(points / steps, steps, 0.8, ROWS)
    assert (few.norm(dim=1) <= exact.norm(dim=1) * (1 + 1e-12)).all()
    assert torch.equal(few == 0, exact == 0)


def test_one_step_size_for_all_needs_no_iteration() -> None:
    points, _ = problem((6, 5))
    steps = torch.tensor(0.3, dtype=torch.float64)
    found, direction = shrink_groups(points / steps, steps, 2.0, ROWS, iterations=0)
    norms = points.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found, points * (1 - 0.3 * 2.0 / norms).clamp(min=0))
    torch.testing.assert_close(direction[norms[:, 0] > 0.6], (points / norms)[norms[:, 0] > 0.6])


@pytest.mark.parametrize("decades", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_in_single_precision_the_norm_is_right_to_rounding(decades: float, share: float) -> None:
    draw = torch.Generator().manual_seed(0)
    steps = 10 ** (decades * (torch.rand(50, 784, dtype=torch.float64, generator=draw) - 0.5))
    for scaled in (torch.randn(50, 784, dtype=torch.float64, generator=draw), torch.randn(50, 784).double() / steps):
        scaled = scaled / scaled.norm(dim=1, keepdim=True) / share
        found, _ = shrink_groups(scaled.float(), steps.float(), 1.0, ROWS)
        exact, _ = shrink_groups(scaled, steps, 1.0, ROWS, iterations=40)
        assert ((found.double() - exact).norm(dim=1) / exact.norm(dim=1)).max() < 2e-5


@each_case
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_firmly_non_expansive_in_the_metric(coefficients: Coefficients, data: st.DataObject) -> None:
    """``‖p − q‖² ≤ ⟨p − q, x − y⟩``, each entry weighed by one over its step size."""
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    size = math.prod(shape)
    numbers = st.lists(st.floats(-5, 5), min_size=size, max_size=size)
    x, y = (torch.tensor(data.draw(numbers), dtype=torch.float64).view(shape) for _ in range(2))
    exponents = data.draw(st.lists(st.floats(-2, 2), min_size=size, max_size=size))
    steps = 10 ** torch.tensor(exponents, dtype=torch.float64).view(shape)
    sweeps = 60 if coefficients.overlap else 1
    p, q = step(x, steps, coefficients, sweeps), step(y, steps, coefficients, sweeps)
    slack = 1e-2 if coefficients.overlap else 1e-9
    assert ((p - q).square() / steps).sum() <= ((p - q) * (x - y) / steps).sum() + slack


@each_case
@settings(deadline=None, max_examples=25)
@given(
    values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=12, max_size=12),
    exponents=st.lists(st.floats(-6, 6), min_size=12, max_size=12),
    strength=st.integers(-5, 3),
)
def test_finite_and_no_larger_for_finite_values(
    coefficients: Coefficients, values: list[float], exponents: list[float], strength: int
) -> None:
    points, steps = torch.tensor(values).view(3, 4), 10 ** torch.tensor(exponents).view(3, 4)
    scale = 10.0**strength
    scaled = Coefficients(coefficients.l1 * scale, coefficients.incoming * scale, coefficients.outgoing * scale)
    found = step(points, steps, scaled, sweeps=3)
    assert found.isfinite().all()
    if not coefficients.overlap:
        assert (found.abs() <= points.abs() * (1 + 1e-5) + 1e-35).all()
        assert (found * points >= 0).all()


def test_where_no_gradient_ever_came_the_result_is_exactly_zero() -> None:
    """A pixel that is always 0: Adam's second moment is 0, and the step size is the learning rate over ε."""
    points, steps = torch.full((30, 8), 0.05), torch.full((30, 8), 1e-2)
    steps[:, 3] = 1e-3 / 1e-8
    for coefficients in (Coefficients(l1=1e-5), Coefficients(outgoing=5e-5), Coefficients(1e-5, 5e-5, 5e-5)):
        found = step(points, steps, coefficients)
        assert (found[:, 3] == 0).all()
        assert (found[:, :3] != 0).all()
        assert found.isfinite().all()


@each_case
def test_a_kernel_is_a_group_like_the_row_and_column_that_it_flattens_to(coefficients: Coefficients) -> None:
    points, steps = problem((6, 5))
    found = step(points.view(6, 5, 1, 1), steps.view(6, 5, 1, 1), coefficients)
    assert torch.equal(found[..., 0, 0], step(points, steps, coefficients))
    points, steps = problem((6, 5 * 9))
    rows = Coefficients(coefficients.l1, incoming=coefficients.incoming)
    found = step(points.view(6, 5, 3, 3), steps.view(6, 5, 3, 3), rows)
    torch.testing.assert_close(found.view(6, 45), step(points, steps, rows))
    columns = Coefficients(coefficients.l1, outgoing=coefficients.outgoing)

    def turned(kernels: Tensor) -> Tensor:
        return kernels.reshape(6, 5, 9).movedim(1, 0).reshape(5, 54)

    found = step(points.view(6, 5, 3, 3), steps.view(6, 5, 3, 3), columns)
    expected = step(turned(points), turned(steps), Coefficients(columns.l1, incoming=columns.outgoing))
    torch.testing.assert_close(turned(found), expected)


@each_case
@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 5, 5), (130, 70)])
def test_a_replicate_does_not_see_the_others(coefficients: Coefficients, shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(3, *shape, generator=draw)
    steps = 10 ** torch.randn(points.shape, generator=draw)
    multipliers = 0.1 * torch.randn(points.shape, generator=draw)
    found, after = points.clone(), multipliers.clone()
    step_(found, steps, coefficients, after, leading=1)
    for row in range(3):
        alone, alone_after = points[row].clone(), multipliers[row].clone()
        step_(alone, steps[row], coefficients, alone_after)
        assert torch.equal(found[row], alone)
        assert torch.equal(after[row], alone_after)


def test_the_multipliers_that_are_kept_make_every_later_step_exact() -> None:
    """The fixed point of gradient steps, each with one sweep: minus the gradient is a subgradient of the penalties."""
    draw = torch.Generator().manual_seed(3)
    matrix = torch.randn(40, 40, dtype=torch.float64, generator=draw)
    curvature = matrix @ matrix.T / 40 + 0.1 * torch.eye(40, dtype=torch.float64)
    target = 2 * torch.randn(40, dtype=torch.float64, generator=draw)
    coefficients = Coefficients(l1=0.1, incoming=0.5, outgoing=0.4)
    most = torch.linalg.eigvalsh(curvature)[-1].item()
    steps = (1 / most) * (0.2 + 0.8 * torch.rand(8, 5, dtype=torch.float64, generator=draw))
    x, multipliers = torch.zeros(8, 5, dtype=torch.float64), torch.zeros(8, 5, dtype=torch.float64)
    for _ in range(4000):
        x -= steps * (curvature @ (x.flatten() - target)).view(8, 5)
        step_(x, steps, coefficients, multipliers)
    gradient = (curvature @ (x.flatten() - target)).view(8, 5)
    exact = solve(x - steps * gradient, steps, coefficients)
    torch.testing.assert_close(x, exact, rtol=1e-7, atol=1e-9)
    assert torch.equal(x == 0, exact.abs() < 1e-12)
    assert 0 < (x != 0).sum() < x.numel()
