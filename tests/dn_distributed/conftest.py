"""What the tests of the science share: one thread, the embedded digits, and a short way to a trainer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dn_distributed.config import Training
from dn_distributed.data import Data, RawImages, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.data.linear import Scripted
from dn_distributed.pruning import Cut
from dn_distributed.regularizers import resolve
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from tests.dn_distributed.support import EPOCH, DataOf, MakeTrainer
from tests.one_thread import one_thread as one_thread


@pytest.fixture(scope="session")
def digits() -> RawImages:
    return Digits().load(Path("unused"))


@pytest.fixture(scope="session")
def data_of(digits: RawImages) -> DataOf:
    """The digits, or the scripted regression, as a task trains on them."""

    def data(task: Task) -> Data:
        return task.data(Scripted(), None) if task.kind == "linear" else task.data(Digits(), digits)

    return data


@pytest.fixture(scope="session")
def few_data(data_of: DataOf) -> DataOf:
    """As ``data_of``, but 200 samples to train on and fewer to validate and to test."""

    def data(task: Task) -> Data:
        if task.kind == "linear":
            return task.data(Scripted(samples=200), None)
        whole = data_of(task).for_seeds([])
        train, validation, test = (
            Split(split.inputs[:size], split.targets[:size])
            for split, size in ((whole.train, 200), (whole.validation, 50), (whole.test, 60))
        )
        return Data("digest", 200, shared=Splits(train, validation, test))

    return data


@pytest.fixture(scope="session")
def make_trainer(data_of: DataOf) -> MakeTrainer:
    """A trainer on the digits (or the scripted regression): 100 steps of 32 samples unless told otherwise."""

    def make(
        task: Task,
        seeds: Sequence[int],
        regularization: Mapping[str, float] | None = None,
        *,
        data: Data | None = None,
        threshold: float = 0.01,
        curve: Sequence[float] = (),
        proximal: bool = False,
        **training: Any,
    ) -> Trainer:
        length = {} if "epochs" in training else {"steps": 100}
        return Trainer(
            task,
            resolve(regularization or {}),
            Training(**{"batch_size": 32, **length, **training}),
            threshold,
            (data or data_of(task)).for_seeds(seeds),
            seeds,
            curve=curve,
            proximal=proximal,
        )

    return make


@pytest.fixture(scope="session")
def make_phased(few_data: DataOf) -> MakeTrainer:
    """A trainer on few samples whose phases are an epoch of five steps unless told otherwise."""

    def make(
        task: Task, seeds: Sequence[int], *phases: dict[str, Any], threshold: Cut = 0.0, **coefficients: float
    ) -> Trainer:
        trainings = [Training(**{**EPOCH, **phase}) for phase in phases]
        return Trainer(task, resolve(coefficients), trainings, threshold, few_data(task).for_seeds(seeds), seeds)

    return make
