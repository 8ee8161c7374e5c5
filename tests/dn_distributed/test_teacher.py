"""Distillation: a phase learns from the network as it was before."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from dn_distributed.config import Augment, Distill, Drop, Prune, Training
from dn_distributed.errors import ArgumentError
from dn_distributed.tasks import Task
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training.phases import phases_of
from dn_distributed.training.rehearsal import rehearse
from dn_distributed.training.teacher import softened
from tests.dn_distributed.own_models import BatchNormResNet, GroupNormResNet
from tests.dn_distributed.support import EPOCH, DataOf, MakeTrainer, assert_resumes_at_every_step, make_task

HALF = Distill(weight=0.5, temperature=2.0)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_at_temperature_1_the_gradient_is_that_of_both_losses_in_their_shares(weight: float) -> None:
    draw = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 2, 7, 5, generator=draw)
    labels = torch.randint(5, (2, 7), generator=draw)
    student.requires_grad_()
    probabilities = softened(teacher, labels, Distill(weight=weight))
    assert probabilities.sum(-1).allclose(torch.ones(2, 7))
    mixed = functional.cross_entropy(student.flatten(0, 1), probabilities.flatten(0, 1))
    by_label = functional.cross_entropy(student.flatten(0, 1), labels.flatten())
    own, theirs = (functional.log_softmax(outputs.flatten(0, 1), 1) for outputs in (student, teacher))
    divergence = functional.kl_div(own, theirs, reduction="batchmean", log_target=True)
    found, expected = (
        torch.autograd.grad(loss, student)[0] for loss in (mixed, (1 - weight) * by_label + weight * divergence)
    )
    assert torch.allclose(found, expected, atol=1e-7)


def test_temperature_divides_what_the_teacher_puts_out() -> None:
    outputs = torch.tensor([[4.0, 2.0, 0.0]])
    found = softened(outputs, torch.tensor([1]), Distill(weight=0.5, temperature=2.0))
    soft = functional.softmax(torch.tensor([2.0, 1.0, 0.0]), 0)
    assert torch.allclose(found[0], soft / 2 + torch.tensor([0, 0.5, 0]))


def test_the_teacher_is_the_network_before_the_first_of_the_phases_that_distill() -> None:
    plain, learns = Training(steps=4, batch_size=50), Training(steps=3, batch_size=50, distill=HALF)
    rounds = Training(steps=2, batch_size=50, distill=HALF, prune=Prune(keep=0.5, rounds=2))
    found = phases_of([plain, learns, rounds, plain, learns], 200)
    assert [phase.teacher_step for phase in found] == [None, 4, 4, 4, None, 15]
    with pytest.raises(ValueError, match="the first phase cannot have 'distill'"):
        phases_of([learns, plain], 200)


@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe", "own"])
def test_what_is_learned_is_what_the_earlier_network_puts_out_without_dropout(
    make_phased: MakeTrainer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: Task = BatchNormResNet() if name == "own" else make_task(name)
    dropout = {"input_dropout": 0.2, **({"dropout": 0.5} if name != "own" else {})}
    trainer = make_phased(task, [1, 2], {}, {"distill": HALF, "augment": Augment(shift=1)}, **dropout)
    trainer.advance(trainer.steps_per_epoch)
    networks = [trainer.replicas.plain_network(row, {}) for row in range(2)]
    trainer.advance(2)
    phase_run = trainer._phase_run
    assert phase_run._teacher is not None
    inputs, labels = phase_run.batches.at(trainer.step)
    found = phase_run._teacher.targets(inputs, labels)
    for row, network in enumerate(networks):
        with torch.no_grad():
            outputs = network(inputs[row])
        assert torch.allclose(found[row], softened(outputs, labels[row], HALF), atol=1e-5)
    given: list[Tensor] = []
    learn = trainer.replicas.write_loss_gradient_

    def learn_and_note(inputs: Tensor, targets: Tensor, *others: Any) -> Tensor:
        given.append(targets)
        return learn(inputs, targets, *others)

    monkeypatch.setattr(trainer.replicas, "write_loss_gradient_", learn_and_note)
    trainer.advance(1)
    assert torch.equal(given[0], found)


@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe", "own"])
def test_a_replicate_is_the_same_in_any_pack_and_taken_up_at_any_step(make_phased: MakeTrainer, name: str) -> None:
    task: Task = GroupNormResNet() if name == "own" else make_task(name)
    phases: list[dict[str, Any]] = [{}, {"distill": HALF}, {"distill": HALF, "prune": Prune(keep=0.5)}]
    together, alone, plain = (make_phased(task, seeds, *phases, l1=1e-5) for seeds in ([1, 2], [2], [2]))
    without = make_phased(task, [2], {}, {}, {"prune": Prune(keep=0.5)}, l1=1e-5)
    for trainer in (together, alone, without):
        trainer.advance(trainer.num_steps)
    assert torch.equal(together.replicas.values[1], alone.replicas.values[0])
    assert not torch.equal(alone.replicas.values, without.replicas.values)
    here, there = plain, make_phased(task, [2], *phases, l1=1e-5)
    assert_resumes_at_every_step(here, there, alone)


def test_small_networks_learn_from_the_whole_one(make_phased: MakeTrainer) -> None:
    phases: list[dict[str, Any]] = [{}, {"distill": HALF, "drop": Drop(to=0.2, every=2)}, {"distill": HALF}]
    shrunk, whole = (
        make_phased(make_task("lenet300", initial="he"), [1], *({**phase, "shrink": shrink} for phase in phases))
        for shrink in (True, False)
    )
    for trainer in (shrunk, whole):
        trainer.advance(trainer.num_steps)
    assert shrunk.replicas.values.count_nonzero() < 0.3 * shrunk.replicas.values.numel()
    assert torch.allclose(shrunk.replicas.values, whole.replicas.values, rtol=1e-4, atol=1e-6)


class Smoothed(LeNet300):
    """Its loss is not the cross-entropy where labels come as probabilities."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = functional.cross_entropy(outputs, targets)
        return loss if targets.dtype == torch.int64 else 2 * loss


