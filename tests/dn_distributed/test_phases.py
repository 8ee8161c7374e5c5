"""A training in phases: each does what it says, and together they can be interrupted anywhere."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from dn_distributed.config import Drop, Pruning, Training
from dn_distributed.pruning import Cut
from dn_distributed.regularizers import resolve
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from dn_distributed.training.parts import Single
from dn_distributed.training.phases import Phase, phases_of
from dn_distributed.training.shrinking import ShrinkingStack
from tests.dn_distributed.own_models import GroupNormResNet
from tests.dn_distributed.support import DataOf, assert_resumes_at_every_step, make_task

MakePhased = Callable[..., Trainer]
EPOCH = {"epochs": 1, "batch_size": 40}
"""Of five steps, with the 200 samples of ``few_data``."""


@pytest.fixture(scope="module")
def make(few_data: DataOf) -> MakePhased:
    def make(
        task: Task,
        seeds: Sequence[int],
        *phases: dict[str, Any],
        threshold: Cut = 0.0,
        proximal: bool = False,
        always_shrink: bool = False,
        **coefficients: float,
    ) -> Trainer:
        return Trainer(
            task,
            resolve(coefficients),
            [Training(**{**EPOCH, **phase}) for phase in phases],
            threshold,
            few_data(task).for_seeds(seeds),
            seeds,
            proximal=proximal,
            always_shrink=always_shrink,
        )

    return make


def test_steps_and_epochs_are_counted_over_all_phases() -> None:
    found = phases_of([Training(steps=7, batch_size=50), Training(epochs=2, batch_size=40)], 200)
    assert [(p.first_step, p.end, p.first_epoch, p.num_epochs) for p in found] == [(0, 7, 0, 2), (7, 17, 2, 2)]
    first, second = found
    assert [first.epoch(step) for step in range(7)] == [0, 0, 0, 0, 1, 1, 1]
    assert [second.epoch_end(step) for step in range(7, 17)] == [12] * 5 + [17] * 5
    assert first.epoch_end(5) == 7
    with pytest.raises(ValueError, match="at least one phase"):
        phases_of([], 200)


def test_one_training_is_the_same_in_one_phase_as_in_several(make: MakePhased) -> None:
    task = make_task("lenet300")
    whole, parts = make(task, [1, 2], {"epochs": 3}, l1=1e-4), make(task, [1, 2], {}, {"epochs": 2}, l1=1e-4)
    reports = [list(trainer.run()) for trainer in (whole, parts)]
    assert torch.equal(whole.replicas.values, parts.replicas.values)
    assert reports[0] == reports[1]
    assert (parts.num_epochs, parts.num_steps) == (3, 15)


def test_another_optimizer_begins_afresh_and_the_same_goes_on(make: MakePhased) -> None:
    task = make_task("lenet300")
    for second, goes_on in (({"optimizer": "adamw", "weight_decay": 0.1}, True), ({"optimizer": "sgd"}, False)):
        trainer = make(task, [1], {}, second)
        trainer.advance(5)
        assert "first_moment" in trainer.state()
        trainer.advance(1)
        state = trainer.state()
        assert ("adam_step" in state and state["adam_step"] == 6) == goes_on
        assert ("momentum" in state) != goes_on


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("on", [1, 1, 1, 1]),
        ("off", [0, 0, 0, 0]),
        ("linear", [0.25, 0.5, 0.75, 1]),
        ("exponential", [1e-3**0.75, 1e-3**0.5, 1e-3**0.25, 1]),
    ],
)
def test_penalties_act_grow_or_rest(said: str, expected: list[float]) -> None:
    phase = Phase(1, Training(steps=4, batch_size=1, penalties=said), 10, 2, 2)  # type: ignore[arg-type]
    assert [phase.penalty_factor(step) for step in range(10, 14)] == pytest.approx(expected)


def test_without_penalties_a_phase_trains_as_a_method_without_them(make: MakePhased) -> None:
    task = make_task("lenet300")
    resting, without = make(task, [1], {"penalties": "off"}, l1=0.1, dn=0.1), make(task, [1], {})
    grown = make(task, [1], {"penalties": "linear"}, l1=0.1)
    for trainer in (resting, without, grown):
        trainer.advance(5)
    assert torch.equal(resting.replicas.values, without.replicas.values)
    assert not torch.equal(resting.replicas.values, grown.replicas.values)


_FINE_TUNED: list[tuple[dict[str, Any], ...]] = [
    ({}, {"fixed_structure": True}),
    ({"drop": Drop(to=0.5, score="norm", every=3)}, {"fixed_structure": True, "batch_size": 50}),
]


@pytest.mark.parametrize(
    ("phases", "always_shrink"),
    [
        (({"steps": 3, "epochs": None}, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01}), False),
        (
            (
                {},
                {"epochs": 2, "drop": Drop(to=0.3, every=2, samples=50), "optimizer": "adamw", "weight_decay": 0.1},
                {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine", "learning_rate": 0.01},
            ),
            False,
        ),
        *((phases, always_shrink) for phases in _FINE_TUNED for always_shrink in (False, True)),
    ],
    ids=[
        *("two optimisers", "drop", "fine-tune", "fine-tune, always smaller"),
        *("drop and fine-tune", "drop and fine-tune, always smaller"),
    ],
)
def test_interrupted_at_every_step_it_ends_with_the_same_bits(
    make: MakePhased, phases: tuple[dict[str, Any], ...], always_shrink: bool
) -> None:
    def fresh() -> Trainer:
        options = {"threshold": 0.005, "l1": 1e-4, "dropout": 0.2, "input_dropout": 0.1}
        return make(make_task("lenet300"), [1, 2], *phases, always_shrink=always_shrink, **options)

    there, here, straight = fresh(), fresh(), fresh()
    reports = list(straight.run())
    assert_resumes_at_every_step(here, there, straight)
    resumed = fresh()
    resumed.load_state(fresh().state())
    assert list(resumed.run()) == reports


def test_a_replicate_does_not_depend_on_its_pack(make: MakePhased) -> None:
    phases: list[dict[str, Any]] = [{}, {"epochs": 2, "drop": Drop(to=0.2, every=2, samples=50)}, {"optimizer": "sgd"}]
    for task in (make_task("lenet300"), make_task("lenet5_caffe")):
        pack, alone = (make(task, seeds, *phases, l1=1e-4, input_dropout=0.1) for seeds in ([1, 2, 3], [2]))
        for trainer in (pack, alone):
            for _ in trainer.run():
                pass
        assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])
        assert pack.outcomes()[1].scores == alone.outcomes()[0].scores


def test_fine_tuning_keeps_what_pruning_leaves(make: MakePhased) -> None:
    task = make_task("lenet300")
    trainer = make(task, [1, 2], {"epochs": 2}, {"epochs": 2, "fixed_structure": True}, threshold=0.01, l1=1e-3)
    trainer.advance(10)
    before = [outcome.masks for outcome in trainer.outcomes()]
    trainer.advance(10)
    for masks, outcome in zip(before, trainer.outcomes(), strict=True):
        assert all(not (outcome.masks[name] & ~mask).any() for name, mask in masks.items())
        small = sum(int(((w.abs() < 0.01) & (w != 0)).sum()) for n, w in outcome.parameters.items() if "weight" in n)
        assert small > 0, "weights that became small while fine-tuning are left alone"
        assert (
            outcome.scores["validation/accuracy/before_pruning"] == outcome.scores["validation/accuracy/after_pruning"]
        )


def test_fine_tuning_begins_with_the_pruned_network(make: MakePhased) -> None:
    """Units that no path reaches give a constant: that it goes into biases changes nothing."""
    for task in (make_task("lenet300"), make_task("autoencoder"), make_task("lenet5"), make_task("lenet5_caffe")):
        trainer = make(
            task, [1], {"epochs": 2}, {"fixed_structure": True, "learning_rate": 1e-30}, threshold=0.02, l1=3e-3
        )
        trainer.advance(10)
        (before,) = trainer.outcomes()
        trainer.advance(5)
        (after,) = trainer.outcomes()
        name = f"{task.scores[0].name}/after_pruning"
        assert after.scores[f"test/{name}"] == pytest.approx(before.scores[f"test/{name}"], rel=1e-4)
        assert after.counts.neurons_alive == before.counts.neurons_alive
        assert after.counts.num_nonzero <= before.counts.num_nonzero


@pytest.mark.parametrize("name", ["lenet300", "autoencoder", "lenet5", "lenet5_caffe"])
def test_fine_tuned_in_smaller_tensors_it_is_the_same_network_but_for_rounding(make: MakePhased, name: str) -> None:
    phases: list[dict[str, Any]] = [{"epochs": 2}, {"epochs": 2, "fixed_structure": True}, {"optimizer": "sgd"}]
    penalties = {"l1": 1e-3, "dn": 1e-4, "dropout": 0.1 if name == "lenet300" else 0}
    small, large = (
        make(
            make_task(name),
            [1],
            *({**phase, "shrink": shrink} for phase in phases),
            threshold=Pruning(target_density=0.05),
            always_shrink=shrink,
            **penalties,
        )
        for shrink in (True, False)
    )
    for trainer in (small, large):
        trainer.advance(trainer.num_steps)
    assert len(singles(small)[0].replica.index) < 0.98 * large.replicas.values.shape[1]
    assert not singles(large)
    (one,), (other,) = small.outcomes(), large.outcomes()
    assert all(torch.equal(mask, other.masks[layer]) for layer, mask in one.masks.items())
    for score, value in one.scores.items():
        assert value == pytest.approx(other.scores[score], rel=1e-5)


def singles(trainer: Trainer) -> list[Single]:
    """The replicates that are trained in tensors of their own."""
    shrinking = trainer._phase_run._shrinking
    assert shrinking is not None
    return shrinking._singles()


def test_a_replicate_does_not_depend_on_what_others_are_in_tensors_of_their_own(
    make: MakePhased, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three some get smaller and the others stay a stack; alone, each goes the same way."""
    left = [0, 0, 0]
    monkeypatch.setattr(
        ShrinkingStack, "_is_worth_it", lambda _shrinking, _before, after: len(after.units["fc2"]) < min(left)
    )
    phases: list[dict[str, Any]] = [
        {},
        {"fixed_structure": True, "steps": 3, "epochs": None},
        {"steps": 7, "epochs": None},
    ]

    def fresh(seeds: Sequence[int]) -> Trainer:
        pruning = Pruning(target_density=0.01)
        return make(make_task("lenet300"), seeds, *phases, threshold=pruning, l1=1e-3, input_dropout=0.1)

    def trained(seeds: Sequence[int]) -> Trainer:
        trainer = fresh(seeds)
        trainer.advance(8)
        return trainer

    whole = trained([1, 2, 3])
    assert singles(whole) == []
    for row, outcome in enumerate(whole.outcomes()):
        left[row] = int(outcome.masks["fc2"].any(1).sum())
    assert len(set(left)) > 1
    left[:] = [max(left)]
    mixed = trained([1, 2, 3])
    assert 0 < len(singles(mixed)) < 3
    resumed = fresh([3, 2])
    resumed.load_state(mixed.state())
    for trainer in (mixed, resumed):
        trainer.advance(trainer.num_steps)
        trainer.outcomes()
    assert torch.equal(mixed.replicas.values[[2, 1]], resumed.replicas.values)
    for row, seed in enumerate([1, 2, 3]):
        alone = trained([seed])
        alone.advance(alone.num_steps)
        alone.outcomes()
        assert torch.equal(alone.replicas.values[0], mixed.replicas.values[row])


