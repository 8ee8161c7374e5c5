"""Products in lower precision: near to float32, and in all else as a training in float32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from dn_distributed.config import Drop, Precision, Training
from dn_distributed.regularizers import resolve
from dn_distributed.replicas import Replicas
from dn_distributed.replicas.precision import products_in
from dn_distributed.tasks import TASKS, Task
from dn_distributed.training import Trainer
from dn_distributed.training.rehearsal import rehearse
from tests.dn_distributed.own_models import BatchNormResNet, GroupNormResNet
from tests.dn_distributed.support import DataOf, MakeTrainer, assert_resumes_at_every_step, make_task

PHASES: list[dict[str, Any]] = [
    {"precision": "bf16"},
    {"precision": "bf16", "epochs": 2, "drop": Drop(to=0.3, every=2, samples=50)},
    {"optimizer": "sgd", "learning_rate": 0.01},
]
"""In bfloat16, then with units that drop, then in float32."""


def make_phased(task: Task, few_data: DataOf, seeds: list[int]) -> Trainer:
    phases = [Training(**{"epochs": 1, "batch_size": 40, **phase}) for phase in PHASES]
    regularization = resolve({"l1": 1e-4, "dropout": 0.2, "input_dropout": 0.1})
    return Trainer(task, regularization, phases, 0.005, few_data(task).for_seeds(seeds), seeds)


@pytest.mark.parametrize(
    ("make", "dropout"),
    [
        *(pytest.param(partial(make_task, name), 0.5, id=name) for name in TASKS),
        (GroupNormResNet, 0.0),
        (BatchNormResNet, 0.0),
    ],
)
def test_the_gradient_is_that_of_float32_but_for_rounding(
    few_data: DataOf, make: Callable[[], Task], dropout: float
) -> None:
    task, seeds = make(), [1, 2]
    splits = few_data(task).for_seeds(seeds)
    whole = splits.train.inputs, splits.train.targets
    inputs, targets = (part[:, :40] if splits.stacked else part[:40].expand(2, 40, *part.shape[1:]) for part in whole)
    exact, rounded = (Replicas(task, seeds, dropout, torch.device("cpu")) for _ in range(2))
    masks = [torch.full((2, 40, *shape), 10 / 7) for shape in exact.dropout_shapes(inputs[0])]
    losses = exact.write_loss_gradient_(inputs, targets, masks)
    near = rounded.write_loss_gradient_(inputs, targets, masks, "bf16")
    assert near.dtype == rounded.gradients.dtype == rounded.running.dtype == torch.float32
    torch.testing.assert_close(near, losses, rtol=0.02, atol=0)
    apart = (rounded.gradients - exact.gradients).norm(dim=1) / exact.gradients.norm(dim=1)
    assert (apart > 0).all()
    assert (apart < 0.05).all()
    torch.testing.assert_close(rounded.running, exact.running, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", TASKS)
def test_a_replicate_does_not_depend_on_its_pack(make_trainer: MakeTrainer, name: str) -> None:
    method = {"l1": 1e-4, "dn": 1e-4, "dropout": 0.3}
    pack, alone = (
        make_trainer(make_task(name), seeds, method, steps=3, precision="bf16") for seeds in ([1, 2, 3], [3])
    )
    for trainer in (pack, alone):
        trainer.advance(3)
    assert torch.equal(pack.replicas.values[2], alone.replicas.values[0])


@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe"])
def test_a_replicate_with_fewer_units_does_not_depend_on_its_pack(few_data: DataOf, name: str) -> None:
    pack, alone = (make_phased(make_task(name), few_data, seeds) for seeds in ([1, 2], [2]))
    for trainer in (pack, alone):
        trainer.advance(trainer.num_steps)
    assert torch.equal(pack.replicas.values[1], alone.replicas.values[0])
    assert (alone.replicas.values == 0).float().mean() > 0.5


def test_interrupted_at_every_step_it_ends_with_the_same_bits(few_data: DataOf) -> None:
    there, here, straight = (make_phased(make_task("lenet300"), few_data, [1, 2]) for _ in range(3))
    straight.advance(straight.num_steps)
    assert_resumes_at_every_step(here, there, straight)


def test_it_learns_as_float32_does_and_is_measured_in_float32(make_trainer: MakeTrainer) -> None:
    task = make_task("lenet300", initial="he")
    losses = []
    for precision in ("float32", "bf16"):
        trainer = make_trainer(task, [1], {"l1": 1e-5}, precision=precision)
        trainer.advance(trainer.num_steps)
        inputs, targets = trainer._splits.validation.inputs, trainer._splits.validation.targets
        with torch.no_grad():
            expected = task.loss(trainer.replicas.plain_network(0, {})(inputs), targets)
        (loss,) = trainer.validate()["loss"]
        assert loss == pytest.approx(float(expected), rel=1e-5)
        losses.append(loss)
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_tf32_is_refused_on_a_cpu_and_rehearsed_in_float32(few_data: DataOf, make_trainer: MakeTrainer) -> None:
    task = make_task("lenet300")
    with pytest.raises(ValueError, match="precision tf32 is of NVIDIA GPUs, and this trains on a CPU"):
        make_trainer(task, [1], precision="tf32")
    rehearse(task, {}, Training(steps=5, batch_size=20, precision="tf32"), few_data(task))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_tf32_is_a_setting_of_the_step_alone(precision: Precision) -> None:
    """And float32 is float32, in convolutions too, whatever torch or a user has set."""
    cudnn: Any = torch.backends.cudnn
    settings = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [cudnn.deterministic, *(setting.fp32_precision for setting in settings)]
    with products_in(precision, torch.device("cuda")):
        assert cudnn.deterministic
        assert {setting.fp32_precision for setting in settings} == {"tf32" if precision == "tf32" else "ieee"}
    assert [cudnn.deterministic, *(setting.fp32_precision for setting in settings)] == before
