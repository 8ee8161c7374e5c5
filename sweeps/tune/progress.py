"""Live progress of a sweep on a terminal; elsewhere a line for each pack that has ended, and one a minute."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.console import notify
from sweeps.planning.plan import Plan
from tracking.results.status import in_words

SECONDS_OF_SILENCE = 55.0
"""After so long there is a line where the output is no terminal: a log is not silent for a minute."""


@dataclass
class _Running:
    label: str
    num_replicates: int
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> float:
        """Replicates' worth of training that is done."""
        return self._until("epoch")

    @property
    def resumed(self) -> float:
        """How much of it was done before, up to the checkpoint that the pack began from."""
        return self._until("first_epoch")

    def _until(self, epoch: str) -> float:
        return self.num_replicates * float(self.result.get(epoch, 0)) / float(self.result.get("num_epochs", 1))


class Progress:
    """Replicates done, running and left, the time to finish, and the last scores."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console`` if it is a terminal; else print lines to standard error. A quiet console gets neither."""
        self._console = console
        self._live: Live | None = None
        self._running: dict[str, _Running] = {}
        self._done = self._failed = self._stopped = self._total = 0
        self._before = 0
        self._resumed = 0.0  # of packs that have ended
        self._first_pack: float | None = None
        self._last_line = time.monotonic()
        self._name = self._score = ""

    @contextlib.contextmanager
    def sweep(self, plan: Plan) -> Iterator[None]:
        """Show the progress of one sweep."""
        self._running, self._done, self._failed, self._stopped = {}, 0, 0, 0
        self._total, self._before = plan.num_to_run, plan.count("finished")
        self._resumed, self._first_pack, self._last_line = 0.0, None, time.monotonic()
        self._name = plan.sweep.name
        self._score = plan.sweep.task.scores[0].name
        if not self._console.is_terminal:
            yield
            return
        with Live(
            self._draw(),
            console=self._console,
            refresh_per_second=2,
            transient=True,
            get_renderable=self._draw,
        ):
            yield

    def pack_started(self, trial_id: str, label: str, num_replicates: int) -> None:
        """A pack begins."""
        if self._first_pack is None:
            self._first_pack = time.monotonic()
        self._running[trial_id] = _Running(label, num_replicates)

    def pack_reported(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A pack has got further."""
        if trial_id in self._running:
            self._running[trial_id].result = result

    def time_passes(self) -> None:
        """Say how far the sweep is if nothing was said for long."""
        if time.monotonic() - self._last_line >= SECONDS_OF_SILENCE:
            self._print_line()

    def pack_ended(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A pack has ended, with a result, a failure that is recorded, or an early stop."""
        pack = self._running.pop(trial_id, None)
        if pack is None:
            return
        self._resumed += pack.resumed
        if result.get("done_training"):
            failed = int(result.get("num_failed", 0))
            self._failed += failed
            self._done += pack.num_replicates - failed
            what = self._what_became_of(pack, failed)
        else:
            self._stopped += pack.num_replicates
            what = f" stopped early{self._score_of(pack)}"
        self._print_line(f"{pack.label} × {pack.num_replicates}{what}; ")

    def _what_became_of(self, pack: _Running, failed: int) -> str:
        if failed == pack.num_replicates:
            return " failed"
        score = self._score_of(pack)
        return f": {pack.num_replicates - failed} done, {failed} failed{score}" if failed else f" done{score}"

    def pack_put_back(self, trial_id: str) -> None:
        """A pack has ended undecided, or is lost with its worker: it will begin again."""
        self._running.pop(trial_id, None)

    def _print_line(self, what: str = "") -> None:
        """Where nothing is drawn, print a line of progress that begins with ``what`` has happened."""
        if self._console.is_terminal or self._console.quiet:
            return
        self._last_line = time.monotonic()
        notify(f"{self._name}: {what}replicates {', '.join(part.plain for part in self._counts())}", logging.INFO)

    def _score_of(self, pack: _Running) -> str:
        score = pack.result.get("score")
        return f", validation {self._score} {score:.4g}" if score is not None else ""

    def _counts(self) -> list[Text]:
        running = sum(pack.num_replicates for pack in list(self._running.values()))
        left = max(0, self._total - self._ended - running)
        counts = {"done": self._before + self._done, "running": running, "left": left}
        parts = [Text.assemble((str(count), "bold"), f" {what}") for what, count in counts.items()]
        parts += [Text(f"{self._failed} failed", "red")] * bool(self._failed)
        parts += [Text(f"{self._stopped} stopped early")] * bool(self._stopped)
        if (remaining := self._remaining()) is not None:
            parts.append(Text(f"about {in_words(remaining)} to go"))
        return parts

    def _draw(self) -> Table:
        shown = Table.grid(padding=(0, 2))
        shown.add_row("replicates", Text("  ").join(self._counts()))
        for pack in list(self._running.values()):
            text = f"epoch {pack.result.get('epoch', 0)} of {pack.result.get('num_epochs', '?')}{self._score_of(pack)}"
            shown.add_row(Text(f"  {pack.label} × {pack.num_replicates}"), Text(text))
        return shown

    @property
    def _ended(self) -> int:
        return self._done + self._failed + self._stopped

    def _remaining(self) -> float | None:
        """Seconds to finish at the speed since the first pack began; None before there is any."""
        running = list(self._running.values())
        ended = self._ended + sum(pack.ended for pack in running)
        trained = ended - self._resumed - sum(pack.resumed for pack in running)
        if self._first_pack is None or not trained > 0 or not ended < self._total:
            return None
        return (time.monotonic() - self._first_pack) * (self._total - ended) / trained
