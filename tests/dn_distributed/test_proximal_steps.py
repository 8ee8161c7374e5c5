"""Proximal steps after those of torch's optimisers: the answers of scikit-learn, state, and what is refused."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, MultiTaskLasso
from torch import Tensor, nn

import dn_distributed as dn
from dn_distributed.proximal import Coefficients
from tests.dn_distributed.test_proximal import solve

SAMPLES, FEATURES, OUTPUTS = 80, 12, 4
Make = Callable[[Any], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.2),
    "momentum": lambda p: torch.optim.SGD(p, 0.02, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, nesterov=True),
    "dampening": lambda p: torch.optim.SGD(p, 0.1, momentum=0.5, dampening=0.5),
    "adam": lambda p: torch.optim.Adam(p, 0.05),
    "amsgrad": lambda p: torch.optim.Adam(p, 0.05, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.0),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def regression() -> tuple[Tensor, Tensor]:
    """Inputs of unlike scales that hang together, and outputs of which some inputs say nothing."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, FEATURES, dtype=torch.float64, generator=draw)
    inputs = inputs + 0.5 * inputs.roll(1, 1)
    inputs *= torch.linspace(0.5, 1.5, FEATURES, dtype=torch.float64)
    truth = torch.randn(OUTPUTS, FEATURES, dtype=torch.float64, generator=draw)
    truth[:, ::3] = 0
    noise = torch.randn(SAMPLES, OUTPUTS, dtype=torch.float64, generator=draw)
    return inputs, inputs @ truth.T + 0.5 * noise


def fit(make: Make, **coefficients: Any) -> Tensor:
    """Train a linear model on all samples at each step until it rests, and return its weights."""
    inputs, targets = regression()
    network = nn.Linear(FEATURES, OUTPUTS, bias=False, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.linspace(-1, 1, OUTPUTS * FEATURES).view(OUTPUTS, FEATURES))
    optimizer = make(network.parameters())
    dn.ProximalSteps(network, optimizer, **coefficients)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.997)
    for _ in range(3000):
        optimizer.zero_grad()
        ((network(inputs) - targets).square().sum() / (2 * SAMPLES)).backward()
        optimizer.step()
        decay.step()
    return network.weight.detach()


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found == 0, expected == 0)
    assert 0 < (found == 0).sum() < found.numel()


@each_optimizer
def test_l1_is_the_lasso(make: Make) -> None:
    inputs, targets = regression()
    lasso = Lasso(alpha=0.2, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(inputs.numpy(), targets.numpy())
    assert_same(fit(make, l1=0.2), torch.from_numpy(np.asarray(lasso.coef_)))


@each_optimizer
def test_outgoing_is_the_group_lasso(make: Make) -> None:
    inputs, targets = regression()
    lasso = MultiTaskLasso(alpha=0.5, fit_intercept=False, tol=1e-12, max_iter=100_000)
    lasso.fit(inputs.numpy(), targets.numpy())
    found = fit(make, dn_outgoing=0.5)
    assert_same(found, torch.from_numpy(np.asarray(lasso.coef_)))
    assert (found == 0).all(0).any()


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize(
    "given", [{"dn_incoming": 3.2}, {"dn": 0.4}, {"dn": 0.3, "l1": 0.05}, {"l1": 0.1, "dn_incoming": 2.0}]
)
def test_it_rests_where_the_gradient_is_minus_a_subgradient_of_all_penalties(
    name: str, given: dict[str, float]
) -> None:
    inputs, targets = regression()
    found = fit(OPTIMIZERS[name], **given)
    gradient = (found @ inputs.T - targets.T) @ inputs / SAMPLES
    dn_ = given.get("dn", 0.0)
    penalties = Coefficients(given.get("l1", 0.0), given.get("dn_incoming", dn_), given.get("dn_outgoing", dn_))
    steps = torch.full_like(found, 0.2)
    exact = solve(found - steps * gradient, steps, penalties)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
    assert torch.equal(found == 0, exact == 0)
    assert 0 < (found == 0).sum() < found.numel()


def network_and(make: Make, **options: Any) -> tuple[nn.Sequential, torch.optim.Optimizer, dn.ProximalSteps]:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 20), nn.ReLU(), nn.Linear(20, 3)
    )
    optimizer = make(network.parameters())
    return network, optimizer, dn.ProximalSteps(network, optimizer, **options)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        inputs = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(inputs.to(next(network.parameters()).dtype)).square().mean().backward()
        optimizer.step()


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


EVERYWHERE: dict[str, Any] = {"dn": 0.1, "l1": 1e-3, "layers": ["0", "3", "5"]}


@each_optimizer
def test_filters_and_neurons_become_exactly_zero(make: Make) -> None:
    network, optimizer, _ = network_and(make, **EVERYWHERE)
    train(network, optimizer, range(60))
    for layer in EVERYWHERE["layers"]:
        weight = network.get_parameter(f"{layer}.weight")
        assert (weight == 0).flatten(1).all(1).any()
        assert weight.isfinite().all()


