"""What the driver does while Tune runs: show progress, and hand each pack that ended to the runner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune import Callback

from dn_distributed.config import Cell
from sweeps.progress import Progress
from sweeps.trial import Shared, pack_of

TrialEnded = Callable[[Cell, str, Sequence[int], Mapping[str, Any]], None]


class DriverCallback(Callback):
    """Called by Tune in the driver's process."""

    def __init__(self, progress: Progress, trial_ended: TrialEnded, shared: Shared) -> None:
        """``trial_ended`` gets cell, label, seeds and last result of every pack that was not lost."""
        self.ended: set[str] = set()
        self._progress, self._trial_ended, self._shared = progress, trial_ended, shared

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves its callbacks with its own state, which nothing here is restored from."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack begins, or begins again."""
        _, label, seeds = pack_of(trial.config, self._shared)
        self._progress.pack_started(trial.trial_id, label, len(seeds))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A pack reports."""
        self._progress.pack_reported(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack is done, or a scheduler has ended it."""
        self.ended.add(trial.trial_id)
        result = trial.last_result
        self._progress.pack_ended(trial.trial_id, result)
        self._trial_ended(*pack_of(trial.config, self._shared), result)
        _let_go(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack was lost more often than it is taken up again."""
        self.ended.add(trial.trial_id)
        self._progress.pack_lost(trial.trial_id, _last_line(trial.get_error()))


def _let_go(trial: Any) -> None:
    """Drop Tune's statistics of every number that a trial has reported: half of the memory that it costs the driver.

    Tune keeps its trials to the end of an experiment, and nothing here looks at these.
    """
    kept = getattr(trial, "run_metadata", None)
    for name in ("metric_analysis", "metric_n_steps"):
        getattr(kept, name, {}).clear()


def _last_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else "the worker died"
