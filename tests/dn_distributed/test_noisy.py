"""Training with random weights, whichever way they are random: interrupted, packed, in phases."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dn_distributed.config import Drop, Prune, Training
from dn_distributed.errors import ArgumentError
from dn_distributed.random_weights import random_weights_of
from dn_distributed.regularizers import resolve
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from dn_distributed.training.rehearsal import rehearse
from tests.dn_distributed.own_models import BatchNormResNet
from tests.dn_distributed.support import DataOf, assert_resumes_at_every_step, make_task

Make = Callable[..., Trainer]
EPOCH: dict[str, Any] = {"epochs": 1, "batch_size": 40}
"""Of five steps, with the 200 samples of ``few_data``."""
WAYS: dict[str, dict[str, float]] = {"l0": {"l0": 1e-5}, "sparse_vd": {"sparse_vd": 1e-4}}
PHASES: tuple[dict[str, Any], ...] = (
    {"steps": 2, "epochs": None, "penalties": "off"},
    {"steps": 3, "epochs": None, "penalties": "linear"},
    {"steps": 3, "epochs": None, "batch_size": 50},
    {"steps": 3, "epochs": None, "penalties": "off", "fixed_structure": True},
)


@pytest.fixture(scope="module")
def make(few_data: DataOf) -> Make:
    def make(task: str | Task, seeds: Sequence[int], *phases: dict[str, Any], **coefficients: float) -> Trainer:
        options = {"initial": "he"} if task == "lenet300" else {}
        chosen = make_task(task, **options) if isinstance(task, str) else task
        trainings = [Training(**{**EPOCH, **phase}) for phase in phases]
        return Trainer(chosen, resolve(coefficients), trainings, 0.0, few_data(chosen).for_seeds(seeds), seeds)

    return make


@pytest.mark.parametrize("way", WAYS)
def test_interrupted_at_every_step_it_ends_with_the_same_bits(make: Make, way: str) -> None:
    there, here, straight = (
        make("lenet300", [1, 2], *PHASES, **WAYS[way], dropout=0.2, input_dropout=0.1) for _ in range(3)
    )
    reports = list(straight.run())
    assert_resumes_at_every_step(here, there, straight)
    resumed = make("lenet300", [1, 2], *PHASES, **WAYS[way], dropout=0.2, input_dropout=0.1)
    resumed.load_state(resumed.state())
    assert list(resumed.run()) == reports


@pytest.mark.parametrize("task", ["lenet300", "lenet5_caffe"])
@pytest.mark.parametrize("way", WAYS)
def test_a_replicate_does_not_depend_on_its_pack(make: Make, way: str, task: str) -> None:
    pack, alone = (make(task, seeds, *PHASES, **WAYS[way], l1=1e-5) for seeds in ([1, 2, 3], [2]))
    for trainer in (pack, alone):
        trainer.advance(6)
        trainer.outcomes()
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])
    for trainer in (pack, alone):
        trainer.advance(trainer.num_steps)
    assert pack.outcomes()[1].scores == alone.outcomes()[0].scores
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])


@pytest.mark.parametrize("way", WAYS)
def test_noise_is_another_at_each_step_and_for_each_replicate(make: Make, way: str) -> None:
    noisy = make("lenet300", [1, 2], {}, **WAYS[way])._phase_run._noisy
    assert noisy is not None
    first, again, second = (noisy._noise.at(step, torch.device("cpu")) for step in (0, 0, 1))
    for one, same, other in zip(first, again, second, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("way", WAYS)
def test_a_phase_without_penalties_trains_as_a_method_without_them(make: Make, way: str) -> None:
    resting, without = make("lenet300", [1], {"penalties": "off"}, **WAYS[way]), make("lenet300", [1], {})
    for trainer in (resting, without):
        trainer.advance(5)
    assert torch.equal(resting.replicas.values, without.replicas.values)


@pytest.mark.parametrize("way", WAYS)
def test_random_weights_learn(make: Make, way: str) -> None:
    trainer = make("lenet300", [1, 2], {"epochs": 20}, **WAYS[way])
    *_, last = trainer.run()
    assert min(last.metrics["validation/accuracy"]) > 0.6


@pytest.mark.parametrize("way", WAYS)
def test_structures_and_random_weights_do_not_go_together(few_data: DataOf, make: Make, way: str) -> None:
    structures: list[dict[str, Any]] = [
        {"fixed_structure": True},
        {"prune": Prune(keep=0.5)},
        {"drop": Drop(to=0.5)},
    ]
    for structure in structures:
        with pytest.raises(ArgumentError, match=r'phase 2 drops, prunes or keeps .* penalties: "off"'):
            make("lenet300", [1], {}, structure, **WAYS[way])
        make("lenet300", [1], {}, {**structure, "penalties": "off"}, **WAYS[way])
    task = make_task("lenet300")
    phases = [Training(**EPOCH), Training(**EPOCH, fixed_structure=True, penalties="off")]
    assert rehearse(task, resolve(WAYS[way]), phases, few_data(task)) == []


def test_a_method_has_one_way_of_random_weights(make: Make) -> None:
    with pytest.raises(ArgumentError, match="l0_units and sparse_vd both make weights random"):
        make("lenet300", [1], {}, l0_units=1e-3, sparse_vd=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_running_statistics_go_with_the_networks(make: Make, way: str) -> None:
    task, phases = BatchNormResNet(), ({"steps": 2, "epochs": None}, {"steps": 2, "epochs": None, "penalties": "off"})
    there, here, straight, pack = (make(task, seeds, *phases, **WAYS[way]) for seeds in ([2], [2], [2], [1, 2]))
    for trainer in (straight, pack):
        trainer.advance(2)
        trainer.outcomes()
    before = straight.replicas.running.clone()
    torch.testing.assert_close(before, pack.replicas.running[1:], rtol=1e-4, atol=1e-5)  # convolutions, vectorised
    for trainer in (straight, pack):
        trainer.advance(2)
    assert not torch.equal(straight.replicas.running, before)
    torch.testing.assert_close(straight.replicas.running, pack.replicas.running[1:], rtol=1e-4, atol=1e-5)
    assert_resumes_at_every_step(here, there, straight)


@pytest.mark.parametrize("way", WAYS)
def test_products_may_be_in_bfloat16(make: Make, way: str) -> None:
    pack, alone = (make("lenet300", seeds, {"precision": "bf16"}, **WAYS[way]) for seeds in ([1, 2], [2]))
    for trainer in (pack, alone):
        trainer.advance(5)
        assert trainer.diverged() == []
        trainer.outcomes()
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])


class _OwnLayer(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.square())


@pytest.mark.parametrize("way", WAYS)
def test_layers_that_compute_something_else_are_not_replaced(make: Make, way: str) -> None:
    ways = random_weights_of(resolve(WAYS[way]))
    assert ways is not None
    with pytest.raises(ArgumentError, match="layer '0' is a _OwnLayer of its own kind"):
        ways.swap_(nn.Sequential(_OwnLayer(3, 2)), ["0"])
    hooked = nn.Sequential(nn.Linear(3, 2))
    hooked[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ArgumentError, match="or has hooks"):
        ways.swap_(hooked, ["0"])
