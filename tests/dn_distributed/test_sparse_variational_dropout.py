"""Sparse variational dropout: the paper's closed forms, and training with it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from dn_distributed.random_weights.variational import (
    SparseVariationalDropout,
    divergence,
    divergence_slope,
    log_alpha,
)
from dn_distributed.replicas import Replicas
from tests.dn_distributed.test_noisy import Make
from tests.dn_distributed.test_noisy import make as make


def stack_of(make: Make, task: str, **phase: Any) -> Replicas:
    noisy = make(task, [1, 2], phase, sparse_vd=1e-4)._phase_run._noisy
    assert noisy is not None
    return noisy._stack


def test_the_divergence_is_as_the_paper_has_it() -> None:
    alphas = torch.tensor([-8.0, -3.0, 0.0, 1.0, 3.0, 8.0], dtype=torch.float64)
    expected = [
        -(0.63576 / (1 + math.exp(-1.87320 - 1.48695 * a)) - 0.5 * math.log(1 + math.exp(-a)) - 0.63576)
        for a in alphas.tolist()
    ]
    assert divergence(alphas).tolist() == pytest.approx(expected)
    assert divergence(torch.tensor([60.0])).item() == pytest.approx(0, abs=1e-6)
    leaves = alphas.requires_grad_()
    (slope,) = torch.autograd.grad(divergence(leaves).sum(), leaves)
    torch.testing.assert_close(divergence_slope(alphas.detach()), slope)


def test_the_divergence_is_that_of_the_log_uniform_prior() -> None:
    """Up to a constant −KL is ½ log α − E log |1 + √α ε| (their equation 13): here by numerical integration."""
    alphas = torch.linspace(-5, 4, 19, dtype=torch.float64)
    points = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
    density = torch.exp(-(points**2) / 2) / math.sqrt(2 * math.pi) * (points[1] - points[0])
    exact = torch.stack([
        a / 2 - (density * (1 + math.exp(a / 2) * points).abs().clamp_min(1e-12).log()).sum() for a in alphas
    ])  # fmt: skip
    difference = -divergence(alphas) - exact
    assert float(difference.max() - difference.min()) < 0.02


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe"])
def test_the_gradient_of_the_penalty_is_its_own(make: Make, task: str) -> None:
    values = stack_of(make, task).parameters
    layers = [name.removesuffix(".weight") for name in values if name.endswith(".weight")]
    ways = SparseVariationalDropout({"sparse_vd": 0.1})
    changed = {name: value.double() + 8 * ("log_variance" in name) for name, value in values.items()}
    leaves = {name: value.clone().requires_grad_() for name, value in changed.items()}
    total = ways.penalty(layers, leaves)
    assert total.shape == (2,)
    by_autograd = torch.autograd.grad(0.5 * total.sum(), list(leaves.values()), allow_unused=True)
    found = {name: torch.zeros_like(value) for name, value in changed.items()}
    ways.add_gradient_(layers, changed, found, 0.5)
    for mine, other in zip(found.values(), by_autograd, strict=True):
        torch.testing.assert_close(mine, torch.zeros_like(mine) if other is None else other)


def test_gradients_are_finite_at_exact_zeros(make: Make) -> None:
    values = stack_of(make, "lenet300").parameters
    values["fc1.weight"][:, 0] = 0
    found = {name: torch.zeros_like(value) for name, value in values.items()}
    SparseVariationalDropout({"sparse_vd": 0.1}).add_gradient_(["fc1"], values, found, 1.0)
    assert all(bool(gradient.isfinite().all()) for gradient in found.values())


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe"])
def test_outputs_have_the_mean_and_the_variance_of_random_weights(make: Make, task: str) -> None:
    """Of the last layer by itself: the local reparametrisation draws outputs as drawing weights would."""
    stack = stack_of(make, task)
    name = "fc3" if task == "lenet300" else "conv2"
    layer = stack.network.get_submodule(name)
    weight, bias = (stack.parameters[f"{name}.{part}"][0] for part in ("weight", "bias"))
    log_variance = torch.full_like(weight, -4.0)
    draw = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, *((100,) if task == "lenet300" else (20, 7, 7)), generator=draw)
    many = inputs.expand(20_000 if task == "lenet300" else 4000, *inputs.shape[1:])
    plain = torch.nn.functional.linear if task == "lenet300" else torch.nn.functional.conv2d
    variance = plain(inputs.square(), log_variance.exp())[0]
    state = {"weight": weight, "bias": bias, "log_variance": log_variance}
    noise = torch.randn(len(many), *variance.shape, generator=draw)
    outputs: Tensor = functional_call(layer, {**state, "noise": noise}, (many,))
    spread = 5 / len(many) ** 0.5
    off = (outputs.mean(0) - plain(inputs, weight, bias)[0]).abs() / variance.sqrt()
    assert off.max() < spread
    assert (outputs.var(0) / variance - 1).abs().max() < 2 * spread


def test_tested_weights_are_zero_where_noise_is_over_twenty_times_as_large(make: Make) -> None:
    values = {name: value.clone() for name, value in stack_of(make, "lenet300").parameters.items()}
    values["fc1.log_variance"][:] = -60
    values["fc3.weight"][:] = 0.1
    values["fc3.log_variance"][:] = math.log(0.01) + 2.999
    values["fc3.log_variance"][0, 0, :7] = math.log(0.01) + 3.001
    assert log_alpha(values["fc3.weight"], values["fc3.log_variance"])[0, 0, 0].item() == pytest.approx(3.001, abs=1e-4)
    tested = SparseVariationalDropout({"sparse_vd": 0.1}).tested(["fc1", "fc3"], values)
    assert torch.equal(tested["fc1.weight"], values["fc1.weight"])
    assert int((tested["fc3.weight"] == 0).sum()) == 7


def test_weights_become_exact_zeros_that_fine_tuning_keeps(make: Make) -> None:
    fine: dict[str, Any] = {"fixed_structure": True, "penalties": "off"}
    noisy = {"epochs": 30, "learning_rate": 0.05, "penalties": "linear"}
    trainer = make("lenet300", [1, 2], noisy, fine, sparse_vd=5e-3)
    trainer.advance(150)
    before = trainer.outcomes()
    assert all(0.001 < outcome.counts.density < 0.8 for outcome in before)
    assert all("fc1.log_variance" not in outcome.parameters for outcome in before)
    trainer.advance(trainer.num_steps)
    for outcome, after in zip(before, trainer.outcomes(), strict=True):
        assert all(not (after.masks[name] & ~mask).any() for name, mask in outcome.masks.items())
