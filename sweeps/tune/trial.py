"""One Tune trial: a pack of replicates, trained as one stacked model and logged to MLflow.

The class form of a trainable: an early stop ends it between steps, and a worker that is reused for the next
trial starts from ``setup`` again, so nothing can leak.
"""

import ctypes
import json
import math
import socket
import statistics
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import ray
import torch
from mlflow.exceptions import MlflowException
from ray import ObjectRef, cloudpickle, tune
from ray.exceptions import RayError
from safetensors import SafetensorError
from safetensors.torch import load, save

from dn_distributed import baselines, score_names
from dn_distributed.config import Baseline, Cell
from dn_distributed.data import Data, Split, Splits
from dn_distributed.hardware import cpu_name, device_name
from dn_distributed.training import EpochReport, Trainer
from sweeps.planning.plan import Pack
from sweeps.spec.own_modules import OwnModules
from sweeps.spec.sweep import Sweep
from sweeps.tune.checkpoints import Checkpoints, DamagedCheckpointError
from tracking.errors import StoreError
from tracking.store import cell_runs, outages, replicate_runs
from tracking.store.sweep_store import SweepStore

_SPLITS = ("train", "validation", "test")
_Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Shared:
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
    """What a search looks at each epoch."""
    every_epoch: bool
    """Report each epoch, as a scheduler needs; otherwise about once a second."""
    checkpoints: Checkpoints
    checkpoint_seconds: float
    """Least time between two of a pack."""


@dataclass(frozen=True)
class Sealed:
    """A ``Shared`` as Ray carries it to workers: what goes wrong when one is made of it can be told."""

    content: bytes
    arrays: "ObjectRef[_Arrays] | None"

    @classmethod
    def of(cls, shared: Shared) -> "Sealed":
        """Close it. Ray must see the reference, or would forget what it refers to."""
        return cls(cloudpickle.dumps(replace(shared, arrays=None)), shared.arrays)  # type: ignore[no-untyped-call]

    def open(self) -> Shared:
        """Return it, after importing what it needs."""
        shared: Shared = cloudpickle.loads(self.content)
        return replace(shared, arrays=self.arrays)


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


def _splits(shared: Shared, seeds: Sequence[int]) -> Splits:
    if shared.arrays is None:
        return shared.data.for_seeds(seeds)
    arrays: _Arrays = ray.get(shared.arrays)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    inputs = {name: tensors[f"{name}.inputs"] for name in _SPLITS}
    train, validation, test = (Split(inputs[name], tensors.get(f"{name}.targets", inputs[name])) for name in _SPLITS)
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


def pack_of(config: Mapping[str, Any], shared: Shared) -> Pack:
    """Return the pack of a trial: as planned, or as Optuna's values make it."""
    if shared.adaptive_label is None:
        pack = json.loads(config["pack"])
        return Pack(pack["method"], Cell.model_validate_json(pack["cell"]), tuple(pack["seeds"]))
    sweep = shared.sweep
    method = next(method for method in sweep.methods if method.label == shared.adaptive_label)
    values = {name: float(config[name]) for name in method.spaces}
    return Pack(method.label, sweep.cell(method, values, shared.data.digest, shared.data.num_train), sweep.seeds)


def make_trainer(shared: Shared, pack: Pack) -> Trainer:
    """Return the trainer of a pack at its first step. RuntimeError where the user's code is another here."""
    torch.set_num_threads(shared.threads)
    cell = pack.cell
    shared.sweep.check_code()
    return Trainer(
        shared.sweep.task,
        cell.regularization,
        cell.training,
        cell.pruning.threshold,
        _splits(shared, pack.seeds),
        pack.seeds,
        curve=cell.pruning.curve,
        device=shared.device,
    )


class TaskError(Exception):
    """A task cannot be built: a file that it reads itself, say, is not there."""