@each_optimizer
def test_taken_up_from_its_state_it_ends_with_the_same_bits(make: Make) -> None:
    network, optimizer, steps = network_and(make, **EVERYWHERE)
    train(network, optimizer, range(6))
    again, other_optimizer, other_steps = network_and(make, **EVERYWHERE)
    again.load_state_dict(network.state_dict())
    other_optimizer.load_state_dict(deepcopy(optimizer.state_dict()))  # torch shares the tensors
    other_steps.load_state_dict(steps.state_dict())
    assert all(tensor.any() for tensor in steps.state_dict().values())
    train(network, optimizer, range(6, 12))
    train(again, other_optimizer, range(6, 12))
    assert all(map(torch.equal, weights(network), weights(again)))


def test_removed_it_leaves_the_optimizer_alone() -> None:
    network, optimizer, steps = network_and(OPTIMIZERS["adam"], **EVERYWHERE)
    plain, plain_optimizer, _ = network_and(OPTIMIZERS["adam"], l1=0)
    steps.remove()
    train(network, optimizer, range(3))
    train(plain, plain_optimizer, range(3))
    assert all(map(torch.equal, weights(network), weights(plain)))


def test_what_the_optimizer_does_not_move_stays_where_it_is() -> None:
    network, optimizer, _ = network_and(OPTIMIZERS["adam"], **EVERYWHERE)
    weight = network.get_parameter("3.weight").requires_grad_(False)
    before = weight.clone()
    train(network, optimizer, range(3))
    assert torch.equal(weight, before)


def test_weights_in_half_precision_are_stepped_in_single() -> None:
    network = nn.Linear(64, 5, dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(network.parameters(), 0.03)
    dn.ProximalSteps(network, optimizer, dn=0.05, l1=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        network(torch.ones(1, 64, dtype=torch.bfloat16)).square().mean().backward()
        optimizer.step()
    assert network.weight.isfinite().all()
    assert (network.weight == 0).any()


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (lambda p: torch.optim.RMSprop(p), {"l1": 1e-3}, "RMSprop has no metric that is known: use Adam, AdamW or SGD"),
        (
            lambda p: torch.optim.SGD(list(p)[2:], 0.1),
            {"l1": 1, "layers": ["0"]},
            "layer '0' is not among the parameters",
        ),
        (OPTIMIZERS["sgd"], {}, "without a penalty nothing is stepped: give one of dn, dn_incoming, dn_outgoing, l1"),
        (OPTIMIZERS["sgd"], {"l1": -1.0}, "l1 = -1.0 is out of range"),
        (OPTIMIZERS["sgd"], {"dn": 1.0, "dn_incoming": 1.0}, "dn_incoming is set twice"),
        (OPTIMIZERS["sgd"], {"l1": 1, "layers": ["9"]}, "layer '9' is no nn.Linear"),
    ],
)
def test_what_does_not_fit_is_refused(make: Make, options: dict[str, Any], said: str) -> None:
    with pytest.raises(dn.DropNeuronError, match=said):
        network_and(make, **options)


def test_the_state_of_other_layers_is_refused() -> None:
    _, _, steps = network_and(OPTIMIZERS["adam"], dn=1e-3)
    with pytest.raises(dn.DropNeuronError, match="the state is of other layers than 3, 5"):
        steps.load_state_dict({"0": torch.zeros(6, 1, 3, 3)})


@each_optimizer
def test_without_a_learning_rate_nothing_moves(make: Make) -> None:
    inputs, targets = regression()
    network = nn.Linear(FEATURES, OUTPUTS, dtype=torch.float64)
    optimizer = make(network.parameters())
    dn.ProximalSteps(network, optimizer, dn=0.1, l1=0.1)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, float)  # 0, 1, 2, … times the rate
    before = network.weight.detach().clone()
    for is_moved in (False, True):
        optimizer.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        optimizer.step()
        warm_up.step()
        assert torch.equal(network.weight, before) != is_moved
        assert all(parameter.isfinite().all() for parameter in network.parameters())


FUSED: dict[str, Make] = {
    # Without momentum: torch 2 leaves its buffer uninitialised where the first step is skipped.
    "sgd": lambda p: torch.optim.SGD(p, 0.05, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.05, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, fused=True),
}


@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
def test_where_a_scaler_lets_a_fused_optimizer_skip_a_step_nothing_moves(make: Make) -> None:
    network, optimizer, steps = network_and(make, **EVERYWHERE)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for overflows in (True, False, True, False):  # the first one before the optimiser has any state
        before, of_steps = weights(network), steps.state_dict()
        optimizer.zero_grad()
        scaler.scale(network(torch.ones(2, 1, 8, 8)).square().mean()).backward()
        if overflows:
            gradient = network.get_parameter("5.weight").grad
            assert gradient is not None
            gradient[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        assert all(map(torch.equal, before, weights(network))) == overflows
        assert all(map(torch.equal, of_steps.values(), steps.state_dict().values())) == overflows
        assert all(parameter.isfinite().all() for parameter in network.parameters())
