"""Optimisers and schedules are those of torch, step by step, and a training with them can be interrupted."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dn_distributed.config import Training
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.phases import Phase
from tests.dn_distributed.support import DataOf, MakeTrainer, make_task

STEPS, PER_EPOCH, RATE = 12, 4, 0.05
Rate = Callable[[int], float]

OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[list[Tensor]], torch.optim.Optimizer]]] = {
    "adam": ({}, lambda p: torch.optim.Adam(p, RATE)),
    "adamw": ({"optimizer": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, RATE, weight_decay=0.1)),
    "sgd": ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, RATE)),
    "momentum": ({"optimizer": "sgd", "momentum": 0.9}, lambda p: torch.optim.SGD(p, RATE, momentum=0.9)),
    "nesterov": (
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
        lambda p: torch.optim.SGD(p, RATE, momentum=0.9, nesterov=True),
    ),
}
SCHEDULERS: dict[str, tuple[dict[str, Any], Callable[[torch.optim.Optimizer], Any]]] = {
    "constant": ({}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    "cosine": ({"schedule": "cosine"}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS)),
    "linear": ({"schedule": "linear"}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, STEPS)),
    "warm-up": ({"warmup_steps": 5}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.2, 1.0, 4)),
}


def training(**options: Any) -> Training:
    return Training(**{"steps": STEPS, "batch_size": 1, "learning_rate": RATE, **options})


@pytest.mark.parametrize(("options", "make"), OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(("schedule", "make_scheduler"), SCHEDULERS.values(), ids=SCHEDULERS)
def test_every_step_is_that_of_torch(
    options: dict[str, Any],
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
    schedule: dict[str, Any],
    make_scheduler: Callable[[torch.optim.Optimizer], Any],
) -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(3, 7, generator=draw)
    values, parameter = start.clone(), nn.Parameter(start.clone())
    given = training(**options, **schedule)
    ours, theirs = Optimizer(given, values), make([parameter])
    scheduler = make_scheduler(theirs)
    for step in range(STEPS):
        gradients = torch.randn(3, 7, generator=draw)
        ours.step_(gradients.clone(), Phase(0, given, 0, 0, PER_EPOCH).learning_rate(step))
        parameter.grad = gradients
        theirs.step()
        scheduler.step()
        torch.testing.assert_close(values, parameter.detach(), rtol=1e-5, atol=1e-6)


def test_a_factor_after_each_epoch_and_a_schedule_are_multiplied() -> None:
    given = training(learning_rate_decay=0.5, schedule="linear")
    rates = [Phase(0, given, 0, 0, PER_EPOCH).learning_rate(step) for step in range(STEPS)]
    assert rates == pytest.approx([RATE * 0.5 ** (step // PER_EPOCH) * (1 - step / STEPS) for step in range(STEPS)])


def test_decoupled_weight_decay_shrinks_values_without_a_gradient() -> None:
    for name in ("adamw", "sgd"):
        values = torch.ones(1, 2)
        Optimizer(training(optimizer=name, weight_decay=0.1), values).step_(torch.zeros(1, 2), 0.5)
        assert values.tolist() == [[pytest.approx(0.95)] * 2]


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine", "weight_decay": 1e-3, "learning_rate": 1e-6},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "linear", "warmup_steps": 3},
    ],
)
def test_interrupted_and_in_another_pack_it_ends_with_the_same_bits(
    make_trainer: MakeTrainer, few_data: DataOf, options: dict[str, Any]
) -> None:
    task = make_task("regression")

    def make(seeds: list[int]) -> Any:
        return make_trainer(task, seeds, {"l1": 1e-4}, data=few_data(task), steps=10, batch_size=16, **options)

    whole = make([1, 2])
    whole.advance(10)
    first = make([1, 2])
    first.advance(4)
    alone = make([2])
    alone.load_state(first.state())
    alone.advance(6)
    assert not whole.diverged()
    assert torch.equal(alone.replicas.values[0], whole.replicas.values[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"momentum": 0.9}, "are of the optimizer 'sgd', not of 'adam'"),
        ({"optimizer": "adamw", "nesterov": True}, "are of the optimizer 'sgd', not of 'adamw'"),
        ({"optimizer": "sgd", "nesterov": True}, "'nesterov' needs 'momentum'"),
        ({"weight_decay": 0.1}, "'weight_decay' is of 'adamw' and 'sgd'"),
        ({"optimizer": "sgd", "momentum": 1.0}, "less than 1"),
        ({"schedule": "step"}, "'constant', 'cosine' or 'linear'"),
    ],
)
def test_what_does_not_fit_the_optimizer_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        training(**options)
