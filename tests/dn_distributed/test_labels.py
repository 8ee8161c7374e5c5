from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dn_distributed.data import Data, DataError, RawImages, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.data.linear import Scripted
from dn_distributed.tasks import Task
from dn_distributed.tasks.autoencoder import Autoencoder
from dn_distributed.tasks.label_checks import check_inputs, check_labels
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.tasks.network import Network
from dn_distributed.tasks.regression import Regression


@pytest.fixture(scope="module")
def raw() -> RawImages:
    return Digits().load(None)  # type: ignore[arg-type]


def check(task: Task, raw: RawImages) -> None:
    check_labels(task, task.data(Digits(), raw))


@pytest.mark.parametrize("task", [LeNet300(), LeNet5()])
def test_labels_from_1_to_10_are_refused(task: Task, raw: RawImages) -> None:
    shifted = replace(raw, train_labels=raw.train_labels + 1)
    with pytest.raises(DataError, match=r"train labels lie between 1 and 10: .* has no class 10 \(.* 10 outputs"):
        check(task, shifted)


@pytest.mark.parametrize("wrong", [-1, -100, 10, 255])
def test_one_wrong_label_of_the_test_set_is_found(wrong: int, raw: RawImages) -> None:
    labels = raw.test_labels.clone()
    labels[7] = wrong
    with pytest.raises(DataError, match=f"the test labels .* has no class {wrong} "):
        check(LeNet300(), replace(raw, test_labels=labels))


def test_one_class_alone_is_refused(raw: RawImages) -> None:
    with pytest.raises(DataError, match="the train labels are all 3: nothing is to be told apart"):
        check(LeNet300(), replace(raw, train_labels=raw.train_labels * 0 + 3))


def test_where_labels_are_not_learned_they_may_be_any(raw: RawImages) -> None:
    check(Autoencoder(), replace(raw, train_labels=raw.train_labels + 100))
    check_labels(Regression(), Regression().data(Scripted(), None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": torch.rand(1437, 28, 28)}, r"train images must be uint8 \[N, 28, 28\], not torch.float32"),
        ({"test_images": torch.zeros(360, 32, 32, dtype=torch.uint8)}, r"test images .* \(360, 32, 32\)"),
        ({"train_labels": torch.zeros(1437, dtype=torch.uint8)}, "train labels must be int64"),
        ({"test_labels": torch.zeros(359, dtype=torch.int64)}, r"test labels must be int64 \[360\]"),
    ],
)
def test_images_and_labels_of_another_kind_are_refused(
    change: dict[str, torch.Tensor], message: str, raw: RawImages
) -> None:
    with pytest.raises(DataError, match=f"dataset 'digits': {message}"):
        check(LeNet300(), replace(raw, **change))


def sorted_by_label(raw: RawImages) -> RawImages:
    order = raw.train_labels.argsort()
    return replace(raw, train_images=raw.train_images[order], train_labels=raw.train_labels[order])


@pytest.mark.parametrize("make", [LeNet300, lambda: Network().fitted_to(Digits(), Digits().load(Path()))])
def test_a_class_that_is_held_out_whole_is_refused(make: Callable[[], Task], raw: RawImages) -> None:
    with pytest.raises(
        DataError, match=r"class 0 is in the validation samples, and in none to train on: put .* random"
    ):
        check(make(), sorted_by_label(raw))
    left = raw.train_labels != 3
    with pytest.raises(DataError, match="class 3 is in the test samples, and in none to train on"):
        check(make(), replace(raw, train_images=raw.train_images[left], train_labels=raw.train_labels[left]))


def test_inputs_that_are_all_alike_or_not_finite_are_refused(raw: RawImages) -> None:
    alike = replace(raw, train_images=torch.full_like(raw.train_images, 255))
    with pytest.raises(DataError, match="dataset 'digits': all 1150 samples to train on have the same inputs"):
        check_inputs("digits", Autoencoder().data(Digits(), alike))
    check_inputs("digits", Autoencoder().data(Digits(), raw))
    data = LeNet300().data(Digits(), raw)
    assert data.shared is not None
    data.shared.test.inputs[7] = torch.inf
    with pytest.raises(
        DataError, match=r"dataset 'digits': 1 of 360 test inputs hold NaN or an infinite .* number 8: "
    ):
        check_inputs("digits", data)
    numbers = Split(torch.rand(3, 2), torch.tensor([0.0, torch.nan, 1.0]))
    with pytest.raises(DataError, match="dataset 'own': 1 of 3 train targets hold NaN"):
        check_inputs("own", Data("", 3, shared=Splits(numbers, numbers, numbers)))
