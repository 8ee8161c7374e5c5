"""Everything that a trainer does, on a device that is not the CPU: nothing of it may stay behind."""

from collections.abc import Iterable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from dn_distributed.config import Augment, Distill, Precision, Prune, Rewire, Training
from dn_distributed.data import Data
from dn_distributed.regularizers import PENALTIES, resolve
from dn_distributed.tasks import Task
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from tests.dn_distributed.networks import NETWORKS, MakeTask
from tests.dn_distributed.own_models import BatchNormResNet, GroupNormResNet
from tests.dn_distributed.support import DataOf, make_task
from tests.pretended_device import DEVICE, pretended, without_values

SEEDS = [1, 1]
"""What a pretended tensor of seeds answers."""


class Weighted(LeNet300):
    """A loss with a tensor that stays on the CPU."""

    name: Literal["weighted"] = "weighted"  # type: ignore[assignment]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().loss(outputs * torch.ones(10), targets)


def make_trainer(
    task: Task,
    data: Data,
    device: str,
    *,
    proximal: bool = False,
    fixed: bool = False,
    precision: Precision = "float32",
    **regularization: Any,
) -> Trainer:
    splits = without_values(data.for_seeds(SEEDS))
    first = Training(steps=2, batch_size=data.num_train // 2, precision=precision)
    other: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.1, "penalties": "linear", "fixed_structure": fixed}
    training = [first, Training(steps=1, batch_size=data.num_train // 2, precision=precision, **other)]
    return Trainer(
        task,
        resolve(regularization),
        training,
        0.01,
        splits,
        SEEDS,
        curve=[0.0, 0.1],
        proximal=proximal,
        device=device,
    )


def devices(tensors: Iterable[Tensor]) -> set[str]:
    return {tensor.device.type for tensor in tensors}


@pytest.mark.parametrize(("make", "dropout"), NETWORKS)
@pytest.mark.parametrize("proximal", [False, True], ids=["subgradient", "proximal"])
def test_a_pack_is_trained_measured_saved_and_taken_up_again(
    few_data: DataOf, make: MakeTask, dropout: float, proximal: bool
) -> None:
    task = make()
    data = few_data(task)
    regularization: dict[str, Any] = dict.fromkeys(PENALTIES, 1e-4)
    regularization |= {"dropout": dropout, "input_dropout": dropout / 2}
    fixed = make in (GroupNormResNet, BatchNormResNet)  # chains are taken apart by their values, which are not here
    with pretended():
        trainer = make_trainer(task, data, DEVICE, proximal=proximal, fixed=fixed, **regularization)
        assert [report.step for report in trainer.run()] == [2, 3]
        assert trainer.diverged() == []
        outcomes = trainer.outcomes()
        assert devices(tensor for one in outcomes for tensor in (*one.parameters.values(), *one.masks.values())) == {
            "cpu"
        }
        assert all(len(one.curve) == 2 for one in outcomes)
        state = trainer.state()
        assert devices(state.values()) == {"cpu"}
        again = make_trainer(task, data, DEVICE, proximal=proximal, fixed=fixed, **regularization)
        again.load_state(state)
        assert (
            devices(trainer._phase_run.tensors().values()) == devices(again._phase_run.tensors().values()) == {DEVICE}
        )
        again.advance(1)


def test_what_mixes_devices_is_found(few_data: DataOf) -> None:
    data = few_data(Weighted())
    with pretended():
        make_trainer(Weighted(), data, "cpu").advance(1)
        with pytest.raises(RuntimeError, match=f"device.*{DEVICE}"):
            make_trainer(Weighted(), data, DEVICE).advance(1)


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
@pytest.mark.parametrize("name", ["autoencoder", "lenet5"])
def test_a_pack_is_trained_in_lower_precision(few_data: DataOf, name: str, precision: Precision) -> None:
    task = make_task(name)
    data = few_data(task)
    with pretended():
        trainer = make_trainer(task, data, DEVICE, precision=precision, dropout=0.5)
        trainer.advance(2)
        assert {tensor.dtype for tensor in trainer.state().values()} == {torch.float32, torch.int64, torch.bool}
        trainer.outcomes()


@pytest.mark.parametrize("way", [{"l0": 1e-5}, {"sparse_vd": 1e-5}], ids=["l0", "sparse_vd"])
@pytest.mark.parametrize("name", ["lenet300", "lenet5_caffe"])
def test_random_weights_are_trained_saved_and_taken_up_again(few_data: DataOf, name: str, way: dict[str, Any]) -> None:
    task = make_task(name)
    data = few_data(task)
    with pretended():
        trainer = make_trainer(task, data, DEVICE, **way)
        assert [report.step for report in trainer.run()] == [2, 3]
        assert devices(trainer.outcomes()[0].parameters.values()) == {"cpu"}
        again = make_trainer(task, data, DEVICE, **way)
        again.load_state(trainer.state())
        assert devices(again._phase_run.tensors().values()) == {DEVICE}


def test_a_phase_learns_from_the_network_before_it(few_data: DataOf) -> None:
    task = make_task("lenet5_caffe")
    data = few_data(task)
    with pretended():
        splits = without_values(data.for_seeds(SEEDS))
        phases = [Training(steps=1, batch_size=20), Training(steps=2, batch_size=20, distill=Distill())]
        trainer = Trainer(task, {}, phases, 0.0, splits, SEEDS, device=DEVICE)
        trainer.advance(trainer.num_steps)
        trainer.outcomes()


def test_images_are_moved_and_mirrored(few_data: DataOf) -> None:
    task = make_task("lenet5_caffe")
    data = few_data(task)
    with pretended():
        splits = without_values(data.for_seeds(SEEDS))
        training = Training(steps=2, batch_size=20, augment=Augment(shift=1, flip=True))
        trainer = Trainer(task, {}, training, 0.0, splits, SEEDS, device=DEVICE)
        trainer.advance(trainer.num_steps)
        assert {tensor.device.type for tensor in trainer._phase_run.batches.at(0)} == {DEVICE}


def test_weights_are_pruned_go_back_and_move(few_data: DataOf) -> None:
    task = GroupNormResNet()
    data = few_data(task)
    short: dict[str, Any] = {"steps": 2, "batch_size": data.num_train // 2}
    prune = [Training(**short), Training(**short, prune=Prune(keep=0.5, rounds=2, rewind_to=1))]
    rewire = [Training(**short, rewire=Rewire(density=0.1, every=1, until=1.0))]
    with pretended():
        for phases in (prune, rewire):
            splits = without_values(data.for_seeds(SEEDS))
            trainer = Trainer(task, {}, phases, 0.0, splits, SEEDS, device=DEVICE)
            trainer.advance(trainer.num_steps)
            trainer.outcomes()
            assert devices(trainer._phase_run.tensors().values()) == {DEVICE}
