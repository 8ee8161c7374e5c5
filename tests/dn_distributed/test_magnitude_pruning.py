"""Magnitude pruning: once and in rounds, going on or back to earlier values."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from dn_distributed import pruning
from dn_distributed.config import Drop, Prune, Training
from dn_distributed.data import Data
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training.phases import phases_of
from dn_distributed.training.rehearsal import rehearse
from tests.dn_distributed.own_models import GroupNormResNet
from tests.dn_distributed.support import EPOCH, DataOf, MakeTrainer, assert_resumes_at_every_step, make_task


def test_the_largest_share_of_what_is_left_stays() -> None:
    draw = torch.Generator().manual_seed(0)
    weights = {"one": torch.randn(3, 5, 8, generator=draw), "two": torch.randn(3, 10, 5, generator=draw)}
    weights["one"][1, :4] = 0
    for within in ("network", "layer"):
        left = pruning.masks(weights, Prune(keep=0.3, within=within))
        for row in range(3):
            groups = [["one", "two"]] if within == "network" else [["one"], ["two"]]
            for names in groups:
                sizes = torch.cat([weights[name][row].flatten() for name in names]).abs()
                stays = torch.cat([left[name][row].flatten() for name in names])
                assert int(stays.sum()) == round(0.3 * int((sizes != 0).sum()))
                assert sizes[stays].min() > sizes[~stays].max()
    almost_all = pruning.masks({"two": weights["two"]}, Prune(keep=0.999))
    assert bool(almost_all["two"].all())


def test_rounds_are_phases() -> None:
    dense = Training(steps=7, batch_size=50)
    found = phases_of([dense, Training(steps=4, batch_size=50, prune=Prune(keep=0.5, rounds=3, rewind_to=2))], 200)
    assert [(phase.first_step, phase.end) for phase in found] == [(0, 7), (7, 11), (11, 15), (15, 19)]
    assert [phase.rewind_to for phase in found] == [None, 2, 2, 2]
    with pytest.raises(ValueError, match="'rewind_to' is step 8, and that phase begins before, at 7"):
        phases_of([dense, Training(steps=4, batch_size=50, prune=Prune(keep=0.5, rewind_to=8))], 200)
    with pytest.raises(ValueError, match="put it before"):
        phases_of([Training(steps=4, batch_size=50, prune=Prune(keep=0.5)),
                   Training(steps=4, batch_size=50, drop=Drop(to=0.5))], 200)  # fmt: skip


@pytest.mark.parametrize("step", [5, 3, 0])
def test_each_round_that_goes_back_begins_the_optimiser_anew(make_phased: MakeTrainer, step: int) -> None:
    """The first one too where it goes back to the very step that it begins at."""
    trainer = make_phased(make_task("lenet300"), [1], {}, {"prune": Prune(keep=0.5, rounds=2, rewind_to=step)})
    for first in (5, 10):
        trainer.advance(first + 1 - trainer.step)
        assert int(trainer.state()["adam_step"]) == 1


def nonzero(replicas: Replicas) -> dict[str, Tensor]:
    return {name: weight != 0 for name, weight in replicas.weights().items()}


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe", "own"])
def test_weights_go_back_to_exactly_the_values_of_a_step(make_phased: MakeTrainer, task: str, step: int) -> None:
    chosen: Task = GroupNormResNet() if task == "own" else make_task(task)
    trainer = make_phased(chosen, [1, 2], {}, {"prune": Prune(keep=0.5, rounds=2, rewind_to=step)}, l1=1e-3)
    trainer.advance(step)
    early = trainer.replicas.values.clone()
    masks: list[dict[str, Tensor]] = []
    for end in (5, 10):
        trainer.advance(end - trainer.step)
        trainer.outcomes()
        trained = {name: weight.clone() for name, weight in trainer.replicas.weights().items()}
        trainer._phase_run = trainer._phase_run_of(trainer._phase_run.phase.number + 1, before=trainer._phase_run)
        trainer._begin()
        trainer.outcomes()
        values = trainer.replicas.values
        assert torch.equal(values, early.where(values != 0, 0))
        assert all(float(tensor.abs().sum()) == 0 for name, tensor in trainer.state().items() if "moment" in name)
        left, expected = nonzero(trainer.replicas), pruning.masks(trained, Prune(keep=0.5))
        assert all(not (left[name] & ~mask).any() for name, mask in expected.items())
        gone = sum(int((mask & ~left[name]).sum()) for name, mask in expected.items())
        assert gone < 0.15 * sum(int(mask.sum()) for mask in expected.values()), "only what is dead goes besides"
        masks.append(left)
    assert all(not (masks[1][name] & ~mask).any() for name, mask in masks[0].items())
    trainer.advance(trainer.num_steps)
    trainer.outcomes()
    for name, weight in trainer.replicas.weights().items():
        assert not weight[~masks[1][name]].any()


def test_without_going_back_training_goes_on_from_the_pruned_network(make_phased: MakeTrainer) -> None:
    task = make_task("lenet300")
    trainer = make_phased(task, [1], {}, {"prune": Prune(keep=0.2, within="layer"), "learning_rate": 1e-30})
    trainer.advance(5)
    before = pruning.prune(trainer.replicas.weights(), Prune(keep=0.2, within="layer"))
    trainer.advance(5)
    trainer.outcomes()
    for name, weight in trainer.replicas.weights().items():
        torch.testing.assert_close(weight, before[name].where(weight != 0, 0))
        assert int((weight != 0).sum()) >= 0.9 * int((before[name] != 0).sum())


ROUNDS: list[tuple[dict[str, Any], ...]] = [
    ({"steps": 3, "epochs": None}, {"steps": 3, "epochs": None, "prune": Prune(keep=0.3, rounds=2, rewind_to=2)}),
    (
        {"steps": 4, "epochs": None, "drop": Drop(to=0.3, every=2, samples=50)},
        {"steps": 3, "epochs": None, "prune": Prune(keep=0.5, rounds=2)},
    ),
    (
        {"steps": 3, "epochs": None, "prune": Prune(keep=0.3, within="layer")},
        {"steps": 3, "epochs": None, "fixed_structure": True, "optimizer": "sgd", "learning_rate": 0.01},
    ),
]


@pytest.mark.parametrize("phases", ROUNDS, ids=["back", "after drop", "then fine-tuned"])
def test_interrupted_at_every_step_it_ends_with_the_same_bits(
    make_phased: MakeTrainer, phases: tuple[dict[str, Any], ...]
) -> None:
    there, here, straight = (
        make_phased(make_task("lenet300"), [1, 2], *phases, l1=1e-4, dropout=0.2) for _ in range(3)
    )
    for _ in straight.run():
        pass
    assert_resumes_at_every_step(here, there, straight)


@pytest.mark.parametrize("phases", ROUNDS, ids=["back", "after drop", "then fine-tuned"])
def test_a_replicate_does_not_depend_on_its_pack(make_phased: MakeTrainer, phases: tuple[dict[str, Any], ...]) -> None:
    pack, alone = (make_phased(make_task("lenet300"), seeds, *phases, l1=1e-4) for seeds in ([1, 2, 3], [2]))
    for trainer in (pack, alone):
        trainer.advance(trainer.num_steps)
    assert pack.outcomes()[1].scores == alone.outcomes()[0].scores
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])


def test_a_rehearsal_finds_what_does_not_go_together(few_data: DataOf) -> None:
    task = make_task("lenet300")
    data: Data = few_data(task)
    good = [Training(**EPOCH), Training(**EPOCH, prune=Prune(keep=0.8, rounds=20, rewind_to=5))]
    assert rehearse(task, {}, good, data) == []
    with pytest.raises(ValueError, match="'rewind_to' is step 6"):
        rehearse(task, {}, [good[0], Training(**EPOCH, prune=Prune(keep=0.8, rewind_to=6))], data)
    others: list[dict[str, Any]] = [{"fixed_structure": True}, {"drop": Drop(to=0.5)}]
    for other in others:
        with pytest.raises(ValidationError, match="phases of their own"):
            Training(**EPOCH, prune=Prune(keep=0.5), **other)
