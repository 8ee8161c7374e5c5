"""One Tune trial: a pack of replicates, trained as one stacked model and logged to MLflow.

The class form of a trainable: an early stop ends it between steps, and a worker that is reused for the next
trial starts from ``setup`` again, so nothing can leak.
"""

import ctypes
import json
import math
import statistics
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from ray import tune
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dn_distributed import baselines
from dn_distributed.config import Baseline, Cell
from dn_distributed.data import Data, Split, Splits
from dn_distributed.training import EpochReport, Trainer
from sweeps.spec import Sweep
from tracking import writer
from tracking.store import StoreLocation

CHECKPOINT_FILE = "state.safetensors"

_SPLITS = ("train", "validation", "test")
_Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Shared:
    """What every trial of a sweep needs; Ray stores it once per node."""

    sweep: Sweep
    data: Data
    """Without ``shared``: its tensors travel as arrays, which workers map and never copy."""
    arrays: _Arrays | None
    location: StoreLocation
    experiment_id: str
    cell_run_ids: Mapping[str, str]
    """Of the cells known when the sweep starts, by cell key."""
    adaptive_label: str | None
    """The method that Optuna searches; None where the packs are known."""
    device: str
    threads: int
    objective: str | None
    """What a search looks at each epoch."""
    every_epoch: bool
    """Report each epoch, as a scheduler needs; otherwise about once a second."""
    checkpoint_seconds: float


def share_arrays(data: Data) -> _Arrays | None:
    """Return the tensors of shared splits as arrays."""
    if data.shared is None:
        return None
    arrays: _Arrays = {}
    for name in _SPLITS:
        split: Split = getattr(data.shared, name)
        arrays[f"{name}.inputs"] = split.inputs.numpy()
        arrays[f"{name}.targets"] = arrays[f"{name}.inputs"] if split.targets_are_inputs else split.targets.numpy()
    return arrays


def _splits(shared: Shared, seeds: Sequence[int]) -> Splits:
    if shared.arrays is None:
        return shared.data.for_seeds(seeds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in shared.arrays.items()}

    train, validation, test = (Split(tensors[f"{name}.inputs"], tensors[f"{name}.targets"]) for name in _SPLITS)
    return Splits(train, validation, test)


@cache
def keep_freed_memory() -> None:
    """Keep freed blocks in the process: a training step frees and asks for the same large ones again.

    glibc would give each back to the kernel and fault it in anew, about a tenth of a step's time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_trim_threshold, m_mmap_threshold, one_gib = -1, -3, 1 << 30
        libc.mallopt(m_mmap_threshold, one_gib)
        libc.mallopt(m_trim_threshold, one_gib)


@cache
def _client(location: StoreLocation) -> MlflowClient:
    return writer.client(location)


def pack_of(config: Mapping[str, Any], shared: Shared) -> tuple[Cell, str, tuple[int, ...]]:
    """Return cell, method label and seeds of a trial: those of its pack, or those that Optuna's values make."""
    if shared.adaptive_label is None:
        pack = json.loads(config["pack"])
        return Cell.model_validate_json(pack["cell"]), pack["method"], tuple(pack["seeds"])
    sweep = shared.sweep
    method = next(method for method in sweep.methods if method.label == shared.adaptive_label)
    values = {name: float(config[name]) for name in method.spaces}
    return sweep.cell(method, values, shared.data.digest, shared.data.num_train), method.label, sweep.seeds


