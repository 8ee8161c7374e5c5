import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from dn_distributed import pruning, sparsity
from dn_distributed.config import Training
from dn_distributed.data import Data, Split, Splits
from dn_distributed.regularizers import build_penalties, resolve
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.tasks.regression import Regression
from dn_distributed.training import EpochReport, Outcome, Trainer
from tests.dn_distributed.support import DataOf, MakeTrainer, make_task

# --- reports -----------------------------------------------------------------------------------------------


def test_run_reports_each_epoch_and_a_last_partial_one(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], batch_size=100, steps=12)
    assert [(report.epoch, report.step) for report in trainer.run()] == [(1, 5), (2, 10), (3, 12)]


def test_run_reports_no_empty_epoch(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], batch_size=100, epochs=2)
    assert [(report.epoch, report.step) for report in trainer.run()] == [(1, 5), (2, 10)]


def test_a_finished_training_has_nothing_left_to_run(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], steps=3)
    trainer.advance(1000)
    assert (trainer.step, trainer.finished, list(trainer.run())) == (3, True, [])


def test_a_report_holds_a_number_per_replicate(make_trainer: MakeTrainer) -> None:
    (report,) = make_trainer(LeNet300(), [1, 2, 3], steps=2).run()
    assert set(report.metrics) == {
        "train/loss",
        "validation/loss",
        "validation/accuracy",
        "num_nonzero",
        "neurons_alive",
    }
    assert {len(values) for values in report.metrics.values()} == {3}


