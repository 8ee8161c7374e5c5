"""The trained networks of replicates: found in the store, read, and pruned as their cell says. Needs torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import nn

from dn_distributed import own_code, pruning
from dn_distributed.config import Cell
from dn_distributed.data import DATASETS, DataError, Dataset, Split
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import parts_of_filters
from dn_distributed.tasks import TASKS, Task
from dn_distributed.text import one_line, quoted
from dn_distributed.weights_file import load_tensors_
from tracking import schema
from tracking.errors import StoreError
from tracking.results import rows
from tracking.store import artifacts, checksums, runs
from tracking.store.choice import queries_of
from tracking.store.location import StoreLocation
from tracking.store.masks import load_masks
from tracking.store.queries import StoredRun
from tracking.store.sweep_store import SweepStore

if TYPE_CHECKING:
    from tracking.store.masks import Mask

_SHOWN = 4
"""Replicates that an error names where a prefix fits several."""


@dataclass(frozen=True)
class StoredNetwork:
    """A finished replicate of a network, and where it is stored."""

    sweep: SweepStore
    name: str
    """Of the sweep."""
    run_id: str
    label: str
    """Of its method."""
    seed: int
    cell: Cell
    sha256: str
    """As a ``Row`` has it."""

    @property
    def key(self) -> str:
        """The replicate's key."""
        return self.cell.replicate_key(self.seed)

    def load(self) -> nn.Module:
        """Return its network, pruned, in evaluation mode.

        StoreError for files that are missing, damaged, or of another network than the task has here; DataError for a
        task that is not registered.
        """
        task = task_of(self.cell)
        self._check_code(task)
        masks, weights = (self._file(name) for name in (schema.MASKS_FILE, schema.WEIGHTS_FILE))
        try:
            return pruned_network(task, load_file(weights), load_masks(masks))
        except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = f"the stored weights are not those of the task {task.name!r}: {one_line(str(error), 300)}"
            raise StoreError(f"{self.label} seed {self.seed}: {reason}") from error

    def _check_code(self, task: Task) -> None:
        """StoreError where the user's own network is another one now: its weights may fit all the same."""
        stored = self.cell.code.get(own_code.TASK)
        try:
            same = stored is None or own_code.is_of_task(stored, task)
        except ArgumentError as error:
            raise StoreError(f"{self.label} seed {self.seed}: {error}") from error
        if not same:
            raise StoreError(
                f"{self.label} seed {self.seed}: the code of the task {task.name!r} is not as it was when this was "
                "trained: put its module back as it was, or train again"
            )

    def _file(self, name: str) -> Path:
        from mlflow.exceptions import MlflowException

        try:
            path = artifacts.path_of(self.sweep.location, self.run_id, name)
            checksums.check(path.parent, name, self.sha256)
        except (ValueError, OSError, MlflowException) as error:
            raise StoreError(f"{self.label} seed {self.seed}: {one_line(str(error), 300)}") from error
        return path

    def test_split(self, data_dir: Path) -> Split:
        """Return the test data that the replicate was measured on.

        DataError where they cannot be had, or are not those that it was trained on.
        """
        return load_test_split(task_of(self.cell), dataset_of(self.cell), self.seed, data_dir, self.cell.dataset_digest)


def task_of(cell: Cell) -> Task:
    """Return the task of a cell. DataError for one that is not registered here."""
    name = cell.task["name"]
    if name not in TASKS:
        raise DataError(f"the task {name!r} is not known here (--import MODULE names the module that registers it)")
    return TASKS[name](**cell.task)


def dataset_of(cell: Cell) -> Dataset:
    """Return the dataset of a cell. DataError for one that is not registered here."""
    name = cell.dataset["name"]
    if name not in DATASETS:
        raise DataError(f"the dataset {name!r} is not known here (--import MODULE names the module that registers it)")
    return DATASETS[name](**cell.dataset)


def load_test_split(task: Task, dataset: Dataset, seed: int, data_dir: Path, digest: str | None = None) -> Split:
    """Return the test data of a task for the replicate ``seed``.

    DataError where they cannot be had, or have another ``digest``; None: whatever they are.
    """
    beside = (
        " (files beside a sweep file are not looked for: give --data-dir FOLDER of the file)" * dataset.finds_beside
    )
    try:
        raw = dataset.load(data_dir)
    except DataError as error:
        raise DataError(f"{error}{beside}") from error
    data = task.data(dataset, raw)
    if digest is not None and data.digest != digest:
        where = f" in {data_dir}" if dataset.kind == "images" else ""
        raise DataError(f"the data of {dataset.name!r}{where} are not those that the replicate was trained on{beside}")
    splits = data.for_seeds([seed])
    return splits.of_first(splits.test)