class PackTrial(tune.Trainable):
    """Trains the replicates of one pack; each ``step`` is about a second, or an epoch."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        """Prepare a pack. Called at the start of every trial, in a fresh or a reused worker."""
        if shared is not None:
            self._shared = shared
        self._config = config
        self._trainer: Trainer | None = None
        self._state: dict[str, torch.Tensor] | None = None
        self._runs: list[writer.ReplicateRun] = []
        self._last_checkpoint = time.monotonic()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start over for the next trial in the same worker."""
        self.cleanup()
        self.setup(new_config)
        return True

    def _open_runs(self, cell: Cell, label: str, seeds: Sequence[int]) -> list[writer.ReplicateRun]:
        shared = self._shared
        store = _client(shared.location)
        cell_run = shared.cell_run_ids.get(cell.key) or writer.ensure_cell(store, shared.experiment_id, cell, label)
        return writer.start_replicates(store, shared.experiment_id, cell_run, cell, label, seeds)

    def _fit_baseline(self, name: Baseline, seeds: Sequence[int]) -> dict[str, Any]:
        """A classical method takes a moment: there is nothing to report on the way."""
        for run, outcome in zip(self._runs, baselines.outcomes(name, _splits(self._shared, seeds), seeds), strict=True):
            run.finish(outcome, "cpu")
        return self._result({"done": True, "done_training": True, "failed": ""})

    def _start(self, cell: Cell, seeds: Sequence[int]) -> Trainer:
        shared = self._shared
        keep_freed_memory()
        torch.set_num_threads(shared.threads)
        trainer = Trainer(
            shared.sweep.task,
            cell.regularization,
            cell.training,
            cell.pruning.threshold,
            _splits(shared, seeds),
            seeds,
            curve=cell.pruning.curve,
            device=shared.device,
        )
        self._restore(trainer)
        self._reports = trainer.run()
        return trainer

    def _restore(self, trainer: Trainer) -> None:
        """Continue from Tune's checkpoint, or from one that an earlier command left; else from the start."""
        if self._state is not None:
            trainer.load_state(self._state)
            return
        for path in json.loads(self._config.get("pack", "{}")).get("resume_from", ()):
            try:
                trainer.load_state(load_file(path))
                return
            except (SafetensorError, OSError, KeyError, ValueError):
                continue  # written in part when the machine went down: the one before it will do

    def step(self) -> dict[str, Any]:
        """Train until there is something to report; log every epoch on the way."""
        try:
            if self._trainer is None:
                cell, label, seeds = pack_of(self._config, self._shared)
                self._runs = self._open_runs(cell, label, seeds)
                if cell.baseline is not None:
                    return self._fit_baseline(cell.baseline, seeds)
                self._trainer = self._start(cell, seeds)
            return self._advance(self._trainer)
        except (MlflowException, OSError, SafetensorError):
            raise  # the store or the disk: Tune tries the pack again, from its last checkpoint
        except Exception as error:  # the same would happen again: it is recorded, and the sweep goes on
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            for run in self._runs:
                run.fail(reason)
            return self._result({"done": True, "done_training": True, "failed": reason})

    def _advance(self, trainer: Trainer) -> dict[str, Any]:
        begin = time.monotonic()
        report = None
        while report is None or not (self._shared.every_epoch or time.monotonic() - begin > 1):
            report = next(self._reports, None)
            if report is None:  # restored from a checkpoint of the last step
                return self._finish(trainer, None, trainer.diverged())
            for row, run in enumerate(self._runs):
                run.log_epoch(report, row)
            if len(trainer.diverged()) == len(trainer.seeds):
                return self._finish(trainer, report, diverged=trainer.seeds)
        if trainer.finished:
            return self._finish(trainer, report, trainer.diverged())
        due = time.monotonic() - self._last_checkpoint >= self._shared.checkpoint_seconds
        return self._result({"done": False, "should_checkpoint": due, **self._objective(trainer, report)}, report)

    def _objective(self, trainer: Trainer, report: EpochReport) -> dict[str, float]:
        if not (self._shared.every_epoch and self._shared.objective):
            return {}
        split, name, stage = self._shared.objective.split("/")
        values = trainer.validate(pruned=True)[name] if stage == "after_pruning" else report.metrics[f"{split}/{name}"]
        return {"objective": statistics.fmean(values)}

    def _finish(self, trainer: Trainer, report: EpochReport | None, diverged: Collection[int]) -> dict[str, Any]:
        objective: list[float] = []
        failed = ""
        for run, outcome in zip(self._runs, trainer.outcomes(), strict=True):
            if outcome.seed in diverged:
                failed = "the numbers ran away: loss or parameters are no longer finite"
                run.fail(failed)
                continue
            run.finish(outcome, device_name(trainer.device))
            if self._shared.objective:
                objective.append(outcome.scores[self._shared.objective])
        result = {"objective": statistics.fmean(objective)} if objective and not diverged else {}
        return self._result({"done": True, "done_training": True, "failed": failed, **result}, report)

    def _result(self, result: dict[str, Any], report: EpochReport | None = None) -> dict[str, Any]:
        """What the driver sees: progress, and the mean of the task's first score on validation data."""
        trainer = self._trainer
        if trainer is not None:
            result |= {
                "epoch": math.ceil(trainer.step / trainer.steps_per_epoch),
                "num_epochs": trainer.num_epochs,
            }
        if report is not None:
            score = self._shared.sweep.task.scores[0].name
            result["score"] = statistics.fmean(report.metrics[f"validation/{score}"])
        return {"epoch": 0, "num_epochs": 1, "objective": math.nan, **result}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state of the pack: one safetensors file. The store gets first what led up to it."""
        for run in self._runs:
            run.flush()
        self._last_checkpoint = time.monotonic()
        if self._trainer is not None:
            save_file(self._trainer.state(), Path(checkpoint_dir) / CHECKPOINT_FILE)

    def cleanup(self) -> None:
        """The trial ends here, perhaps early: what its replicates have logged must not be lost."""
        for run in self._runs:
            run.flush()

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take up a state that Tune hands back after a failure."""
        path = Path(checkpoint) / CHECKPOINT_FILE
        self._state = load_file(path) if path.is_file() else None


def device_name(device: torch.device) -> str:
    """Return what a reader of the store should know the device as."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
