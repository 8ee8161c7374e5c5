"""Trainings on an NVIDIA GPU, against the same on a CPU. Skipped, visibly, where there is none."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from dn_distributed import score_names
from dn_distributed.config import Augment, Distill, Drop, Precision, Prune, Rewire, Training
from dn_distributed.regularizers import PENALTIES, resolve
from dn_distributed.replicas import one_launch
from dn_distributed.replicas.one_launch import OneLaunch
from dn_distributed.tasks import Task
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from tests.dn_distributed.networks import NETWORKS, MakeTask
from tests.dn_distributed.support import DataOf, assert_resumes_at_every_step, make_task

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")

SEEDS = [3, 4, 5]
SHORT: dict[str, Any] = {"steps": 6, "batch_size": 40, "optimizer": "sgd", "learning_rate": 1e-3}
LINEAR: dict[str, Any] = {**SHORT, "learning_rate": 1e-5}
"""A longer step makes sparse linear regression diverge."""


def trained(
    task: Task,
    few_data: DataOf,
    device: str,
    seeds: list[int] = SEEDS,
    phases: list[Training] | None = None,
    regularization: dict[str, Any] | None = None,
    *,
    proximal: bool = False,
    steps: int | None = None,
) -> Trainer:
    """A training at its end, or after some steps."""
    short = LINEAR if task.kind == "linear" else SHORT
    found = Trainer(
        task,
        resolve(regularization or {}),
        phases or [Training(**short)],
        0.01,
        few_data(task).for_seeds(seeds),
        seeds,
        proximal=proximal,
        device=device,
    )
    found.advance(found.num_steps if steps is None else steps)
    return found


def assert_close(one: Trainer, other: Trainer, rtol: float = 1e-3) -> None:
    """The same scores of all replicates, but for rounding."""
    for mine, others in zip(one.outcomes(), other.outcomes(), strict=True):
        for name, value in mine.scores.items():
            assert math.isfinite(value), name
            assert value == pytest.approx(others.scores[name], rel=rtol, abs=0.021), name
        for name, tensor in mine.parameters.items():
            assert torch.allclose(tensor, others.parameters[name], rtol=rtol, atol=1e-4), name


@pytest.mark.parametrize(("make", "dropout"), NETWORKS)
@pytest.mark.parametrize("proximal", [False, True], ids=["subgradient", "proximal"])
def test_a_training_is_that_of_a_cpu(few_data: DataOf, make: MakeTask, dropout: float, proximal: bool) -> None:
    """Draws of dropout are the device's own: without."""
    regularization = dict.fromkeys(PENALTIES, 1e-4)
    on = {
        device: trained(make(), few_data, device, regularization=regularization, proximal=proximal)
        for device in ("cpu", "cuda")
    }
    assert_close(on["cuda"], on["cpu"])


