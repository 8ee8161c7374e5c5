"""``import dn_distributed as dn``: what it hands on, when, and how tasks, datasets and penalties are registered."""

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor, nn

import dn_distributed as dn
from dn_distributed.data import DATASETS
from dn_distributed.data.linear import Scripted
from dn_distributed.regularizers import PENALTIES, coefficients
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.regression import Regression

REGISTRIES: list[dict[str, Any]] = [TASKS, DATASETS, PENALTIES]


@pytest.fixture(autouse=True)
def _registries_as_before() -> Iterator[None]:
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


def test_every_public_name_is_there() -> None:
    for name in dn.__all__:
        assert getattr(dn, name) is not None
    assert set(dn.__all__) <= set(dir(dn))
    with pytest.raises(AttributeError, match="has no attribute 'sparsify'"):
        dn.sparsify  # noqa: B018


def test_what_types_are_checked_by_is_what_is_handed_on() -> None:
    tree = ast.parse(Path(dn.__file__).read_text(encoding="utf-8"))
    (guard,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        (f"{node.module}".removeprefix("dn_distributed."), alias.name)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert imported == {(module, name) for module, names in dn._PUBLIC.items() for name in names}


def test_the_version_is_that_of_the_installation() -> None:
    assert dn.__version__ == importlib.metadata.version("dropneuron-distributed")


@pytest.mark.parametrize(
    "statement", ["import dn_distributed as dn", "from dn_distributed import files, DropNeuronError"]
)
def test_the_import_waits_for_no_library(statement: str) -> None:
    shown = f"import sys; {statement}; print(*{{'torch', 'numpy', 'pydantic'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", shown], text=True, capture_output=True, check=True)
    assert done.stdout.split() == []


def test_a_task_is_registered_by_its_name() -> None:
    @dn.register_task
    class Mine(Regression):
        name: Literal["mine"] = "mine"  # type: ignore[assignment]

    assert TASKS["mine"] is Mine


def test_a_dataset_is_registered_by_all_its_names() -> None:
    @dn.register_dataset
    class Mine(Scripted):
        name: Literal["mine", "also_mine"]  # type: ignore[assignment]

    assert DATASETS["mine"] is DATASETS["also_mine"] is Mine


def test_a_penalty_is_registered_as_a_coefficient() -> None:
    @dn.register_penalty
    class Mine(dn.L1):
        name = "mine"

    assert PENALTIES["mine"] is Mine
    assert "mine" in coefficients()


def test_a_class_that_is_defined_anew_takes_its_own_place() -> None:
    """As where a cell of a notebook runs again."""

    def define() -> type[dn.Task]:
        class Mine(Regression):
            name: Literal["mine"] = "mine"  # type: ignore[assignment]

        return dn.register_task(Mine)

    first = define()
    assert first is TASKS["mine"]
    assert first is not define() is TASKS["mine"]


class TakenTask(Regression):
    """Has the name of the task that it derives from."""


class TakenDataset(Scripted):
    name: Literal["mnist"]  # type: ignore[assignment]


class TakenPenalty(dn.L1):
    name = "l2"


class NamedAsShorthand(dn.L1):
    name = "dn"


class NoLoss(dn.ImageTask):
    name: Literal["mine"] = "mine"

    @property
    def layers(self) -> tuple[str, ...]:
        return ("fc",)


class NoName(Regression):
    name: str = "mine"  # type: ignore[assignment]


class NamelessPenalty(dn.Penalty):
    touches = "weights"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return tensor.sum()

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None: ...


class NoTouches(dn.Penalty):
    name = "mine"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        return tensor.sum()

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None: ...


class Mistyped(dn.L1):
    name = "mine"
    touches = "weight"  # type: ignore[assignment]


class NoScores(dn.ImageTask):
    name: Literal["mine"] = "mine"
    default_pruning = dn.Pruning(threshold=0.1)

    @property
    def layers(self) -> tuple[str, ...]:
        return ("fc",)

    def network(self) -> nn.Module:
        return nn.Linear(784, 10)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum()


class NoScoreAtAll(Regression):
    name: Literal["mine"] = "mine"  # type: ignore[assignment]
    scores = ()


class WordsForScores(NoScoreAtAll):
    scores = ("accuracy",)  # type: ignore[assignment]