class OfCosines(LeNet300):
    """Its loss is the cross-entropy of something else than the network's outputs."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(20 * outputs, targets)


class WithSmoothedLabels(LeNet300):
    """Its loss smooths what it learns, labels and probabilities alike."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=0.1)


class LabelsAlone(LeNet300):
    """Its loss takes labels alone."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.nll_loss(functional.log_softmax(outputs, 1), targets)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (make_task("autoencoder"), "phase 2 has 'distill', and what 'autoencoder' learns are no labels"),
        (make_task("regression"), "phase 2 has 'distill', and what 'regression' learns are no labels"),
        (Smoothed(), "the loss of 'lenet300' is not the same for labels given as probabilities"),
        (OfCosines(), "the loss of 'lenet300' is not the cross-entropy of what the network puts out"),
        (WithSmoothedLabels(), "the loss of 'lenet300' is not the cross-entropy of what the network puts out"),
        (LabelsAlone(), "the loss of 'lenet300' takes labels alone, no probabilities"),
    ],
    ids=["autoencoder", "regression", "another loss", "scaled outputs", "smoothed labels", "labels alone"],
)
def test_what_learns_no_labels_by_the_cross_entropy_is_refused(few_data: DataOf, task: Task, message: str) -> None:
    phases = [Training(**EPOCH), Training(**EPOCH, distill=HALF)]
    with pytest.raises(ArgumentError, match=message):
        rehearse(task, {}, phases, few_data(task))


def test_numbers_out_of_range_are_refused() -> None:
    for wrong in ({"weight": 0}, {"weight": 1.1}, {"temperature": 0}, {"teacher": "x"}):
        with pytest.raises(ValidationError):
            Distill.model_validate(wrong)
    assert "distill" not in Training(**EPOCH).model_dump()
