"""The task and the dataset that options of a command choose: a name, or ``{name: …}`` with options, as in a file."""

from pathlib import Path

from pydantic import Field

from dn_distributed.data import Dataset
from dn_distributed.tasks import Task
from sweeps.spec.entry import Entry
from sweeps.spec.load import validated
from sweeps.spec.named import NamedDataset, NamedTask
from sweeps.spec.yaml_file import YamlFile


class _WithTask(Entry):
    task: NamedTask


class _WithData(_WithTask):
    dataset: NamedDataset = Field(None, validate_default=True)


def task_of(task: str) -> Task:
    """Return the task that ``--task`` chooses. SpecError where there is none such."""
    read = _read("task", task)
    return validated(_WithTask, read.data, (), read.places).task


def dataset_of(task: str, dataset: str | None) -> Dataset:
    """Return the dataset that ``--dataset`` chooses for a task; None: as in the paper. SpecError where none fits."""
    of_task = read = _read("task", task)
    if dataset is not None:
        read = _read("dataset", dataset)
    return validated(_WithData, {**of_task.data, **read.data}, (), read.places).dataset


def _read(key: str, text: str) -> YamlFile:
    return YamlFile(Path(f"--{key}"), f"{key}: {text}")