class OddKind(Regression):
    name: Literal["mine"] = "mine"  # type: ignore[assignment]
    kind = "image"  # type: ignore[assignment]


class OddDataset(Scripted):
    name: Literal["mine"] = "mine"  # type: ignore[assignment]
    kind = "pictures"


class NoKind(dn.Dataset):
    name: Literal["mine"] = "mine"

    def digest(self, raw: dn.RawImages | None) -> str:
        return ""


class Unprintable(Scripted):
    name: Literal["a\nb"] = "a\nb"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("register", "cls", "message"),
    [
        (
            dn.register_task,
            TakenTask,
            r"^task TakenTask: the name 'regression' is taken by dn_distributed.*Regression; ",
        ),
        (
            dn.register_dataset,
            TakenDataset,
            r"^dataset TakenDataset: the name 'mnist' is taken by .*TorchvisionImages; ",
        ),
        (dn.register_penalty, TakenPenalty, r"^penalty TakenPenalty: the name 'l2' is taken by .*L2; give it a name"),
        (dn.register_penalty, NamedAsShorthand, r"^penalty NamedAsShorthand: the name 'dn' is taken; give it a name"),
        (dn.register_task, NoLoss, r"^task NoLoss does not define loss, network$"),
        (dn.register_task, NoName, r"^task NoName has no name: give it a name of its own, name: Literal"),
        (dn.register_penalty, NamelessPenalty, r"^penalty NamelessPenalty has no name: give it .*, name = \"mine\"$"),
        (dn.register_penalty, NoTouches, r"^penalty NoTouches does not set touches$"),
        (dn.register_penalty, Mistyped, r"^penalty Mistyped touches 'weight': give 'parameters' or 'weights'$"),
        (dn.register_task, NoScores, r"^task NoScores does not set scores, default_training$"),
        (
            dn.register_task,
            NoScoreAtAll,
            r"^NoScoreAtAll: scores are \(\): give a tuple of Score$",
        ),
        (dn.register_task, WordsForScores, r"^WordsForScores: scores are \('accuracy',\): give a tuple of Score"),
        (dn.register_task, OddKind, r"^OddKind: kind is 'image': give 'images', 'linear' or 'samples'$"),
        (dn.register_dataset, OddDataset, r"^OddDataset: kind is 'pictures': give 'images', 'linear' or 'samples'$"),
        (dn.register_dataset, NoKind, r"^dataset NoKind does not set kind$"),
        (dn.register_dataset, Unprintable, r"^dataset Unprintable: 'a\\nb' is no name \(printable characters\); give"),
        (dn.register_task, dn.L1, r"is no task: derive a class from dn_distributed.tasks.base.Task$"),
        (dn.register_dataset, "mnist", r"^'mnist' is no dataset: derive a class from"),
        (dn.register_penalty, Regression, r"is no penalty: derive a class from"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_one_line(register: Any, cls: Any, message: str) -> None:
    before = [dict(registry) for registry in REGISTRIES]
    with pytest.raises(dn.DropNeuronError, match=message) as raised:
        register(cls)
    assert "\n" not in str(raised.value)
    assert before == REGISTRIES


@pytest.mark.parametrize("name", ["", "a.b", "a b", "_x", "1a", "ℓ1", "lambda", "layers", "copy", "model_x", "a\nb"])
def test_a_penalty_is_called_as_an_argument_can_be(name: str) -> None:
    before = dict(PENALTIES)
    with pytest.raises(dn.DropNeuronError, match=r"^penalty Mine: the name '.*give it a name of its own") as raised:
        dn.register_penalty(type("Mine", (dn.L1,), {"name": name}))
    assert "\n" not in str(raised.value)
    assert before == PENALTIES


def test_touching_what_there_is_not_is_refused_without_registration_too() -> None:
    with pytest.raises(dn.DropNeuronError, match="touches 'weight': give"):
        Mistyped(0.5)


def test_a_linear_dataset_that_draws_no_regression_is_refused() -> None:
    class Mine(NoKind):
        kind = "linear"

    with pytest.raises(dn.DropNeuronError, match=r"^dataset 'mine' is no dn_distributed\.SparseLinear"):
        Regression(name="regression").data(Mine(), None)
