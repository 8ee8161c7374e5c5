"""The task and the dataset of a sweep file: a name, or ``{name: …}`` with options of what it stands for."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ValidationInfo

from dn_distributed.config import FrozenModel
from dn_distributed.data import DATASETS, Dataset
from dn_distributed.data.function import in_full
from dn_distributed.tasks import TASKS, Task
from dn_distributed.text import quoted
from sweeps.spec.entry import check_keys

Model = TypeVar("Model", bound=FrozenModel)


def _named(key: str, registry: Mapping[str, type[Model]], value: Any) -> Model:
    """Return what a name, or a mapping with the name and options, stands for."""
    options = value if isinstance(value, dict) else {"name": value}
    name = options.get("name")
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"unknown {key} {quoted(name)}; valid: {', '.join(registry)}")
    check_keys(registry[name], options)
    return registry[name](**options)


def _task(value: Any) -> Task:
    return _named("task", TASKS, value)


def _dataset(value: Any, info: ValidationInfo) -> Dataset:
    task = info.data.get("task")
    if task is None:
        raise ValueError("which one fits depends on the task")
    dataset = _named("dataset", DATASETS, task.default_dataset if value is None else in_full(value))
    dataset.check_written()
    if not task.fits(dataset):
        fitting = [name for name, cls in DATASETS.items() if task.fits(cls)]
        raise ValueError(f"{dataset.name!r} does not fit task {task.name!r}; valid: {', '.join(fitting)}")
    task.check_written(dataset)
    return dataset


NamedTask = Annotated[Task, BeforeValidator(_task)]
NamedDataset = Annotated[Dataset, BeforeValidator(_dataset)]
"""Comes after the task, which says what fits; ``None`` is its default."""