@pytest.mark.parametrize(("steps", "gets_smaller"), [(20, False), (2000, True)])
def test_a_phase_gets_smaller_tensors_where_it_is_long_enough_to_pay(
    make: MakePhased, steps: int, gets_smaller: bool
) -> None:
    fixed = {"steps": steps, "epochs": None, "fixed_structure": True}
    for name, can in (("lenet300", True), ("regression", False)):
        trainer = make(make_task(name), [1, 2], {}, fixed, threshold=Pruning(target_density=0.003))
        trainer.advance(6)
        assert len(singles(trainer)) == (2 if can and gets_smaller else 0)


def test_what_a_proximal_phase_left_at_zero_is_gone_when_units_begin_to_drop(make: MakePhased) -> None:
    first, second = {"epochs": 2, "learning_rate": 0.01}, {"drop": Drop(to=0.01, every=50, power=0.1)}
    trainer = make(make_task("lenet300", initial="he"), [1], first, second, proximal=True, dn=1e-3)
    trainer.advance(10)
    (before,) = trainer.outcomes()
    assert 0.01 < before.counts.dense_size / before.counts.num_weights < 0.7
    outputs = trainer.replicas.forward(trainer._splits.test.inputs.unsqueeze(0))
    trainer._phase_run = trainer._phase_run_of(1, before=trainer._phase_run)
    trainer._phase_run.begin(0.0)
    (single,) = singles(trainer)
    assert len(single.replica.index) == pytest.approx(before.counts.dense_size, rel=0.01)
    (after,) = trainer.outcomes()
    assert after.counts.dense_size == before.counts.dense_size
    torch.testing.assert_close(trainer.replicas.forward(trainer._splits.test.inputs.unsqueeze(0)), outputs)
    trainer.advance(4)
    (later,) = trainer.outcomes()
    assert all(not (later.masks[name] & ~mask).any() for name, mask in whole_units(after.masks).items())