@pytest.mark.parametrize(("make", "dropout"), NETWORKS)
def test_a_replicate_does_not_depend_on_its_stack(few_data: DataOf, make: MakeTask, dropout: float) -> None:
    """But for rounding: a GPU's libraries choose by the size of a stack how they add up."""
    regularization: dict[str, Any] = {"l1": 1e-4, "dropout": dropout}
    whole = trained(make(), few_data, "cuda", regularization=regularization)
    for row, seed in enumerate(SEEDS):
        alone = trained(make(), few_data, "cuda", [seed], regularization=regularization)
        for name, tensor in alone.outcomes()[0].parameters.items():
            assert torch.allclose(tensor, whole.outcomes()[row].parameters[name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize(("make", "dropout"), NETWORKS)
def test_a_training_goes_on_from_any_step_with_the_same_bits(
    few_data: DataOf, make: MakeTask, dropout: float, precision: Precision
) -> None:
    phases = [
        Training(steps=3, batch_size=40, precision=precision),
        Training(steps=3, batch_size=40, precision=precision, optimizer="adamw", weight_decay=0.1),
    ]
    regularization: dict[str, Any] = {"dn": 1e-4, "dropout": dropout}
    straight, here, there = (
        trained(make(), few_data, "cuda", phases=phases, regularization=regularization, steps=steps)
        for steps in (None, 0, 0)
    )
    assert_resumes_at_every_step(here, there, straight)


WAYS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "drops": ([{**SHORT, "drop": Drop(to=0.3, every=2)}, SHORT], {}),
    "drops by second order": ([{**SHORT, "drop": Drop(to=0.3, every=2, score="obs")}, SHORT], {}),
    "prunes and goes on": ([SHORT, {**SHORT, "fixed_structure": True}], {"l1": 1e-3}),
    "prunes in rounds": ([SHORT, {**SHORT, "prune": Prune(keep=0.5, rounds=2, rewind_to=1)}], {}),
    "distills": ([SHORT, {**SHORT, "distill": Distill(weight=0.5, temperature=2.0)}], {}),
    "moves images": ([{**SHORT, "augment": Augment(shift=2, flip=True)}], {}),
    "rewires": ([{**SHORT, "rewire": Rewire(density=0.1, every=2, until=1.0)}], {}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task_name", ["lenet300", "lenet5_caffe"])
def test_structures_change_as_on_a_cpu(few_data: DataOf, task_name: str, way: str) -> None:
    if task_name == "lenet5_caffe" and way == "drops by second order":
        pytest.skip("of fully connected networks only")
    phases, regularization = [Training(**phase) for phase in WAYS[way][0]], WAYS[way][1]
    on = {
        device: trained(make_task(task_name), few_data, device, phases=phases, regularization=regularization)
        for device in ("cpu", "cuda")
    }
    for mine, others in zip(on["cuda"].outcomes(), on["cpu"].outcomes(), strict=True):
        assert mine.counts.num_nonzero == pytest.approx(others.counts.num_nonzero, rel=0.02)
        assert mine.counts.neurons_alive == pytest.approx(others.counts.neurons_alive, rel=0.02)
        name = score_names.final("validation", "loss", "after_pruning")
        assert mine.scores[name] == pytest.approx(others.scores[name], rel=0.05)


@pytest.mark.parametrize("way", [{"l0": 1e-5}, {"sparse_vd": 1e-5}], ids=["l0", "sparse_vd"])
@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe"])
def test_random_weights_train_and_go_on_with_the_same_bits(few_data: DataOf, name: str, way: dict[str, Any]) -> None:
    phases = [Training(steps=3, batch_size=40)]
    straight, here, there = (
        trained(make_task(name), few_data, "cuda", phases=phases, regularization=way, steps=steps)
        for steps in (None, 0, 0)
    )
    assert_resumes_at_every_step(here, there, straight)
    assert straight.diverged() == []


@contextmanager
def each_operation_by_itself() -> Iterator[None]:
    with mock.patch.object(one_launch, "OneLaunch", side_effect=RuntimeError):
        yield


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("make", "dropout"), NETWORKS)
def test_one_launch_gives_the_bits_of_many(
    few_data: DataOf, make: MakeTask, dropout: float, precision: Precision
) -> None:
    regularization: dict[str, Any] = {"dn": 1e-4, "dropout": dropout}
    phases = [Training(steps=6, batch_size=40, precision=precision)]
    one = trained(make(), few_data, "cuda", phases=phases, regularization=regularization)
    with each_operation_by_itself():
        many = trained(make(), few_data, "cuda", phases=phases, regularization=regularization)
    assert torch.equal(one.replicas.values, many.replicas.values)
    assert torch.equal(one.replicas.running, many.replicas.running)


class Waiting(LeNet300):
    """Its loss solves equations, for which torch waits until the GPU has said whether they can be."""

    name: Literal["waiting"] = "waiting"  # type: ignore[assignment]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        products = outputs.T @ outputs + torch.eye(10, device=outputs.device)
        return super().loss(outputs, targets) + torch.linalg.solve(products, products).diagonal().sum()


def test_what_cannot_be_recorded_runs_all_the_same(few_data: DataOf) -> None:
    on = {device: trained(Waiting(), few_data, device) for device in ("cpu", "cuda")}
    assert_close(on["cuda"], on["cpu"])


def test_one_launch_uses_what_it_is_given() -> None:
    kept, first, other = (torch.rand(5, device="cuda") for _ in range(3))
    launch = OneLaunch(lambda a, b: (a * b,), [kept, first], 1)
    assert launch.fits([kept])
    assert not launch.fits([other])
    kept.add_(1)
    assert torch.equal(launch(kept, other)[0], kept * other)


def test_float32_is_not_tensorfloat_in_convolutions(few_data: DataOf) -> None:
    """Torch's convolutions are less exact unless they are told otherwise."""
    task = make_task("lenet5_caffe")
    gradients = {}
    for device, precision in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "tf32")):
        trainer = trained(task, few_data, device, phases=[Training(**{**SHORT, "precision": precision})], steps=1)
        gradients[device, precision] = trainer.replicas.gradients.cpu().double()
    exact = gradients.pop(("cpu", "float32"))
    errors = [float((found - exact).norm() / exact.norm()) for found in gradients.values()]
    assert errors[0] < 1e-4 < errors[1]
    assert errors[1] > 3 * errors[0]


def test_modules_of_the_network_stay_on_the_cpu(few_data: DataOf) -> None:
    trainer = trained(make_task("lenet5"), few_data, "cuda")
    network = trainer.replicas.plain_network(0, {})
    assert isinstance(network, nn.Module)
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
