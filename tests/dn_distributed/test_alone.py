"""A replicate of a stack is what it is alone, to the last bit, whatever the widths and the batch are."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dn_distributed.config import Training
from dn_distributed.data import Data, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.regularizers import resolve
from dn_distributed.replicas import alone
from dn_distributed.tasks import TASKS
from dn_distributed.torch_internals import aten
from dn_distributed.training import Trainer

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
    with alone.AsAlone(3):
        found = torch.sigmoid(values)
    assert torch.equal(found, torch.cat([torch.sigmoid(values[number : number + 1].clone()) for number in range(3)]))
    assert alone.is_approximate(aten.sigmoid.default, values, 3)
    assert not alone.is_approximate(aten.sigmoid.default, torch.ones(3, 32), 3)
    assert not alone.is_approximate(aten.mul.Tensor, values, 3)
