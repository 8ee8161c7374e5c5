"""The training of one pack as one stacked model, logged to the runs of its replicates and saved in checkpoints."""

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from dn_distributed import baselines, score_names
from dn_distributed.config import Baseline
from dn_distributed.data import Splits
from dn_distributed.hardware import cpu_name, device_name
from dn_distributed.tasks import Task
from dn_distributed.text import with_class
from dn_distributed.training import EpochReport, Outcome, Trainer
from sweeps.planning.plan import Pack
from sweeps.tune.checkpoints import DamagedCheckpointError
from sweeps.tune.context import TrialContext, splits_of
from sweeps.tune.memory import keep_freed_memory
from sweeps.tune.search import OBJECTIVE, SIZE
from tracking.store import cell_runs, replicate_runs

_ENDED = {"done": True, "done_training": True}
"""What a pack reports last, unless it was stopped."""


class TaskError(Exception):
    """A task cannot be built: a file that it reads itself, say, is not there."""


def make_trainer(context: TrialContext, pack: Pack) -> Trainer:
    """Return the trainer of a pack at its first step. RuntimeError where the user's code is another here."""
    torch.set_num_threads(context.threads)
    context.sweep.check_code()
    return trainer_of(context.sweep.task, pack, splits_of(context, pack.seeds), context.device)


def trainer_of(task: Task, pack: Pack, splits: Splits, device: str) -> Trainer:
    """Return the trainer of a pack on its data, at its first step."""
    cell = pack.cell
    return Trainer(
        task,
        cell.regularization,
        cell.phases,
        cell.pruning,
        splits,
        pack.seeds,
        curve=cell.pruning.curve,
        proximal=cell.step == "proximal",
        device=device,
    )


class PackTraining:
    """One pack in one worker: the runs of its replicates and, unless it is a baseline, the trainer."""

    def __init__(self, context: TrialContext, pack: Pack) -> None:
        """Open the runs of the replicates; nothing is trained before ``start``."""
        self._context, self._pack = context, pack
        cell, label, store = pack.cell, pack.method, context.sweep_store
        cell_run = context.cell_run_ids.get(cell.key) or cell_runs.ensure_cell(store, cell, label)
        self.runs = replicate_runs.start_replicates(store, cell_run, cell, label, pack.seeds)
        self.trainer: Trainer | None = None
        self._last_checkpoint = time.monotonic()

    def fit_baseline(self, name: Baseline) -> dict[str, Any]:
        """Fit a classical method, which takes a moment: there is nothing to report on the way."""
        seeds = self._pack.seeds
        outcomes = baselines.outcomes(name, splits_of(self._context, seeds), seeds)
        for run, outcome in zip(self.runs, outcomes, strict=True):
            run.finish(outcome, cpu_name())
        return dict(_ENDED)

    def start(self, note: Callable[[str], None]) -> None:
        """Make the trainer, at the last checkpoint if there is one. ``note``: takes what the user should know."""
        keep_freed_memory()
        try:
            trainer = make_trainer(self._context, self._pack)
        except OSError as error:  # not one of the store or its disk
            raise TaskError(with_class(error)) from error
        self._restore(trainer, note)
        self._reports, self._first_epoch = trainer.run(), trainer.epoch
        self.trainer = trainer

    def _restore(self, trainer: Trainer, note: Callable[[str], None]) -> None:
        """Continue from a checkpoint of this pack, or of another that has its replicates; else from the start."""
        checkpoints = self._context.checkpoints
        for name in checkpoints.names(self._pack.key):
            try:
                trainer.load_state(load(checkpoints.read(name)))
                return
            except DamagedCheckpointError as error:
                note(f"{error}: going on from the one before it")
            except (SafetensorError, OSError, ValueError):
                continue  # gone meanwhile, or of other replicates

    def advance(self) -> dict[str, Any]:
        """Train until there is something to report, log every epoch on the way, and return the report for Tune."""
        trainer = self.trainer
        assert trainer is not None
        begin = time.monotonic()
        report = None
        while report is None or not (self._context.every_epoch or time.monotonic() - begin > 1):
            following = next(self._reports, None)
            if following is None:  # at the last step, where it may have been restored
                return self._finish(trainer, report, trainer.diverged())
            report = following
            for row, run in enumerate(self.runs):
                run.log_epoch(report, row)
            if len(trainer.diverged()) == len(trainer.seeds):
                return self._finish(trainer, report, diverged=trainer.seeds)
        if trainer.finished:
            return self._finish(trainer, report, trainer.diverged())
        if time.monotonic() - self._last_checkpoint >= self._context.checkpoint_seconds:
            self._save(trainer)
        return {"done": False, **self._objective(trainer, report), **self._score(report)}

    def _objective(self, trainer: Trainer, report: EpochReport) -> dict[str, float]:
        if not (self._context.every_epoch and self._context.objective):
            return {}
        _, name, stage = score_names.parse_final(self._context.objective)
        pruned = stage == "after_pruning"
        of_epoch = score_names.of_split("validation", name)
        values = trainer.validate(pruned=True)[name] if pruned else report.metrics[of_epoch]
        return {OBJECTIVE: statistics.fmean(values)}

    def _score(self, report: EpochReport | None) -> dict[str, float]:
        """The mean of the task's first score on validation data."""
        if report is None:
            return {}
        name = self._context.sweep.task.scores[0].name
        return {"score": statistics.fmean(report.metrics[score_names.of_split("validation", name)])}

    def _finish(self, trainer: Trainer, report: EpochReport | None, diverged: Collection[int]) -> dict[str, Any]:
        good: list[Outcome] = []
        for run, outcome in zip(self.runs, trainer.outcomes(), strict=True):
            if outcome.seed in diverged:
                run.fail("the numbers ran away: loss or parameters are no longer finite")
                continue
            run.finish(outcome, device_name(trainer.device))
            good.append(outcome)
        means = {} if diverged else self._means(good)
        return {**_ENDED, "num_failed": len(diverged), **means, **self._score(report)}

    def _means(self, outcomes: Sequence[Outcome]) -> dict[str, float]:
        """What a search goes by, of a pack of which every seed is there."""
        name, search = self._context.objective, self._context.sweep.search
        if name is None:
            return {}
        found = {OBJECTIVE: statistics.fmean(outcome.scores[name] for outcome in outcomes)}
        if search is not None and search.size is not None:
            found[SIZE] = statistics.fmean(getattr(outcome.counts, search.size) for outcome in outcomes)
        return found

    def fail(self, reason: str) -> dict[str, Any]:
        """Record that all replicates have failed."""
        for run in self.runs:
            run.fail(reason)
        return {**_ENDED, "num_failed": len(self.runs)}

    def progress(self) -> dict[str, int]:
        """Return the epoch, the one it went on from here, and how many there are; nothing without a trainer."""
        trainer = self.trainer
        if trainer is None:
            return {}
        return {"epoch": trainer.epoch, "first_epoch": self._first_epoch, "num_epochs": trainer.num_epochs}

    def save_unfinished(self) -> None:
        """Save the state of a training that has begun and is not at its last step."""
        if self.trainer is not None and self.trainer.step and not self.trainer.finished:
            self._save(self.trainer)

    def _save(self, trainer: Trainer) -> None:
        """Keep the pack's state. The store gets first what led up to it."""
        self.flush()
        self._context.checkpoints.save(self._pack.key, trainer.step, save(trainer.state()))
        self._last_checkpoint = time.monotonic()

    def flush(self) -> None:
        """Write what the replicates have logged to the store."""
        for run in self.runs:
            run.flush()