class PackTrial(tune.Trainable):
    """Trains the replicates of one pack; each ``step`` is about a second, or an epoch."""

    _shared: Shared

    def setup(self, config: dict[str, Any], sealed: Sealed | None = None) -> None:
        """Prepare a pack. Called at the start of every trial, in a fresh or a reused worker."""
        self._sealed = sealed
        self._config = config
        self._trainer: Trainer | None = None
        self._notes: list[str] = []
        self._runs: list[replicate_runs.ReplicateRun] = []
        self._begun_again = False
        self._last_checkpoint = time.monotonic()
        self._done = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start over for the next trial in the same worker."""
        self._flush()
        self.setup(new_config)
        _release_device_memory()
        return True

    def _open_runs(self, pack: Pack) -> list[replicate_runs.ReplicateRun]:
        shared, cell, label = self._shared, pack.cell, pack.method
        store = shared.sweep_store
        cell_run = shared.cell_run_ids.get(cell.key) or cell_runs.ensure_cell(store, cell, label)
        return replicate_runs.start_replicates(store, cell_run, cell, label, pack.seeds)

    def _fit_baseline(self, name: Baseline, seeds: Sequence[int]) -> dict[str, Any]:
        """A classical method takes a moment: there is nothing to report on the way."""
        for run, outcome in zip(self._runs, baselines.outcomes(name, _splits(self._shared, seeds), seeds), strict=True):
            run.finish(outcome, cpu_name())
        return self._result({"done": True, "done_training": True})

    def _start(self, pack: Pack) -> Trainer:
        keep_freed_memory()
        try:
            trainer = make_trainer(self._shared, pack)
        except OSError as error:  # not one of the store or its disk
            raise TaskError(f"{type(error).__name__}: {error}") from error
        self._restore(trainer, pack)
        self._reports = trainer.run()
        return trainer

    def _restore(self, trainer: Trainer, pack: Pack) -> None:
        """Continue from a checkpoint of this pack, or of another that has its replicates; else from the start."""
        checkpoints = self._shared.checkpoints
        for name in checkpoints.names(pack.key):
            try:
                trainer.load_state(load(checkpoints.read(name)))
                return
            except DamagedCheckpointError as error:
                self._notes.append(f"{error}: going on from the one before it")
            except (SafetensorError, OSError, ValueError):
                continue  # gone meanwhile, or of other replicates

    def _save(self, trainer: Trainer, pack: Pack) -> None:
        """Keep the pack's state. The store gets first what led up to it."""
        for run in self._runs:
            run.flush()
        self._shared.checkpoints.save(pack.key, trainer.step, save(trainer.state()))
        self._last_checkpoint = time.monotonic()

    def step(self) -> dict[str, Any]:
        """Train until there is something to report; log every epoch on the way."""
        if self._sealed is not None and (reason := self._unseal(self._sealed)):
            return self._result({"done": True, "cannot_start": reason})
        try:
            if self._trainer is None:
                self._pack = pack_of(self._config, self._shared)
                self._runs = self._open_runs(self._pack)
                if self._pack.cell.baseline is not None:
                    return self._fit_baseline(self._pack.cell.baseline, self._pack.seeds)
                self._trainer = self._start(self._pack)
            return self._advance(self._trainer, self._pack)
        except (
            MlflowException,
            StoreError,
            OSError,
            SafetensorError,
            RayError,
        ) as error:  # the store, a disk, the driver's node
            if isinstance(error, RayError) or outages.can_pass(error):
                raise  # Tune tries the pack again, from its last checkpoint
            return self._refused(outages.reason(error))
        except Exception as error:  # the same would happen again: it is recorded, and the sweep goes on
            if is_out_of_memory(error) and len(self._runs) > 1:
                self._trainer = None  # its memory is needed
                _release_device_memory()
                return self._result({"done": True, "out_of_memory": True})
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            for run in self._runs:
                run.fail(reason)
            return self._result({"done": True, "done_training": True, "num_failed": len(self._runs)})

    def _unseal(self, sealed: Sealed) -> str:
        """Open what the driver has sent, and return why that cannot be; empty if it can."""
        try:
            self._shared, self._sealed = sealed.open(), None
        except (Exception, SystemExit) as error:  # a module is missing or does not load here: so with every pack
            return f"{socket.gethostname()}: {' '.join(f'{type(error).__name__}: {error}'.split())}"
        return ""

    def _refused(self, reason: str) -> dict[str, Any]:
        """What is to be written is refused, and would be again: a run that was deleted meanwhile is made anew, once."""
        self._trainer = None
        if self._begun_again:
            self._runs = []  # nothing more is written
            return self._result({"done": True, "refused": reason})
        self._begun_again = True
        self._notes.append(f"begun again, from its last checkpoint: {reason}")
        return self._result({"done": False})

    def _advance(self, trainer: Trainer, pack: Pack) -> dict[str, Any]:
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
        if time.monotonic() - self._last_checkpoint >= self._shared.checkpoint_seconds:
            self._save(trainer, pack)
        return self._result({"done": False, **self._objective(trainer, report)}, report)

    def _objective(self, trainer: Trainer, report: EpochReport) -> dict[str, float]:
        if not (self._shared.every_epoch and self._shared.objective):
            return {}
        _, name, stage = score_names.parse_final(self._shared.objective)
        pruned = stage == "after_pruning"
        of_epoch = score_names.of_split("validation", name)
        values = trainer.validate(pruned=True)[name] if pruned else report.metrics[of_epoch]
        return {"objective": statistics.fmean(values)}

    def _finish(self, trainer: Trainer, report: EpochReport | None, diverged: Collection[int]) -> dict[str, Any]:
        objective: list[float] = []
        for run, outcome in zip(self._runs, trainer.outcomes(), strict=True):
            if outcome.seed in diverged:
                run.fail("the numbers ran away: loss or parameters are no longer finite")
                continue
            run.finish(outcome, device_name(trainer.device))
            if self._shared.objective:
                objective.append(outcome.scores[self._shared.objective])
        result = {"objective": statistics.fmean(objective)} if objective and not diverged else {}
        ended = {"done": True, "done_training": True, "num_failed": len(diverged)}
        return self._result({**ended, **result}, report)

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
            result["score"] = statistics.fmean(report.metrics[score_names.of_split("validation", score)])
        notes, self._notes = self._notes, []
        self._done = bool(result.get("done"))
        return {"epoch": 0, "num_epochs": 1, "objective": math.nan, "notes": notes, **result}

    def cleanup(self) -> None:
        """The worker ends here: where that is in the midst of a pack, the next command goes on from this step."""
        trainer = self._trainer
        if trainer is not None and trainer.step and not (self._done or trainer.finished):
            self._save(trainer, self._pack)
        self._flush()

    def _flush(self) -> None:
        """The trial has ended, perhaps early: what its replicates have logged must not be lost."""
        for run in self._runs:
            run.flush()


def _release_device_memory() -> None:
    """Give back what torch keeps for itself: other packs may share the GPU."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a device or this machine had no memory left; torch's CPU allocator raises a RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
