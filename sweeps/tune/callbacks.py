"""What the driver does while Tune runs: show progress, say what went wrong, and hand each pack that ended on."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from sweeps.cluster.ray_internals import clear_metric_statistics
from sweeps.console import notify
from sweeps.ending import Ending
from sweeps.errors import ClusterError
from sweeps.planning.plan import Pack
from sweeps.tune.context import TrialContext
from sweeps.tune.pack_config import pack_of
from sweeps.tune.progress import Progress
from sweeps.tune.round import Round
from tracking.errors import StoreError

_LONGEST_REASON = 300


PackEnded = Callable[[Pack, Mapping[str, Any]], str]
"""Takes a pack that was decided and its last result; returns why the store refuses what is written, or nothing."""


class StoppedError(Exception):
    """Tune's loop is to end in order: packs save their state."""


class DriverCallback(Callback):
    """Called by Tune in the driver's process."""

    def __init__(
        self,
        progress: Progress,
        pack_ended: PackEnded,
        context: TrialContext,
        at_every_step: Callable[[], None] = lambda: None,
        ending: Ending | None = None,
    ) -> None:
        """``pack_ended`` gets every pack that was decided, and its last result.

        ``at_every_step`` is called whenever Tune turns to its trials.
        """
        self.round = Round()
        self._cannot_start = self._refusal = ""
        self._progress, self._pack_ended, self._context = progress, pack_ended, context
        self._at_every_step, self._ending = at_every_step, ending or Ending()

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves its callbacks with its own state, which nothing here is restored from."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune turns to its trials."""
        self.check()
        if self._ending.number is not None:
            raise StoppedError
        self._progress.time_passes()
        self._at_every_step()

    def check(self) -> None:
        """ClusterError where a worker cannot start packs at all; StoreError where the store refuses what is written.

        The next pack would meet with the same.
        """
        if self._cannot_start:
            raise ClusterError(f"packs cannot be started on {self._cannot_start}")
        if self._refusal:
            raise StoreError(
                f"the store refuses what is written to it: {self._refusal}; what was finished is kept, and the same "
                "command goes on once that is mended"
            )

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack begins, or begins again."""
        pack = self._pack(trial)
        self._progress.pack_started(trial.trial_id, pack.method, len(pack.seeds))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A pack reports."""
        for note in result["notes"]:
            notify(f"{self._pack(trial)}: {note}")
        self._progress.pack_reported(trial.trial_id, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack's worker is gone, and it begins again."""
        self._progress.pack_put_back(trial.trial_id)
        notify(f"{self._pack(trial)}: taken up again, from its last checkpoint: {_reason(_last_error(trial))}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack is done, or too large, or a scheduler has ended it."""
        pack, result = self._pack(trial), trial.last_result
        if reason := result.get("cannot_start"):
            self._cannot_start = reason
            return
        self.round.ended.add(trial.trial_id)
        if reason := result.get("refused"):
            self._refusal = self._refusal or f"{pack}: {reason}"
            return
        if result.get("out_of_memory"):
            self.round.too_large.append(pack)
            self._progress.pack_put_back(trial.trial_id)
            return
        self._progress.pack_ended(trial.trial_id, result)
        self._refusal = self._refusal or self._pack_ended(pack, result)
        clear_metric_statistics(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack was lost more often than it is taken up again."""
        pack, error = self._pack(trial), _last_error(trial)
        self.round.ended.add(trial.trial_id)
        self._progress.pack_put_back(trial.trial_id)
        if _guards_memory(error) and len(pack.seeds) > 1:
            self.round.too_large.append(pack)
            return
        self.round.lost.append(pack)
        notify(f"{pack}: given up for now: {_reason(error)}")

    def _pack(self, trial: Any) -> Pack:
        return pack_of(trial.config, self._context)


def _last_error(trial: Any) -> str:
    """Return what Tune has written of a trial's last failure. Its own means look where that is copied to later."""
    try:
        return Path(trial.error_file).read_text("utf-8").rpartition("Failure # ")[2] if trial.error_file else ""
    except OSError:
        return ""


def _guards_memory(error: str) -> re.Match[str] | None:
    """Return what Ray's memory guard says where it killed a worker: used memory, and all of it."""
    return re.search(r"running low on memory.*?was (\S+) used / (\S+) limit", error, re.DOTALL)


def _reason(error: str) -> str:
    """Return a failure as one line: Ray's account of a worker that is gone is a page long and says no more."""
    if found := _guards_memory(error):
        return f"Ray stopped its worker, for memory ran short on its node: {found[1]} of {found[2]} were used"
    lines = [line.strip() for line in error.splitlines()[1:] if line.strip()]
    gone = not lines or "The actor died" in error or "The actor is dead" in error
    return "its worker or node is gone" if gone else lines[-1][:_LONGEST_REASON]