def whole_units(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where both a unit and what it reads are there."""
    return {name: mask.any(1, keepdim=True) & mask.any(0, keepdim=True) for name, mask in masks.items()}


def test_without_shrinking_tensors_stay_as_they_are(make: MakePhased) -> None:
    phases: list[dict[str, Any]] = [{}, {"drop": Drop(to=0.2, every=2, samples=50)}, {"fixed_structure": True}]
    sizes = []
    for shrink in (True, False):
        trainer = make(make_task("lenet300"), [1], *({**phase, "shrink": shrink} for phase in phases), threshold=0.01)
        trainer.advance(14)
        (single,) = singles(trainer)
        sizes.append(len(single.replica.index))
    assert sizes[0] < 0.3 * sizes[1]
    assert sizes[1] == 266200 + 410


def test_what_is_no_chain_is_fine_tuned_by_its_masks_and_refused_where_units_drop(make: MakePhased) -> None:
    task = GroupNormResNet()
    trainer = make(task, [1, 2], {}, {"fixed_structure": True}, threshold=0.05)
    trainer.advance(5)
    left = [outcome.masks["fc"] for outcome in trainer.outcomes()]
    trainer.advance(5)
    for mask, outcome in zip(left, trainer.outcomes(), strict=True):
        assert torch.equal(outcome.masks["fc"], mask)
    for threshold in (0.05, 0.0):
        whole, resumed = (make(task, [1], {}, {"fixed_structure": True}, threshold=threshold) for _ in range(2))
        whole.advance(7)
        resumed.load_state(whole.state())
        for trainer in (whole, resumed):
            trainer.advance(3)
        assert torch.equal(whole.replicas.values, resumed.replicas.values)
    with pytest.raises(ValueError, match="cannot be dropped while it trains: module 'bn1' is a GroupNorm"):
        make(task, [1], {"drop": Drop(to=0.5)})


def test_a_phase_says_one_thing_about_structure() -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        Training(steps=1, batch_size=1, fixed_structure=True, drop=Drop(to=0.5))
    for wrong in ({"to": 0}, {"to": 1}, {"to": 0.5, "over": 0}, {"to": 0.5, "score": "x"}, {"to": 0.5, "every": 0}):
        with pytest.raises(ValidationError):
            Drop(**wrong)


def test_defaults_of_phases_leave_no_trace_in_an_identity() -> None:
    given = Training(
        steps=1, batch_size=1, penalties="on", fixed_structure=False, drop=None, shrink=True, precision="float32"
    )
    assert given.model_dump().keys() == Training(steps=1, batch_size=1).model_dump().keys()
    assert math.isclose(Training(steps=1, batch_size=1, drop=Drop(to=0.5)).model_dump()["drop"]["to"], 0.5)
