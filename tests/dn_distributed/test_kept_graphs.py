"""A worker traces the loss gradient of a task once, and only what is the same for the next pack is used again."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from dn_distributed.config import Precision, Training
from dn_distributed.regularizers import resolve
from dn_distributed.replicas import loss_gradient, precision
from dn_distributed.replicas.loss_gradient import trace
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from tests.dn_distributed.support import DataOf, MakeTrainer, make_task


class Scaled(LeNet300):
    """The same network and another loss, with an option."""

    factor: float = 2.0

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.factor * super().loss(outputs, targets)


class Shifted(LeNet300):
    """A loss with a tensor that is not an argument."""

    shift: ClassVar[Tensor] = torch.zeros(())

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().loss(outputs, targets) + self.shift


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is traced from here on; nothing of before is kept."""
    found: list[object] = []

    def noting(*arguments: object, **options: object) -> object:
        found.append(trace(*arguments, **options))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(loss_gradient, "trace", noting)
    monkeypatch.setattr(loss_gradient, "_graphs", {})
    return found


def test_the_next_pack_of_a_task_computes_with_the_graph_of_the_first(
    make_trainer: MakeTrainer, traced: list[object]
) -> None:
    ends = []
    for _ in range(2):
        trainer = make_trainer(LeNet300(), [1, 2], {"dropout": 0.5}, steps=3)
        trainer.advance(3)
        ends.append(trainer.replicas.values)
    assert len(traced) == 1
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("task", "seeds", "dropout", "batch_size"),
    [(LeNet300, [1], 0.5, 8), (LeNet300, [1, 2], 0.0, 8), (LeNet300, [1, 2], 0.5, 4), (LeNet5, [1, 2], 0.5, 8)],
)
def test_another_kind_of_pack_is_traced_for_itself(
    make_trainer: MakeTrainer, traced: list[object], task: type, seeds: list[int], dropout: float, batch_size: int
) -> None:
    make_trainer(LeNet300(), [1, 2], {"dropout": 0.5}, batch_size=8).advance(1)
    before = len(traced)
    make_trainer(task(), seeds, {"dropout": dropout}, batch_size=batch_size).advance(1)
    assert len(traced) > before


def test_other_seeds_of_a_pack_as_large_are_not(make_trainer: MakeTrainer, traced: list[object]) -> None:
    for seeds in ([1, 2], [7, 3]):
        make_trainer(LeNet300(), seeds, batch_size=8).advance(1)
    assert len(traced) == 1


def test_a_task_with_other_options_is_traced_for_itself(make_trainer: MakeTrainer, traced: list[object]) -> None:
    for task in (LeNet300(), Scaled(), Scaled(factor=3.0)):
        make_trainer(task, [1], batch_size=8).advance(1)
    assert len(traced) == 3


@pytest.mark.parametrize("name", ["lenet300", "lenet5"], ids=["stacked", "one by one"])
def test_another_precision_is_traced_for_itself(
    few_data: DataOf, traced: list[object], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A GPU goes on to multiply as it did when a step was recorded: tf32 looks like float32 by its tensors."""
    monkeypatch.setattr(precision, "check", lambda *_: None)  # a CPU has no tf32, and takes it for float32
    task = make_task(name)
    in_turn: list[Precision] = ["tf32", "float32", "tf32"]
    phases = [Training(steps=1, batch_size=8, precision=found) for found in in_turn]
    seen = []
    trainer = Trainer(task, resolve({}), phases, 0.01, few_data(task).for_seeds([1]), [1])
    for _ in in_turn:
        trainer.advance(1)
        seen.append(len(traced))
    assert seen == [1, 2, 2]


def test_inputs_that_drop_are_not_taken_for_the_targets_of_a_pack_before(
    make_trainer: MakeTrainer, traced: list[object]
) -> None:
    """An autoencoder's inputs and targets are one tensor, unless inputs drop: by their shapes nothing tells."""
    task, ends = make_task("autoencoder"), []
    for coefficients in ({"input_dropout": 0.5}, {}, {"input_dropout": 0.5}):
        if not coefficients:
            loss_gradient._graphs.clear()  # as in a worker that begins with the pack without
        trainer = make_trainer(task, [1, 2], coefficients, batch_size=8)
        trainer.advance(2)
        ends.append(trainer.replicas.values)
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[1])
    assert len(traced) == 3


def test_a_graph_that_holds_a_tensor_of_the_moment_is_not_kept(make_trainer: MakeTrainer, traced: list[object]) -> None:
    for _ in range(2):
        make_trainer(Shifted(), [1], batch_size=8).advance(1)
    assert len(traced) == 2


def test_few_graphs_are_kept(make_trainer: MakeTrainer, traced: list[object]) -> None:
    for batch_size in (2, 3, 4, 5, 6, 7, 7):
        make_trainer(LeNet300(), [1], batch_size=batch_size).advance(1)
    assert len(traced) == 6
    assert len(loss_gradient._graphs) == loss_gradient._MOST_GRAPHS