def test_train_loss_is_the_mean_over_the_steps_of_the_epoch_without_penalties(
    make_trainer: MakeTrainer, data_of: DataOf
) -> None:
    """With a learning rate that changes nothing, it is the mean loss over the epoch's samples."""
    task = LeNet300()
    trainer = make_trainer(task, [1], {"l1": 1.0}, epochs=1, learning_rate=1e-30, batch_size=50, shuffle=False)
    train = data_of(task).for_seeds([1]).train
    (report,) = trainer.run()
    used = slice(0, len(train.inputs) // 50 * 50)
    outputs = plain(trainer)(train.inputs[used])
    assert report.metrics["train/loss"] == pytest.approx([task.loss(outputs, train.targets[used]).item()], rel=1e-5)


def test_the_last_report_agrees_with_the_outcome(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(LeNet300(), [1, 2], {"l1": 1e-4}, epochs=1)
    (report,) = trainer.run()
    for row, outcome in enumerate(trainer.outcomes()):
        assert report.metrics["num_nonzero"][row] == outcome.counts.num_nonzero
        assert report.metrics["neurons_alive"][row] == outcome.counts.neurons_alive
        assert report.metrics["validation/accuracy"][row] == outcome.scores["validation/accuracy/before_pruning"]


# --- length, order and learning rate -----------------------------------------------------------------------


def poisoned(samples: int, sample: int | None = None) -> Data:
    """A regression on random numbers, one training sample of which makes whoever meets it diverge."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(samples, 20, generator=draw), torch.randn(samples, 1, generator=draw)
    clean = Split(inputs.clone(), targets)
    if sample is not None:
        inputs[sample] = math.nan
    return Data("digest", samples, shared=Splits(Split(inputs, targets), clean, clean))


def steps_until_divergence(trainer: Trainer) -> list[int]:
    """Per replicate, after how many more steps it has met the poisoned sample."""
    start = trainer.step
    met: dict[int, int] = {}
    while len(met) < len(trainer.seeds) and not trainer.finished:
        trainer.advance(1)
        met |= {seed: trainer.step - start for seed in trainer.diverged() if seed not in met}
    return [met[seed] for seed in trainer.seeds]


def test_epochs_and_steps_of_one_length_train_the_same(make_trainer: MakeTrainer) -> None:
    by_epochs = make_trainer(Regression(), [1], batch_size=100, epochs=2)
    by_steps = make_trainer(Regression(), [1], batch_size=100, steps=10)
    assert list(by_epochs.run()) == list(by_steps.run())
    assert torch.equal(by_epochs.replicas.values, by_steps.replicas.values)


def test_the_last_incomplete_batch_is_dropped(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], data=poisoned(7, 6), batch_size=3, epochs=3, shuffle=False)
    trainer.advance(100)
    assert (trainer.step, trainer.diverged()) == (6, [])


def test_more_samples_than_there_are_make_no_batch(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match="batch_size 8 exceeds the 7 training samples"):
        make_trainer(Regression(), [1], data=poisoned(7), batch_size=8)


@pytest.mark.parametrize("sample", [0, 1, 4, 7])
def test_without_shuffling_the_order_is_the_stored_one(make_trainer: MakeTrainer, sample: int) -> None:
    trainer = make_trainer(Regression(), [1, 2], data=poisoned(8, sample), batch_size=2, epochs=1, shuffle=False)
    assert steps_until_divergence(trainer) == [sample // 2 + 1] * 2


@pytest.mark.parametrize("sample", [0, 1, 4, 7])
def test_a_shuffled_epoch_meets_every_sample(make_trainer: MakeTrainer, sample: int) -> None:
    trainer = make_trainer(Regression(), range(5), data=poisoned(8, sample), batch_size=2, epochs=1)
    trainer.advance(4)
    assert trainer.diverged() == [0, 1, 2, 3, 4]


def test_each_replicate_has_an_order_of_its_own(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), range(10), data=poisoned(8, 0), batch_size=2, epochs=1)
    assert len(set(steps_until_divergence(trainer))) > 1


def test_each_epoch_has_an_order_of_its_own(make_trainer: MakeTrainer) -> None:
    options: dict[str, Any] = {"batch_size": 2, "epochs": 2}
    first = make_trainer(Regression(), range(10), data=poisoned(8, 0), **options)
    data = poisoned(8)
    second = make_trainer(Regression(), range(10), data=data, **options)
    second.advance(4)
    data.for_seeds([]).train.inputs[0] = math.nan
    assert steps_until_divergence(first) != steps_until_divergence(second)


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_the_learning_rate_decays_each_epoch(make_trainer: MakeTrainer, decay: float) -> None:
    """Blank inputs leave L1 as the only force on the first layer: Adam then moves by the learning rate."""
    blank = Split(torch.zeros(8, 20), torch.zeros(8, 1))
    data = Data("digest", 8, shared=Splits(blank, blank, blank))
    trainer = make_trainer(
        Regression(),
        [1],
        {"l1": 1.0},
        data=data,
        batch_size=2,
        epochs=3,
        learning_rate=0.01,
        learning_rate_decay=decay,
    )
    weight = trainer.replicas.parameters["fc1.weight"]
    far_from_zero = weight.abs() > 0.5
    for epoch in range(3):
        before = weight.clone()
        trainer.advance(4)
        moved = (before - weight)[far_from_zero] * weight[far_from_zero].sign()
        torch.testing.assert_close(moved, torch.full_like(moved, 4 * 0.01 * decay**epoch), rtol=1e-4, atol=0)


def test_a_replicate_ends_where_a_plain_loop_ends(make_trainer: MakeTrainer, data_of: DataOf) -> None:
    task, seeds, coefficients = Regression(), [1, 2], {"l1": 5.0, "l2": 1.0, "dn": 25.0}
    options = {
        "batch_size": 100,
        "epochs": 6,
        "learning_rate": 0.01,
        "learning_rate_decay": 0.9,
        "shuffle": False,
    }
    trainer = make_trainer(task, seeds, coefficients, **options)
    starts = [plain(trainer, row) for row in range(2)]
    trainer.advance(trainer.num_steps)
    train = data_of(task).for_seeds(seeds).train
    for row, network in enumerate(starts):
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        for _ in range(6):
            for batch in range(0, trainer.steps_per_epoch * 100, 100):
                inputs, targets = (part[row, batch : batch + 100] for part in (train.inputs, train.targets))
                loss = task.loss(network(inputs), targets)
                for penalty in build_penalties(resolve(coefficients)):
                    if penalty.touches == "weights":
                        loss = loss + penalty.value(network.get_parameter("fc1.weight"))
                    else:
                        loss = loss + sum(penalty.value(part.flatten()) for part in network.parameters())
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
            schedule.step()
        for name, parameter in network.named_parameters():
            trained = trainer.replicas.parameters[name][row]
            torch.testing.assert_close(trained, parameter.detach(), rtol=1e-4, atol=1e-4)


# --- interruption ------------------------------------------------------------------------------------------

Fresh = Callable[[], Trainer]
Course = tuple[Tensor, list[EpochReport]]
"""Where the replicates end, and what was reported on the way."""


@pytest.fixture(scope="module", params=["lenet300", "regression"])
def fresh(request: pytest.FixtureRequest, make_trainer: MakeTrainer, few_data: DataOf) -> Fresh:
    """A new trainer of four epochs of four steps and a last one of two, with dropout, shuffling and decay."""
    task = make_task(request.param)

    def make() -> Trainer:
        return make_trainer(
            task,
            [1, 2],
            {"l1": 1e-4, "dn": 1e-4, "dropout": 0.5},
            data=few_data(task),
            steps=18,
            batch_size=48,
            learning_rate_decay=0.9,
        )

    return make


@pytest.fixture(scope="module")
def uninterrupted(fresh: Fresh) -> Course:
    trainer = fresh()
    reports = list(trainer.run())
    return trainer.replicas.values, reports


def train_until(trainer: Trainer, step: int) -> Trainer:
    """Train with a report after each whole epoch, and stop at ``step``."""
    run = trainer.run()
    while trainer.step + trainer.steps_per_epoch <= step:
        next(run)
    trainer.advance(step - trainer.step)
    return trainer


@pytest.mark.parametrize("step", [0, 4, 7, 17])
def test_interrupted_at_any_step_it_ends_with_the_same_bits(fresh: Fresh, uninterrupted: Course, step: int) -> None:
    trainer = fresh()
    trainer.load_state(train_until(fresh(), step).state())
    reports = list(trainer.run())
    assert torch.equal(trainer.replicas.values, uninterrupted[0])
    assert reports == uninterrupted[1][step // 4 :]


def test_interrupted_at_every_step_it_ends_with_the_same_bits(fresh: Fresh, uninterrupted: Course) -> None:
    there, here = fresh(), fresh()
    while not here.finished:
        there.load_state(here.state())
        there, here = here, there
        here.advance(1)
    assert torch.equal(here.replicas.values, uninterrupted[0])


@pytest.mark.parametrize("step", [4, 6])
def test_reports_after_advancing_past_an_epoch_cover_their_own_epoch(
    fresh: Fresh, uninterrupted: Course, step: int
) -> None:
    trainer = fresh()
    trainer.advance(step)
    assert list(trainer.run())[-4:] == uninterrupted[1][-4:]


def test_a_used_trainer_can_go_back(fresh: Fresh, uninterrupted: Course) -> None:
    trainer = train_until(fresh(), 6)
    state = trainer.state()
    trainer.advance(7)
    trainer.load_state(state)
    assert list(trainer.run()) == uninterrupted[1][1:]


def test_a_used_trainer_can_go_back_to_the_start(fresh: Fresh, uninterrupted: Course) -> None:
    trainer = fresh()
    start = trainer.state()
    trainer.advance(7)
    trainer.load_state(start)
    assert list(trainer.run()) == uninterrupted[1]


def test_state_does_not_change_while_training_goes_on(fresh: Fresh) -> None:
    trainer = fresh()
    trainer.advance(3)
    state = trainer.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    trainer.advance(3)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.items())


def test_state_survives_safetensors(fresh: Fresh, uninterrupted: Course) -> None:
    trainer = fresh()
    trainer.load_state(load(save(train_until(fresh(), 7).state())))
    assert list(trainer.run()) == uninterrupted[1][1:]


@pytest.mark.parametrize("seeds", [[1, 3], [3], [1, 2, 3]])
def test_state_of_other_replicates_is_refused(make_trainer: MakeTrainer, seeds: list[int]) -> None:
    state = make_trainer(Regression(), [1, 2]).state()
    with pytest.raises(ValueError, match="other replicates"):
        make_trainer(Regression(), seeds).load_state(state)


def test_state_of_another_network_is_refused(make_trainer: MakeTrainer) -> None:
    state = make_trainer(Regression(), [1]).state()
    with pytest.raises(ValueError, match="another network"):
        make_trainer(Regression(hidden=(50,)), [1]).load_state(state)


def test_training_does_not_depend_on_the_global_generator(fresh: Fresh, uninterrupted: Course) -> None:
    torch.manual_seed(12345)
    trainer = fresh()
    trainer.advance(18)
    assert torch.equal(trainer.replicas.values, uninterrupted[0])


# --- divergence --------------------------------------------------------------------------------------------


def test_a_diverged_replicate_is_named_and_the_others_are_left_alone(make_trainer: MakeTrainer) -> None:
    sound, sick = (make_trainer(LeNet300(), [4, 5, 6], {"l1": 1e-4, "dropout": 0.5}, steps=6) for _ in range(2))
    sound.advance(6)
    sick.advance(3)
    sick.replicas.values[1, 0] = math.nan
    sick.advance(3)
    assert (sound.diverged(), sick.diverged()) == ([], [5])
    assert torch.equal(sick.replicas.values[[0, 2]], sound.replicas.values[[0, 2]])


# --- outcomes ----------------------------------------------------------------------------------------------

THRESHOLDS = {"regression": 0.5, "autoencoder": 0.5, "lenet300": 0.01, "convnet": 0.1}


def plain(trainer: Trainer, row: int = 0) -> torch.nn.Module:
    """The replicate ``row`` as the task's own network."""
    network = trainer.task.network()
    network.load_state_dict({name: view[row].clone() for name, view in trainer.replicas.parameters.items()})
    return network.eval()


def plain_scores(trainer: Trainer, outcome: Outcome, split: Split, *, pruned: bool) -> dict[str, float]:
    """Loss and scores of an outcome's parameters in the task's own network."""
    parameters = dict(outcome.parameters)
    if pruned:
        for layer, mask in outcome.masks.items():
            parameters[f"{layer}.weight"] = parameters[f"{layer}.weight"] * mask
    network = trainer.task.network()
    network.load_state_dict(parameters)
    with torch.no_grad():
        outputs = network.eval()(split.inputs)
    found = {"loss": trainer.task.loss(outputs, split.targets).item()}
    for score in trainer.task.scores:
        top, bottom = score.parts(outputs.unsqueeze(0), split.targets.unsqueeze(0))
        found[score.name] = (top / bottom).item()
    return found


@pytest.fixture(scope="module", params=THRESHOLDS)
def trained(request: pytest.FixtureRequest, make_trainer: MakeTrainer, few_data: DataOf) -> Trainer:
    task, threshold = make_task(request.param), THRESHOLDS[request.param]
    trainer = make_trainer(task, [1, 2], data=few_data(task), threshold=threshold, steps=3, batch_size=16)
    trainer.advance(3)
    return trainer


@pytest.fixture(scope="module")
def outcomes(trained: Trainer) -> list[Outcome]:
    return trained.outcomes()


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("stage", ["before_pruning", "after_pruning"])
def test_scores_are_those_of_the_plain_network(
    trained: Trainer, outcomes: list[Outcome], few_data: DataOf, split: str, stage: str
) -> None:
    data = getattr(few_data(trained.task).for_seeds(trained.seeds), split)
    for row, outcome in enumerate(outcomes):
        own = Split(data.inputs[row], data.targets[row]) if trained.task.kind == "linear" else data
        for name, value in plain_scores(trained, outcome, own, pruned=stage == "after_pruning").items():
            assert outcome.scores[f"{split}/{name}/{stage}"] == pytest.approx(value, rel=1e-5), name


def test_outcomes_are_named_by_seed(outcomes: list[Outcome]) -> None:
    assert [outcome.seed for outcome in outcomes] == [1, 2]


def test_outcome_masks_are_what_pruning_leaves_of_the_parameters(trained: Trainer, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        weights = {layer: outcome.parameters[f"{layer}.weight"] for layer in trained.task.layers}
        expected = pruning.masks(weights, trained.threshold)
        assert list(outcome.masks) == list(expected)
        assert all(torch.equal(outcome.masks[layer], mask) for layer, mask in expected.items())


def test_outcome_counts_are_those_of_its_masks_by_the_rule_of_the_task(
    trained: Trainer, outcomes: list[Outcome]
) -> None:
    for outcome in outcomes:
        assert outcome.counts == sparsity.count(outcome.masks, trained.task.hidden_rule)


def test_pruning_removes_something_here(outcomes: list[Outcome]) -> None:
    assert all(0 < outcome.counts.density < 1 for outcome in outcomes)


def test_outcomes_do_not_change_while_training_goes_on(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], steps=4)
    trainer.advance(2)
    (outcome,) = trainer.outcomes()
    before = {name: tensor.clone() for name, tensor in outcome.parameters.items()}
    trainer.advance(2)
    assert all(torch.equal(before[name], tensor) for name, tensor in outcome.parameters.items())


def test_measuring_does_not_change_the_training(make_trainer: MakeTrainer) -> None:
    measured, left = (make_trainer(Regression(), [1], {"dropout": 0.5}, steps=4) for _ in range(2))
    measured.advance(2)
    measured.outcomes()
    measured.advance(2)
    left.advance(4)
    assert torch.equal(measured.replicas.values, left.replicas.values)


def test_at_threshold_zero_scores_before_and_after_pruning_are_equal(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(LeNet300(), [1, 2], {"dropout": 0.5}, threshold=0.0, steps=2)
    trainer.advance(2)
    for outcome in trainer.outcomes():
        for name, value in outcome.scores.items():
            assert value == outcome.scores[name.replace("before", "after")]


def test_with_dropout_the_test_data_are_measured_both_ways(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(LeNet300(), [1], {"dropout": 0.5}, steps=5)
    trainer.advance(5)
    scores = trainer.outcomes()[0].scores
    assert scores["test/loss/before_pruning"] != scores["test_with_dropout/loss/before_pruning"]


def test_scores_with_dropout_on_do_not_depend_on_the_pack(make_trainer: MakeTrainer) -> None:
    first, second = (make_trainer(LeNet300(), seeds, {"dropout": 0.5}, steps=2).outcomes() for seeds in ([1], [2, 1]))
    assert second[1].scores == pytest.approx(first[0].scores, rel=1e-5)


def test_without_dropout_there_are_no_scores_with_it(make_trainer: MakeTrainer) -> None:
    outcome = make_trainer(LeNet300(), [1]).outcomes()[0]
    assert {name.partition("/")[0] for name in outcome.scores} == {"validation", "test"}


# --- does it learn -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(make_trainer: MakeTrainer) -> Callable[[float], Outcome]:
    outcomes = {}
    for l1 in (0.0, 1e-4):
        trainer = make_trainer(LeNet300(), [1], {"l1": l1}, steps=200, learning_rate=3e-3)
        trainer.advance(200)
        (outcomes[l1],) = trainer.outcomes()
    return outcomes.__getitem__


def test_training_learns_the_digits(learned: Callable[[float], Outcome]) -> None:
    assert learned(0.0).scores["validation/accuracy/before_pruning"] > 0.7


def test_l1_makes_weights_small_enough_to_prune(learned: Callable[[float], Outcome]) -> None:
    assert learned(1e-4).counts.num_nonzero < 0.5 * learned(0.0).counts.num_nonzero


def test_l1_keeps_what_was_learned(learned: Callable[[float], Outcome]) -> None:
    assert learned(1e-4).scores["validation/accuracy/after_pruning"] > 0.7


def test_dropneuron_drops_whole_neurons(make_trainer: MakeTrainer, learned: Callable[[float], Outcome]) -> None:
    trainer = make_trainer(LeNet300(), [1], {"dn": 5e-4}, steps=200, learning_rate=3e-3)
    trainer.advance(200)
    (outcome,) = trainer.outcomes()
    assert 0 < outcome.counts.neurons_alive < learned(0.0).counts.neurons_alive


def test_training_length_is_resolved_to_steps(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1], batch_size=100, epochs=2)
    assert [phase.training for phase in trainer.phases] == [Training(steps=10, batch_size=100)]
    assert (trainer.num_steps, trainer.steps_per_epoch, trainer.num_epochs) == (10, 5, 2)


# --- other thresholds --------------------------------------------------------------------------------------


def test_a_curve_measures_the_same_network_at_other_thresholds(make_trainer: MakeTrainer) -> None:
    curve = (0.0, 0.01, 0.05, 10.0)
    trainer = make_trainer(LeNet300(), [1, 2], {"l1": 1e-3}, threshold=0.01, curve=curve, steps=5)
    trainer.advance(5)
    for outcome in trainer.outcomes():
        assert [point["threshold"] for point in outcome.curve] == list(curve)
        at_threshold = outcome.curve[1]
        assert at_threshold["num_nonzero"] == outcome.counts.num_nonzero
        assert at_threshold["neurons_alive"] == outcome.counts.neurons_alive
        assert at_threshold["hidden_alive"] == outcome.counts.hidden_alive
        assert at_threshold["dense_size"] == outcome.counts.dense_size
        for split in ("validation", "test"):
            assert at_threshold[f"{split}/accuracy"] == outcome.scores[f"{split}/accuracy/after_pruning"]
        left = [point["num_nonzero"] for point in outcome.curve]
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0


def test_without_thresholds_there_is_no_curve(make_trainer: MakeTrainer) -> None:
    assert make_trainer(LeNet300(), [1]).outcomes()[0].curve == ()


# --- recovery ----------------------------------------------------------------------------------------------


def test_a_linear_network_is_scored_by_the_coefficients_that_it_estimates(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(Regression(), [1, 2], {"l1": 5.0, "dn": 25.0}, batch_size=1, epochs=5)
    trainer.advance(trainer.num_steps)
    for outcome in trainer.outcomes():
        weights = [outcome.parameters[f"{name}.weight"] * mask for name, mask in outcome.masks.items()]
        estimate = (weights[1] @ weights[0]).flatten()
        assert 0 <= outcome.scores["support/precision"] <= 1
        assert outcome.scores["support/exact"] in (0.0, 1.0)
        assert (outcome.scores["support/recall"] == 0) == (outcome.counts.num_nonzero == 0 or not estimate.any())


def test_images_have_no_coefficients_to_recover(make_trainer: MakeTrainer) -> None:
    assert not any(name.startswith("support/") for name in make_trainer(LeNet300(), [1]).outcomes()[0].scores)


# --- a state of other packs --------------------------------------------------------------------------------


def test_a_replicate_goes_on_from_the_state_of_another_pack(make_trainer: MakeTrainer) -> None:
    packed, alone, straight = (
        make_trainer(LeNet300(), seeds, {"dropout": 0.5}, steps=8) for seeds in ([1, 2, 3], [3], [3])
    )
    packed.advance(4)
    alone.load_state(packed.state())
    alone.advance(4)
    straight.advance(8)
    assert torch.equal(alone.replicas.values, straight.replicas.values)


def test_a_state_that_is_not_whole_changes_nothing(make_trainer: MakeTrainer) -> None:
    trainer, other = (make_trainer(LeNet300(), [1], steps=4) for _ in range(2))
    other.advance(3)
    state = other.state()
    del state["second_moment"]
    before = trainer.replicas.values.clone()
    with pytest.raises(ValueError, match="not whole"):
        trainer.load_state(state)
    assert trainer.step == 0
    assert torch.equal(trainer.replicas.values, before)


def test_once_diverged_always_diverged(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(LeNet300(), [1, 2], steps=4)
    trainer.advance(1)
    trainer._phase_run.tensors()["second_moment"][1, 0] = math.inf
    assert trainer.diverged() == [2]
    trainer._phase_run.tensors()["second_moment"][1, 0] = 0.0
    again = make_trainer(LeNet300(), [1, 2], steps=4)
    again.load_state(trainer.state())
    assert again.diverged() == [2]
