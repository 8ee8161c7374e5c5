"""Hard concrete gates: the paper's closed forms, and training with them."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from dn_distributed.errors import ArgumentError
from dn_distributed.random_weights import random_weights_of
from dn_distributed.random_weights.hard_concrete import HardConcrete, gate, probability_open, sampled_gate
from dn_distributed.regularizers import resolve
from dn_distributed.seeds import generator
from tests.dn_distributed.test_noisy import Make
from tests.dn_distributed.test_noisy import make as make

ALPHAS = torch.linspace(-6, 6, 13)


def num_gates(values: Mapping[str, Tensor], layer: str) -> int:
    """How many gates a layer has: those in its parameters are padded."""
    weight = values[f"{layer}.weight"][0]
    return int(weight.shape[0 if weight.ndim > 2 else 1])


def test_a_gate_is_open_as_often_as_the_formula_says() -> None:
    ways = random_weights_of({"l0_units": 1.0})
    assert ways is not None
    noise = ways.draw(torch.Size((200_000, 1)), generator(1, "test"), torch.device("cpu"))
    gates = sampled_gate(ALPHAS, noise)
    assert gates.min() == 0
    assert gates.max() == 1
    p = probability_open(ALPHAS)
    spread = (p * (1 - p) / len(noise)).sqrt()
    assert ((gates != 0).double().mean(0) - p).abs().le(5 * spread).all()
    assert p.tolist() == pytest.approx([1 / (1 + math.exp(-a) * (0.1 / 1.1) ** (2 / 3)) for a in ALPHAS.tolist()])


def test_the_share_of_open_and_of_half_open_gates_is_that_of_the_distribution() -> None:
    """P(z = 1) = 1 − Q(s ≤ (1 − γ) / (ζ − γ)), with Q(s) = σ(β (log s − log(1 − s)) − log α)."""
    ways = random_weights_of({"l0_units": 1.0})
    assert ways is not None
    noise = ways.draw(torch.Size((200_000, 1)), generator(2, "test"), torch.device("cpu"))
    s = 1.1 / 1.2
    whole = 1 - torch.sigmoid(2 / 3 * (math.log(s) - math.log(1 - s)) - ALPHAS)
    found = (sampled_gate(ALPHAS, noise) == 1).double().mean(0)
    assert (found - whole).abs().le(5 * (whole * (1 - whole) / len(noise)).sqrt()).all()


def test_tested_gates() -> None:
    found = gate(torch.tensor([0.0, 1.0, -1.0, math.log(1 / 11) - 1e-3, math.log(11.0) + 1e-3, -20.0, 20.0]))
    expected = [0.5, 1.2 / (1 + math.exp(-1)) - 0.1, 1.2 / (1 + math.exp(1)) - 0.1, 0, 1, 0, 1]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert found[3] == 0
    assert found[4] == 1


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe"])
def test_the_penalty_is_the_expected_number_of_weights_and_its_gradient_is_its_own(make: Make, task: str) -> None:
    coefficients = {"l0_inputs": 1e-3, "l0_filters": 2e-3, "l0_units": 3e-3}
    trainer = make(task, [1, 2], {}, **coefficients)
    noisy = trainer._phase_run._noisy
    assert noisy is not None
    values, layers = noisy._stack.parameters, trainer.task.layers
    ways = HardConcrete(resolve(coefficients))
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    total = ways.penalty(layers, leaves)
    assert total.shape == (2,)
    groups = {
        "lenet300": {"fc1": 1e-3 * 300, "fc2": 3e-3 * 100, "fc3": 3e-3 * 10},
        "lenet5_caffe": {"conv1": 2e-3 * 25, "conv2": 2e-3 * 500, "fc1": 3e-3 * 500, "fc2": 3e-3 * 10},
    }[task]
    for row in range(2):
        open_gates = {
            name: float(probability_open(values[f"{name}.log_alpha"][row, : num_gates(values, name)]).sum())
            for name in groups
        }
        expected = sum(factor * open_gates[name] for name, factor in groups.items())
        assert float(total[row].detach()) == pytest.approx(expected, rel=1e-5)
    found = {name: torch.zeros_like(value) for name, value in values.items()}
    ways.add_gradient_(layers, values, found, 0.5)
    by_autograd = torch.autograd.grad(0.5 * total.sum(), list(leaves.values()), allow_unused=True)
    for (name, mine), other in zip(found.items(), by_autograd, strict=True):
        layer, _, part = name.rpartition(".")
        if part == "log_alpha":
            assert other is not None
            torch.testing.assert_close(mine[:, : num_gates(values, layer)], other[:, : num_gates(values, layer)])
        else:
            assert not mine.any()


def test_gates_begin_as_in_the_authors_code(make: Make) -> None:
    trainer = make("lenet300", [1, 2], {}, l0=1e-3)
    assert trainer._phase_run._noisy is not None
    values = trainer._phase_run._noisy._stack.parameters
    for name, closed in (("fc1", 0.2), ("fc2", 0.5), ("fc3", 0.5)):
        log_alpha = values[f"{name}.log_alpha"][:, : num_gates(values, name)]
        assert log_alpha.mean().item() == pytest.approx(math.log((1 - closed) / closed), abs=2e-3)
        assert log_alpha.std().item() == pytest.approx(0.01, rel=0.1)
        assert not torch.equal(log_alpha[0], log_alpha[1])


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe"])
def test_a_step_is_that_of_the_gated_network(make: Make, task: str) -> None:
    """With SGD a step is the learning rate times the gradient of loss and penalty, here by autograd alone."""
    rate, coefficients = 0.1, {"l0_inputs": 1e-6, "l0_filters": 1e-5, "l0_units": 1e-6}
    trainer = make(task, [3], {"optimizer": "sgd", "learning_rate": rate}, **coefficients)
    noisy = trainer._phase_run._noisy
    assert noisy is not None
    before = {name: value[0].clone().requires_grad_() for name, value in noisy._stack.parameters.items()}
    inputs, targets = trainer._phase_run.batches.at(0)
    noise = dict(zip(noisy._stack._random_names, noisy._noise.at(0, torch.device("cpu")), strict=True))
    weights: dict[str, Tensor] = {name: value for name, value in before.items() if "log_alpha" not in name}
    for name, drawn in noise.items():
        z = ((torch.sigmoid((drawn[0] + before[f"{name}.log_alpha"]) * 1.5) * 1.2) - 0.1).clamp(0, 1)
        z = z[: num_gates(noisy._stack.parameters, name)]
        is_filter = name.startswith("conv")
        weights[f"{name}.weight"] = before[f"{name}.weight"] * (z.view(-1, 1, 1, 1) if is_filter else z)
        if is_filter:
            weights[f"{name}.bias"] = before[f"{name}.bias"] * z
    network = trainer.task.network().eval()
    outputs: Tensor = functional_call(network, weights, (inputs[0],))
    stacked = {name: value.unsqueeze(0) for name, value in before.items()}
    loss = trainer.task.loss(outputs, targets[0]) + HardConcrete(coefficients).penalty(trainer.task.layers, stacked)[0]
    gradients = torch.autograd.grad(loss, list(before.values()))
    trainer.advance(1)
    for (name, value), gradient in zip(before.items(), gradients, strict=True):
        layer, _, part = name.rpartition(".")
        used = num_gates(noisy._stack.parameters, layer) if part == "log_alpha" else len(value)
        after = noisy._stack.parameters[name][0]
        torch.testing.assert_close(after[:used], (value - rate * gradient).detach()[:used], rtol=1e-4, atol=1e-6)


def test_closed_gates_are_exact_zeros_that_fine_tuning_keeps(make: Make) -> None:
    fine: dict[str, Any] = {"fixed_structure": True, "penalties": "off"}
    trainer = make("lenet300", [1, 2], {"epochs": 24, "learning_rate": 0.05}, fine, l0=1e-3)
    trainer.advance(120)
    for outcome in trainer.outcomes():
        closed = {name: (weight == 0).all(0) for name, weight in outcome.parameters.items() if "weight" in name}
        assert closed["fc1.weight"].any()
        assert closed["fc2.weight"].any()
        assert "fc1.log_alpha" not in outcome.parameters
        assert outcome.counts.dense_size < outcome.counts.num_weights
    before = [outcome.masks for outcome in trainer.outcomes()]
    trainer.advance(trainer.num_steps)
    for masks, outcome in zip(before, trainer.outcomes(), strict=True):
        assert all(not (outcome.masks[name] & ~mask).any() for name, mask in masks.items())


def test_only_layers_with_a_coefficient_have_gates(make: Make) -> None:
    with pytest.raises(ArgumentError, match="l0_filters: no regularised layer has such gates"):
        make("lenet300", [1], {}, l0_filters=1e-3)
    trainer = make("lenet300", [1], {}, l0_units=1e-3)
    assert trainer._phase_run._noisy is not None
    assert trainer._phase_run._noisy._stack._random_names == ["fc2", "fc3"]
