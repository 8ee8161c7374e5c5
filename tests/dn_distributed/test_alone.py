"""A replicate of a stack is what it is alone, to the last bit, whatever the widths and the batch are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Drop, Training
from dn_distributed.data import Data, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.regularizers import resolve
from dn_distributed.replicas import alone, loss_gradient
from dn_distributed.tasks import TASKS
from dn_distributed.torch_internals import aten
from dn_distributed.training import Trainer
from tests.dn_distributed.own_models import OwnTask

NUM_SAMPLES = 203


@pytest.fixture(scope="module")
def digits() -> Splits:
    whole = TASKS["lenet300"](name="lenet300").data(Digits(), Digits().load(Path())).for_seeds([])
    train, validation, test = (
        Split(split.inputs[:NUM_SAMPLES], split.targets[:NUM_SAMPLES])
        for split in (whole.train, whole.validation, whole.test)
    )
    return Splits(train, validation, test)


def trainer(digits: Splits, seeds: list[int], hidden: list[int], batch_size: int, **training: Any) -> Trainer:
    kind: Any = TASKS["network"]
    task = kind(name="network", architecture={"mlp": {"hidden": hidden}}).fitted_to(Digits(), Digits().load(Path()))
    data = Data("digits", NUM_SAMPLES, shared=digits)
    steps = Training(steps=3, batch_size=batch_size, **training)
    return Trainer(task, resolve({"l1": 1e-4, "dn": 1e-4}), steps, 0.0, data.for_seeds(seeds), seeds)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("batch_size", [10, 25, 64])
@pytest.mark.parametrize("hidden", [[7], [9], [33], [64, 9], [15, 7]], ids=str)
def test_a_stack_trains_and_measures_each_replicate_as_if_alone(
    digits: Splits, hidden: list[int], batch_size: int, precision: str
) -> None:
    stack, single = (trainer(digits, seeds, hidden, batch_size, precision=precision) for seeds in ([1, 2, 3], [2]))
    stack.advance(3)
    single.advance(3)
    assert torch.equal(stack.replicas.values[1], single.replicas.values[0])
    assert stack.outcomes()[1].scores == single.outcomes()[0].scores


@pytest.mark.parametrize("batch_size", [25, 30])
def test_a_stacked_autoencoder_too(digits: Splits, batch_size: int) -> None:
    task = TASKS["autoencoder"](name="autoencoder")
    train, validation, test = (Split(s.inputs, s.inputs) for s in (digits.train, digits.validation, digits.test))
    shared = Splits(train, validation, test)
    data = Data("digits", NUM_SAMPLES, shared=shared)
    steps = Training(steps=2, batch_size=batch_size)
    stack, single = (
        Trainer(task, resolve({"l1": 1e-4}), steps, 0.0, data.for_seeds(seeds), seeds) for seeds in ([1, 2, 3], [2])
    )
    stack.advance(2)
    single.advance(2)
    assert torch.equal(stack.replicas.values[1], single.replicas.values[0])
    assert stack.outcomes()[1].scores == single.outcomes()[0].scores


class OwnNetwork(OwnTask):
    """A user's task, which says nothing of stacks, with one hidden layer of 13."""

    activation: ClassVar[Callable[[], nn.Module]]
    head: ClassVar[tuple[str, ...]] = ("2",)

    def network(self) -> nn.Module:
        first = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 13))
        return nn.Sequential(first, type(self).activation(), nn.Linear(13, 10))


class Convolutional(OwnTask):
    head: ClassVar[tuple[str, ...]] = ("4",)

    def network(self) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(125, 10))


class WithBinaryLoss(OwnNetwork):
    activation = nn.ReLU

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(outputs, functional.one_hot(targets, 10).float())