def pruned_network(task: Task, weights: Mapping[str, NDArray[np.float32]], masks: Mapping[str, "Mask"]) -> nn.Module:
    """Return a task's network with these weights, and 0 where a layer's mask says so, in evaluation mode.

    ValueError for a mask of another shape than its weight, and the errors of ``load_state_dict``.
    """
    network = task.network()
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    left = {name: torch.from_numpy(mask) for name, mask in masks.items()}
    for name, mask in left.items():
        if (size := list(tensors[f"{name}.weight"].shape)) != list(mask.shape):
            raise ValueError(f"the mask of layer {name!r} has the shape {list(mask.shape)}, its weight {size}")
    tensors |= pruning.changed(tensors, left, parts_of_filters(network, task.layers))
    load_tensors_(network, tensors)
    return network.eval()


def find_network(location: StoreLocation, identifier: str) -> StoredNetwork:
    """Return the finished replicate with this MLflow run id or replicate key, or with one that begins so.

    ``identifier``: four digits or more. StoreError where there is none, or more than one, or where it is no network or
    is not finished.
    """
    if not re.fullmatch(r"[0-9a-f]{4,32}", identifier):
        raise StoreError(f"{quoted(identifier)} is neither a run's id nor a replicate's key: 4 to 32 hex digits")
    found = dict[str, tuple[SweepStore, str, StoredRun]]()
    others = list[str]()
    for name in queries_of(location).experiment_names():
        sweep = SweepStore.find(location, name)
        for key, record in runs.one_per_replicate(_replicates(sweep)).items():
            if record.run_id.startswith(identifier) or key.startswith(identifier):
                known = found.get(key)  # of another sweep that has the same replicate
                if known is None or runs.state_of(known[2]) != "finished":
                    found[key] = (sweep, name, record)
        others += _other_kinds(sweep, identifier)
    if not found:
        raise StoreError(_not_found(location, identifier, others))
    if len(found) > 1:
        raise StoreError(_ambiguous(identifier, found))
    ((sweep, name, record),) = found.values()
    return _stored(sweep, name, record)


def _replicates(sweep: SweepStore) -> list[StoredRun]:
    shown = (schema.REPLICATE_KEY, schema.CELL_KEY, schema.LABEL, schema.SEED_TAG, schema.SHA256, *schema.MARKS)
    return sweep.records("replicate", tags=shown, params=(schema.SEED,))


def _other_kinds(sweep: SweepStore, identifier: str) -> list[str]:
    """The kinds of the runs of other kinds whose id this is."""
    kinds: tuple[schema.Kind, ...] = ("cell", "report")
    return [kind for kind in kinds for record in sweep.records(kind) if record.run_id == identifier]


def _not_found(location: StoreLocation, identifier: str, others: list[str]) -> str:
    if others:
        return f"{identifier} is a {others[0]} run, which has no network: give the id or key of a replicate's run"
    return f"the store {location.shown} has no replicate whose run id or key begins with {identifier}"


def _ambiguous(identifier: str, found: Mapping[str, tuple[SweepStore, str, StoredRun]]) -> str:
    shown = [
        f"{key} ({name}, {record.tags[schema.LABEL]} seed {_seed(record)})"
        for key, (_, name, record) in sorted(found.items())
    ]
    more = ", …" * (len(shown) > _SHOWN)
    return f"{len(shown)} replicates begin with {identifier}: {one_line(', '.join(shown[:_SHOWN]) + more)}"


def _seed(record: StoredRun) -> str:
    return record.tags.get(schema.SEED_TAG, record.params.get(schema.SEED, "?"))


def _stored(sweep: SweepStore, name: str, record: StoredRun) -> StoredNetwork:
    label, state = record.tags[schema.LABEL], runs.state_of(record)
    who = f"{name}, {label} seed {_seed(record)}"
    if state != "finished":
        reason = runs.reason_of(record, state)
        raise StoreError(f"{who}: is {state}{f' ({reason})' * bool(reason)}, so that it has no weights")
    cell = _cell_of(sweep, record.tags[schema.CELL_KEY])
    if cell is None:
        raise StoreError(f"{who}: the store does not know its configuration (of an earlier version, or deleted)")
    if cell.baseline is not None:
        raise StoreError(f"{who}: is the classical method {cell.baseline!r}, which has no network")
    return StoredNetwork(
        sweep, name, record.run_id, label, int(_seed(record)), cell, record.tags.get(schema.SHA256, "")
    )


def _cell_of(sweep: SweepStore, key: str) -> Cell | None:
    """The cell of this key, from its run, or from the sweep that asked for it."""
    cells = [cell for found in rows.read_cells(sweep).values() for cell in found]
    manifest = runs.find_manifest(sweep)
    if manifest is not None:
        cells += [cell for method in manifest[1].methods for cell in method.cells]
    return next((cell for cell in cells if cell.key == key), None)
