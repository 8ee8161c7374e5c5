"""RigL: a fixed number of weights, which move."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from dn_distributed.config import Drop, Prune, Rewire, Training
from dn_distributed.errors import ArgumentError
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from dn_distributed.training.phases import phases_of
from dn_distributed.training.rehearsal import rehearse
from dn_distributed.training.rewiring import num_weights_of
from tests.dn_distributed.own_models import GroupNormResNet
from tests.dn_distributed.support import EPOCH, DataOf, MakeTrainer, assert_resumes_at_every_step, make_task

RIGL = {"epochs": 3, "rewire": Rewire(density=0.1, every=3, until=1.0)}
LENET300 = [torch.Size(shape) for shape in ((300, 784), (100, 300), (10, 100))]


def masks_of(trainer: Trainer) -> dict[str, Tensor]:
    structure = trainer._phase_run._whole.structure
    assert structure is not None
    views = trainer.replicas.views(structure)
    return {layer: views[f"{layer}.weight"] != 0 for layer in trainer.task.layers}


def test_layers_have_the_shares_of_a_random_graph_and_the_sum_is_exact() -> None:
    for density in (0.01, 0.05, 0.3):
        found = num_weights_of(LENET300, Rewire(density=density))
        sizes = [shape.numel() for shape in LENET300]
        assert sum(found) == round(density * sum(sizes))
        assert num_weights_of(LENET300, Rewire(density=density, layers="uniform")) == pytest.approx(
            [density * size for size in sizes], abs=1
        )
    one, two, three = num_weights_of(LENET300, Rewire(density=0.01))
    assert one / two == pytest.approx((784 + 300) / (300 + 100), rel=0.01)
    assert two / three == pytest.approx(400 / 110, rel=0.01)
    kernels = [torch.Size((20, 1, 5, 5)), torch.Size((50, 20, 5, 5)), torch.Size((500, 800)), torch.Size((10, 500))]
    found = num_weights_of(kernels, Rewire(density=0.01))
    assert sum(found) == round(0.01 * 430_500)
    assert found[1] / found[2] == pytest.approx(80 / 1300, rel=0.05)
    found = num_weights_of(LENET300, Rewire(density=0.2))
    assert found[2] == 1000, "no layer has more than all weights"
    assert sum(found) == round(0.2 * 266_200)


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe", "own"])
def test_each_layer_keeps_its_number_of_weights_and_zeros_are_exact(make_phased: MakeTrainer, task: str) -> None:
    chosen: Task = GroupNormResNet() if task == "own" else make_task(task)
    trainer = make_phased(chosen, [1, 2], RIGL, l1=1e-5)
    first = masks_of(trainer)
    shapes = [first[layer].shape[1:] for layer in chosen.layers]
    expected = num_weights_of(shapes, Rewire(density=0.1))
    assert any(not torch.equal(*masks) for masks in first.values())
    for _ in range(trainer.num_steps):
        trainer.advance(1)
        for (layer, mask), count in zip(masks_of(trainer).items(), expected, strict=True):
            assert mask.flatten(1).sum(1).tolist() == [count, count]
            assert not trainer.replicas.parameters[f"{layer}.weight"][~mask].any()
    last = masks_of(trainer)
    assert any(not torch.equal(last[layer], first[layer]) for layer in chosen.layers)
    assert all(outcome.counts.num_nonzero <= sum(expected) for outcome in trainer.outcomes())


def test_a_penalty_has_no_part_in_where_weights_grow(make_phased: MakeTrainer) -> None:
    """Its gradient is that of a sign, the same for all that were just lost: with it they would come back at once."""
    trainer = make_phased(make_task("lenet300", initial="he"), [1], {**RIGL, "steps": 15, "epochs": None}, l1=1e7)
    trainer.advance(6)
    before = masks_of(trainer)
    trainer.advance(1)
    after = masks_of(trainer)
    assert any(bool((after[layer] & ~before[layer]).any()) for layer in trainer.task.layers)


def test_the_smallest_go_and_those_with_the_largest_gradients_come_at_zero(make_phased: MakeTrainer) -> None:
    trainer = make_phased(make_task("lenet300", initial="he"), [1], {**RIGL, "steps": 15, "epochs": None}, l1=1e-5)
    trainer.advance(6)
    before, old = masks_of(trainer), {k: v.clone() for k, v in trainer.replicas.parameters.items()}
    moments = trainer.state()
    trainer.advance(1)
    after = masks_of(trainer)
    gradients = trainer.replicas.views(trainer.replicas.gradients)
    share = 0.3 / 2 * (1 + math.cos(math.pi * 6 / 15))
    for layer in trainer.task.layers:
        name = f"{layer}.weight"
        one, two, weight = before[layer], after[layer], old[name]
        count = int(share * int(one.sum()))
        stays = one & (weight.abs() > weight[one].abs().sort().values[count - 1])
        assert int(one.sum()) - int(stays.sum()) == count
        assert bool((two & stays == stays).all())
        come = two & ~stays
        gradient = gradients[name].abs()
        assert bool(two.all()) or gradient[come].min() >= gradient[~two].max()
        assert not trainer.replicas.parameters[name][two & ~one].any(), "what is new is 0"
        assert torch.equal(trainer.replicas.parameters[name][one & two], weight[one & two]), "what stays is as it was"
    state = trainer.state()
    for name in ("first_moment", "second_moment"):
        structures = [state["structure"] != 0, moments["structure"] != 0]
        assert torch.equal(state[name], moments[name].where(structures[0] & structures[1], 0))


def test_weights_stay_where_they_are_after_the_share_of_the_phase(make_phased: MakeTrainer) -> None:
    trainer = make_phased(
        make_task("lenet300"), [1], {"epochs": 4, "rewire": Rewire(density=0.1, every=2, until=0.5)}, {}
    )
    trainer.advance(9)
    masks = masks_of(trainer)
    trainer.advance(16)
    assert all(torch.equal(mask, masks[name]) for name, mask in masks_of(trainer).items())


PHASES: list[tuple[dict[str, Any], ...]] = [
    (RIGL, {"optimizer": "sgd", "learning_rate": 0.01}),
    ({**RIGL, "epochs": 1}, {**RIGL, "epochs": 1}, {"steps": 3, "epochs": None, "fixed_structure": True}),
    ({"steps": 2, "epochs": None}, {**RIGL, "epochs": 1}, {"prune": Prune(keep=0.5), "steps": 3, "epochs": None}),
]


@pytest.mark.parametrize("phases", PHASES, ids=["alone", "in two phases, then fixed", "then pruned"])
def test_interrupted_at_every_step_it_ends_with_the_same_bits(
    make_phased: MakeTrainer, phases: tuple[dict[str, Any], ...]
) -> None:
    there, here, straight = (
        make_phased(make_task("lenet300"), [1, 2], *phases, l1=1e-4, dropout=0.2) for _ in range(3)
    )
    for _ in straight.run():
        pass
    assert_resumes_at_every_step(here, there, straight)


@pytest.mark.parametrize("phases", PHASES, ids=["alone", "in two phases, then fixed", "then pruned"])
def test_a_replicate_does_not_depend_on_its_pack(make_phased: MakeTrainer, phases: tuple[dict[str, Any], ...]) -> None:
    pack, alone = (make_phased(make_task("lenet300"), seeds, *phases, l1=1e-4) for seeds in ([1, 2, 3], [2]))
    for trainer in (pack, alone):
        trainer.advance(trainer.num_steps)
    assert pack.outcomes()[1].scores == alone.outcomes()[0].scores
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])


def test_later_phases_keep_the_zeros(make_phased: MakeTrainer) -> None:
    for phases in PHASES:
        trainer = make_phased(make_task("lenet300"), [1], *phases)
        last = max(number for number, phase in enumerate(phases) if "rewire" in phase)
        trainer.advance(trainer.phases[last].end)
        masks = masks_of(trainer)
        trainer.advance(trainer.num_steps)
        (outcome,) = trainer.outcomes()
        assert all(not (outcome.masks[name] & ~mask[0]).any() for name, mask in masks.items())
        assert outcome.counts.num_nonzero > 0


def test_what_does_not_go_together_is_refused(make_phased: MakeTrainer, few_data: DataOf) -> None:
    task = make_task("lenet300")
    others: list[dict[str, Any]] = [{"fixed_structure": True}, {"drop": Drop(to=0.5)}, {"prune": Prune(keep=0.5)}]
    for other in others:
        with pytest.raises(ValidationError, match="give them other phases"):
            Training(**EPOCH, rewire=Rewire(density=0.1), **other)
        with pytest.raises(ValueError, match="cannot come after one that drops or prunes"):
            make_phased(task, [1], other, RIGL)
    with pytest.raises(ValueError, match="'prune' or 'rewire': put it before"):
        make_phased(task, [1], RIGL, {"drop": Drop(to=0.5)})
    with pytest.raises(ValueError, match="have the same 'density' and 'layers'"):
        make_phased(task, [1], RIGL, {"rewire": Rewire(density=0.2)})
    with pytest.raises(ArgumentError, match='penalties: "off"'):
        make_phased(task, [1], RIGL, l0=1e-3)
    assert rehearse(task, {}, [Training(**{**EPOCH, **RIGL})], few_data(task)) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rewire": Rewire(density=0.1, every=12)}, "none would ever move"),
        ({"rewire": Rewire(density=0.1, every=8, until=0.5)}, "up to step 8 of the phase"),
        ({"warmup_steps": 17}, "'warmup_steps' is 17, and the phase ends after 16"),
    ],
)
def test_a_phase_that_is_too_short_for_what_it_is_to_do_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        phases_of(Training(steps=16, batch_size=50, **changes), 200)


def test_a_phase_that_is_just_long_enough_is_taken() -> None:
    moves = Training(steps=17, batch_size=50, warmup_steps=17, rewire=Rewire(density=0.1, every=12))
    (phase,) = phases_of(moves, 200)
    assert phase.last_move == 13
