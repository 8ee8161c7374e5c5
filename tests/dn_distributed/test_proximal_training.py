"""Trainings with proximal steps: as torch's own loop takes them, for each replicate by itself, and resumable."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import dn_distributed as dn
from dn_distributed.config import Drop, Training
from dn_distributed.proximal import Coefficients
from dn_distributed.regularizers import resolve
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from dn_distributed.training.penalties import penalties_of
from tests.dn_distributed.support import DataOf, make_task

ALL = {"dn": 2e-3, "l1": 2e-4, "l2": 1e-4}
PHASES: dict[str, list[dict[str, Any]]] = {
    "adam": [{"steps": 20}],
    "sgd": [{"steps": 20, "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.02}],
    "growing": [{"steps": 20, "penalties": "linear", "schedule": "cosine", "warmup_steps": 3}],
    "another optimizer": [{"steps": 10}, {"steps": 10, "optimizer": "sgd", "learning_rate": 0.02}],
    "fine-tuning": [{"steps": 10}, {"steps": 10, "fixed_structure": True}],
    "dropping": [{"steps": 20, "drop": Drop(to=0.3, every=5, score="norm")}],
}


def make(data_of: DataOf, task: Task, seeds: Sequence[int], phases: list[dict[str, Any]], **given: float) -> Trainer:
    training = [Training(**{"batch_size": 40, "learning_rate": 5e-3, **phase}) for phase in phases]
    data = data_of(task).for_seeds(seeds)
    return Trainer(task, resolve(given or ALL), training, 0.001, data, seeds, proximal=True)


def zeros(trainer: Trainer) -> list[int]:
    trainer.validate()
    return [int((weight == 0).sum()) for weight in trainer.replicas.weights().values()]


@pytest.mark.parametrize(
    ("name", "training"),
    [*(("lenet300", training) for training in PHASES), ("lenet5", "growing"), ("lenet5", "dropping")],
)
def test_interrupted_and_in_another_pack_it_ends_with_the_same_bits(few_data: DataOf, name: str, training: str) -> None:
    phases = PHASES[training]
    task = make_task(name, filters=True) if name == "lenet5" else make_task(name)
    if name == "lenet5":
        phases = [{**phase, "steps": phase["steps"] // 2} for phase in phases]
    whole = make(few_data, task, [1, 2, 3], phases)
    whole.advance(100)
    assert not whole.diverged()
    first = make(few_data, task, [1, 2, 3], phases)
    first.advance(7)
    alone = make(few_data, task, [2], phases)
    alone.load_state(first.state())
    alone.advance(100)
    whole.validate()
    alone.validate()
    assert torch.equal(alone.replicas.values[0], whole.replicas.values[1])
    assert sum(zeros(whole)) > 0


@pytest.mark.parametrize("pack", [2, 40])
def test_a_small_network_does_not_see_how_many_share_its_pack(few_data: DataOf, pack: int) -> None:
    task = make_task("regression")
    together = make(few_data, task, range(pack), PHASES["adam"])
    alone = make(few_data, task, [1], PHASES["adam"])
    for trainer in (together, alone):
        trainer.advance(20)
    assert torch.equal(alone.replicas.values[0], together.replicas.values[1])


@pytest.mark.parametrize("phases", [PHASES["adam"], PHASES["sgd"]], ids=["adam", "sgd"])
def test_it_is_what_a_loop_with_torch_does(few_data: DataOf, phases: list[dict[str, Any]]) -> None:
    task = make_task("lenet300")
    trainer = make(few_data, task, [1], phases)
    network = trainer.replicas.plain_network(0, {})  # without its dropout
    rate = trainer.phases[0].training.learning_rate
    optimizer: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), rate)
    if phases == PHASES["sgd"]:
        optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, nesterov=True)
    dn.ProximalSteps(network, optimizer, layers=task.layers, dn=ALL["dn"], l1=ALL["l1"])
    for step in range(20):
        inputs, targets = trainer._phase_run.batches.at(step)
        optimizer.zero_grad()
        loss = task.loss(network(inputs[0]), targets[0]) + dn.penalty(network, layers=task.layers, l2=ALL["l2"])
        torch.autograd.backward(loss)
        optimizer.step()
        trainer.advance(1)
        if step == 4:
            for name, parameter in network.named_parameters():
                ours = trainer.replicas.parameters[name][0]
                torch.testing.assert_close(ours, parameter.detach(), rtol=1e-3, atol=1e-5)
    theirs = sum(int((network.get_parameter(f"{layer}.weight") == 0).sum()) for layer in task.layers)
    assert sum(zeros(trainer)) == pytest.approx(theirs, rel=0.02)
    assert theirs > 1000


def test_whole_units_become_zero_where_the_subgradient_leaves_all_weights(few_data: DataOf) -> None:
    task = make_task("lenet300")
    exact = make(few_data, task, [1], [{"steps": 60}])
    plain = Trainer(task, resolve(ALL), exact.phases[0].training, 0.0, few_data(task).for_seeds([1]), [1])
    for trainer in (exact, plain):
        trainer.advance(60)
    (counts,), (before,) = (trainer._evaluation.counts(0.0) for trainer in (exact, plain))
    assert before.num_nonzero == before.num_weights
    assert counts.num_nonzero < 0.7 * before.num_nonzero
    assert counts.neurons_alive < before.neurons_alive


def test_what_has_no_proximal_form_stays_in_the_gradient() -> None:
    task = make_task("lenet300")
    found = penalties_of(task, resolve({"l2_as_scripted": 0.1, "l1": 0.2, "dn": 0.3}), proximal=True)
    assert [penalty.name for penalty in found.in_gradient] == ["l2_but_last"]
    first, *_, last = task.layers
    assert found.proximal[f"{first}.weight"] == Coefficients(0.2, 0.3, 0.3)
    assert found.proximal[f"{first}.bias"] == Coefficients(0.2)
    assert found.proximal[f"{last}.weight"] == Coefficients(0.2 + 0.1, 0.3, 0.3)
    assert found.proximal[f"{last}.bias"] == Coefficients(0.2 + 0.1)
    assert not penalties_of(task, resolve({"l1": 0.2}), proximal=False).proximal


def test_l1_of_the_last_layer_makes_zeros_there_alone(few_data: DataOf) -> None:
    trainer = make(few_data, make_task("lenet300"), [1], [{"steps": 30}], l2_as_scripted=3e-3)
    trainer.advance(30)
    *others, last = zeros(trainer)
    assert others == [0, 0]
    assert last > 0


def test_penalties_that_are_off_shrink_nothing(few_data: DataOf) -> None:
    task = make_task("lenet300")
    off = make(few_data, task, [1], [{"steps": 5, "penalties": "off"}])
    none = Trainer(task, {}, off.phases[0].training, 0.001, few_data(task).for_seeds([1]), [1])
    for trainer in (off, none):
        trainer.advance(5)
    assert torch.equal(off.replicas.values, none.replicas.values)


def test_multipliers_are_saved_where_groups_overlap_alone(few_data: DataOf) -> None:
    task = make_task("lenet300")

    def saved(**given: float) -> dict[str, Tensor]:
        trainer = make(few_data, task, [1], [{"steps": 2}], **given)
        trainer.advance(2)
        return trainer.state()

    assert saved(dn=1e-3)["multipliers"].any()
    assert "multipliers" not in saved(dn_incoming=1e-3, l1=1e-3)
