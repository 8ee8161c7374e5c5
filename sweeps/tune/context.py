"""What every trial of a sweep needs, and how it travels from the driver to the workers."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from ray import ObjectRef, cloudpickle

from dn_distributed.data import Data, Split, Splits
from sweeps.spec.own_modules import OwnModules
from sweeps.spec.sweep import Sweep
from sweeps.tune.checkpoints import Checkpoints
from tracking.store.sweep_store import SweepStore

_SPLITS = ("train", "validation", "test")
_Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class TrialContext:
    """What every trial of a sweep needs; Ray stores it once per node."""

    modules: OwnModules
    """First, as the fields are unpickled in order: the sweep's task may be in one of them."""
    sweep: Sweep
    data: Data
    """Without ``shared``: its tensors travel as arrays, which workers map and never copy."""
    arrays: "ObjectRef[_Arrays] | None"
    """Of the ``_Arrays`` of shared splits, in Ray's object store."""
    sweep_store: SweepStore
    cell_run_ids: Mapping[str, str]
    """Of the cells known when the sweep starts, by cell key."""
    adaptive_label: str | None
    """The method that Optuna searches; None where the packs are known."""
    device: str
    threads: int
    objective: str | None
    """The score that a search minimises or maximises, reported at each epoch; None without a search."""
    every_epoch: bool
    """Report each epoch, as a scheduler needs; otherwise about once a second."""
    checkpoints: Checkpoints
    checkpoint_seconds: float
    """Least time between two of a pack."""


@dataclass(frozen=True)
class PickledContext:
    """A ``TrialContext`` as bytes: a worker unpickles it itself, and can report what goes wrong with that."""

    content: bytes
    arrays: "ObjectRef[_Arrays] | None"

    @classmethod
    def of(cls, context: TrialContext) -> "PickledContext":
        """Pickle it, all but the reference: Ray must see that, or would forget what it refers to."""
        return cls(cloudpickle.dumps(replace(context, arrays=None)), context.arrays)  # type: ignore[no-untyped-call]

    def load(self) -> TrialContext:
        """Return the context, after importing the user's modules that it needs."""
        context: TrialContext = cloudpickle.loads(self.content)
        return replace(context, arrays=self.arrays)


def share_arrays(data: Data) -> "ObjectRef[_Arrays] | None":
    """Put the tensors of shared splits into Ray's object store as arrays, and return where they are."""
    if data.shared is None:
        return None
    arrays: _Arrays = {}
    for name in _SPLITS:
        split: Split = getattr(data.shared, name)
        arrays[f"{name}.inputs"] = split.inputs.numpy()
        if not split.targets_are_inputs:
            arrays[f"{name}.targets"] = split.targets.numpy()
    return ray.put(arrays)


def splits_of(context: TrialContext, seeds: Sequence[int]) -> Splits:
    """Return the data of replicates: the shared arrays, mapped and not copied, or what is made for these seeds."""
    if context.arrays is None:
        return context.data.for_seeds(seeds)
    arrays: _Arrays = ray.get(context.arrays)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    inputs = {name: tensors[f"{name}.inputs"] for name in _SPLITS}
    train, validation, test = (Split(inputs[name], tensors.get(f"{name}.targets", inputs[name])) for name in _SPLITS)
    return Splits(train, validation, test)