class _Added(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result = x * 2
        result += x.sin()
        return result


class _Attends(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = x.view(-1, 1, 13, 1)
        return functional.scaled_dot_product_attention(parts, parts, parts).flatten(1)


class _AttendsByHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unsqueeze(2) * torch.linspace(-1, 1, 8)
        attended: Tensor = self.attention(parts, parts, parts)[0]
        return attended.mean(2)


def _with(name: str, make: Callable[[], nn.Module]) -> type[OwnTask]:
    return type(name, (OwnNetwork,), {"activation": staticmethod(make)})


OWN = [
    Convolutional,
    WithBinaryLoss,
    _with("InPlace", lambda: nn.ReLU(inplace=True)),
    _with("ApproximateInPlace", lambda: nn.ELU(inplace=True)),
    _with("Added", _Added),
    _with("Attends", _Attends),
    _with("AttendsByHeads", _AttendsByHeads),
    _with("Elu", nn.ELU),
    _with("Silu", nn.SiLU),
    _with("Mish", nn.Mish),
    _with("Softplus", nn.Softplus),
    _with("LogSigmoid", nn.LogSigmoid),
    _with("RootMeanSquare", lambda: nn.RMSNorm(13)),
]


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_a_network_of_ones_own_too(digits: Splits, kind: type[OwnTask]) -> None:
    task = kind(name="own")
    train, validation, test = (
        Split(split.inputs.view(-1, 1, 28, 28), split.targets)
        for split in (digits.train, digits.validation, digits.test)
    )
    data = Data("digits", NUM_SAMPLES, shared=Splits(train, validation, test))
    steps = Training(steps=3, batch_size=17, learning_rate=0.01)
    stack, *singles = (Trainer(task, {}, steps, 0.0, data.for_seeds(s), s) for s in ([1, 2, 3], [1], [2], [3]))
    for trainer in (stack, *singles):
        trainer.advance(3)
    for row, single in enumerate(singles):
        assert torch.equal(stack.replicas.values[row], single.replicas.values[0])
        assert stack.outcomes()[row].scores == single.outcomes()[0].scores


class OneByOne(OwnTask):
    """A CPU trains it one by one. Its linear layers round by where in memory a batch and pruned weights begin."""

    head: ClassVar[tuple[str, ...]] = ("1", "3")

    def network(self) -> nn.Module:
        first = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten())
        return nn.Sequential(first, nn.Linear(25, 7), nn.Tanh(), nn.Linear(7, 3))


@pytest.mark.parametrize("kind", ["convolution", "drop"])
def test_replicates_that_train_one_by_one_too(kind: str) -> None:
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(60, 25, generator=draw)
    options: dict[str, Any] = {"epochs": 4, "batch_size": 5, "learning_rate": 0.01}
    if kind == "drop":
        options["drop"] = Drop(score="norm", to=0.3, every=5)
        network: Any = TASKS["network"]
        mlp = {"mlp": {"hidden": [12, 10]}}
        task: Any = network(name="network", architecture=mlp, goal="classification", input_shape=(25,), num_outputs=3)
    else:
        task, inputs = OneByOne(name="own"), inputs.view(-1, 1, 5, 5)
    split = Split(inputs, (inputs.flatten(1)[:, 0] > 0).long())
    stack, *singles = (
        Trainer(task, {}, Training(**options), 0.05, Splits(split, split, split), seeds)
        for seeds in ([1, 2, 3], [1], [2], [3])
    )
    for trainer in (stack, *singles):
        trainer.advance(1000)
    for row, single in enumerate(singles):
        assert torch.equal(stack.replicas.values[row], single.replicas.values[0])
        assert stack.outcomes()[row].scores == single.outcomes()[0].scores


def test_each_replicate_of_a_stack_lies_in_memory_as_alone() -> None:
    for stack in (torch.randn(3, 7, 5), torch.randn(3, 5, 7).mT, torch.randn(3, 40)[:, 3:], torch.randn(5)[:3]):
        rows = [alone.row_of(stack, number) for number in range(3)]
        assert all(map(torch.equal, rows, stack))
        assert len({row.data_ptr() % 64 for row in rows}) == 1
        assert len({row.stride() for row in rows}) == 1
    for stack in (torch.randn(3, 8, 2), torch.randn(1, 5).expand(3, 5)):
        assert alone.row_of(stack, 2).data_ptr() == stack[2].data_ptr(), "no copy where none is needed"


class _WithConstant(nn.Module):
    """Works with a tensor that ``forward`` makes, of as many numbers as a stack of three has replicates."""

    def __init__(self, work: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.work = nn.Linear(49, 3), work

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.first(functional.avg_pool2d(x, 4).flatten(1))
        return self.work(hidden, torch.tensor([-1.0, 0.0, 1.0]))


CONSTANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pow": lambda x, constant: (x.abs() + 0.1) ** (constant + 1.5),
    "maximum": lambda x, constant: torch.maximum(x, constant),
    "clamp": lambda x, constant: x.clamp(max=constant),
    "atan2": lambda x, constant: torch.atan2(x, constant + 2),
    "addcmul": lambda x, constant: torch.addcmul(x, x, constant),
    "lerp": lambda x, constant: torch.lerp(x, torch.zeros(3), (constant + 1) / 2),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_as_long_as_the_stack_is_none(digits: Splits, name: str) -> None:
    work = CONSTANTS[name]

    class OfConstants(OwnTask):
        head: ClassVar[tuple[str, ...]] = ("first",)

        def network(self) -> nn.Module:
            return _WithConstant(work)

    train, validation, test = (
        Split(split.inputs.view(-1, 1, 28, 28), split.targets % 3)
        for split in (digits.train, digits.validation, digits.test)
    )
    data = Data("digits", NUM_SAMPLES, shared=Splits(train, validation, test))
    steps = Training(steps=3, batch_size=17, learning_rate=0.01)
    task = OfConstants(name="own")
    stack, single = (Trainer(task, {}, steps, 0.0, data.for_seeds(seeds), seeds) for seeds in ([1, 2, 3], [2]))
    for trainer in (stack, single):
        trainer.advance(3)
    assert torch.equal(stack.replicas.values[1], single.replicas.values[0])
    assert stack.outcomes()[1].scores == single.outcomes()[0].scores
    plain = stack.replicas.plain_network(1, {})(test.inputs)
    loss = stack.outcomes()[1].scores["test/loss/after_pruning"]
    assert loss == pytest.approx(float(task.loss(plain, test.targets).detach()), rel=1e-5)


def test_what_follows_from_no_stack_is_computed_at_once_as_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last numbers of each row would be approximated otherwise: of a table with as many rows as replicates."""
    apart: list[object] = []

    def note(operation: Any, *args: Any, **kwargs: Any) -> Any:
        apart.append(operation)
        return alone.one_by_one(operation, *args, **kwargs)

    def work(x: Tensor) -> Tensor:
        return x.tanh() + (torch.arange(39.0).view(3, 13) / 7).sin()[:, None] + torch.full_like(x, 0.3).exp()

    values = torch.randn(3, 19, 13)
    monkeypatch.setattr(loss_gradient, "one_by_one", note)
    graph = loss_gradient.trace(work, values, num_replicates=3)
    assert apart == [aten.tanh.default, aten.exp.default], "as the graph is made"
    expected = graph(values)
    monkeypatch.setattr(alone, "one_by_one", mock.Mock(wraps=alone.one_by_one))
    with alone.AsAlone(3, [values]):
        assert torch.equal(work(values), expected)
    found = [call.args[0] for call in alone.one_by_one.call_args_list]  # type: ignore[attr-defined]
    assert found == [aten.tanh.default, aten.exp.default], "as the operations are executed"


def test_matrices_of_whole_vectors_are_multiplied_as_they_lie() -> None:
    assert alone.product_of(torch.ones(3, 64, 32), torch.ones(3, 32, 16)) is aten.bmm.default
    assert alone.product_of(torch.ones(1, 5, 7), torch.ones(1, 7, 3)) is aten.bmm.default, "alone as it is"


@pytest.mark.parametrize("shape", [(64, 33, 10), (50, 9, 10), (7, 3, 5), (25, 130, 11)])
def test_each_product_of_a_stack_is_what_it_is_alone(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    left, right = torch.randn(3, inner, rows).mT, torch.randn(3, inner, columns)
    product = alone.product_of(left, right)(left, right)
    for number in range(3):
        one = torch.bmm(left[number : number + 1].mT.clone().mT, right[number : number + 1].clone())
        assert torch.equal(product[number : number + 1], one)
        assert torch.allclose(product[number], left[number] @ right[number], atol=1e-5)


def test_functions_that_are_approximated_are_computed_one_by_one_where_vectors_are_not_full() -> None:
    values = torch.randn(3, 19, 7)
    with alone.AsAlone(3, [values]):
        found = torch.sigmoid(values)
    assert torch.equal(found, torch.cat([torch.sigmoid(values[number : number + 1].clone()) for number in range(3)]))
    assert alone.is_approximate(aten.sigmoid.default, values, 3)
    assert not alone.is_approximate(aten.sigmoid.default, torch.ones(3, 32), 3)
    assert not alone.is_approximate(aten.mul.Tensor, values, 3)
    assert not alone.is_approximate(aten.add_.Tensor, values, 3)
    assert alone.is_approximate(aten.sigmoid_.default, values, 3)


def test_one_by_one_a_function_changes_its_argument_once_and_lies_in_memory_as_alone() -> None:
    values, other = torch.randn(3, 19, 7), torch.randn(3, 7, 19).mT
    before = values.clone()
    with alone.AsAlone(3, [values, other]):
        assert values.exp_() is not None
        found = torch.sigmoid(other)
    assert torch.equal(values, torch.cat([before[n : n + 1].clone().exp_() for n in range(3)]))
    assert found.stride() == other.stride() == torch.sigmoid(other).stride()
