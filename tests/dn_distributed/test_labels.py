from dataclasses import replace

import pytest
import torch

from dn_distributed.data import DataError, RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.data.linear import Scripted
from dn_distributed.tasks import Task
from dn_distributed.tasks.autoencoder import Autoencoder
from dn_distributed.tasks.label_checks import check_labels
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.tasks.lenet300 import LeNet300
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
