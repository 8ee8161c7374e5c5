"""How far a sweep is, from the store alone: any machine that reaches the store can ask."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dn_distributed.config import keys_of_replicates
from tracking import schema
from tracking.errors import StoreError
from tracking.manifest import Manifest, ManifestMethod
from tracking.store import runs
from tracking.store.driver import Driver, driver_from_tags
from tracking.store.location import StoreLocation
from tracking.store.runs import Outcome, Replicate, State, is_stopped
from tracking.store.sweep_store import SweepStore

_SILENT_SECONDS = 60.0  # of a driver that speaks every five


@dataclass(frozen=True)
class Entry:
    """One replicate that the sweep asks for, as the store has it."""

    method: str
    seed: int
    state: State | None
    """None where it has not begun."""
    ended: float | None = None
    """Seconds since 1970."""
    reason: str = ""
    """Why it failed or was stopped."""


@dataclass(frozen=True)
class Status:
    """All replicates of a sweep."""

    name: str
    replicates: tuple[Entry, ...]
    driver: Driver | None
    """The driver at work, if there is one."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        return not self.count(None, "incomplete")

    def count(self, *states: State | None) -> int:
        """Return how many replicates are in one of these states."""
        return sum(self._states[state] for state in states)

    @cached_property
    def _states(self) -> Counter[State | None]:
        return Counter(replicate.state for replicate in self.replicates)

    def seconds_left(self, now: float) -> float | None:
        """Return the time to finish at the speed since the driver began; None where that is not known."""
        if self.driver is None:
            return None
        began = self.driver.began
        ended = sum(1 for replicate in self.replicates if replicate.ended and replicate.ended >= began)
        return (now - began) / ended * self.count(None, "incomplete") if ended else None

    def lines(self, now: float) -> list[str]:
        """Return the status in words: the sweep, its methods, and what failed and why."""
        lines = [f"{self.name}: {self._counts(self.replicates)}", f"  {self._driver(now)}"]
        width = max(map(len, self._by_method), default=0)
        lines += [f"  {method:<{width}}  {self._counts(own)}" for method, own in self._by_method.items()]
        lines += [f"  failed × {count}: {method}: {reason}" for (method, reason), count in self._reasons.items()]
        if self.count("failed"):
            lines.append("  `dn sweep FILE --retry-failed` runs the failed ones again")
        return lines

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the same as data: counts of the sweep and of each method, failures, the driver, seconds to go."""
        return {
            "name": self.name,
            "complete": self.done and not self.count("failed"),
            "ended": self.done,
            "replicates": self._numbers(self.replicates),
            "methods": [{"label": label, **self._numbers(own)} for label, own in self._by_method.items()],
            "failures": [
                {"method": method, "reason": reason, "count": count}
                for (method, reason), count in self._reasons.items()
            ],
            "driver": None if self.driver is None else self.driver.model_dump(include={"host", "pid", "began", "last"}),
            "seconds_left": self.seconds_left(now),
        }

    @cached_property
    def _by_method(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for replicate in self.replicates:
            found.setdefault(replicate.method, []).append(replicate)
        return found

    @cached_property
    def _reasons(self) -> Counter[tuple[str, str]]:
        return Counter((item.method, item.reason) for item in self.replicates if item.state == "failed")

    def _numbers(self, replicates: Iterable[Entry]) -> dict[str, int]:
        states = Counter(replicate.state for replicate in replicates)
        begun, at_work = states["incomplete"], self.driver is not None
        return {
            "total": states.total(),
            "done": states["finished"],
            "running": begun if at_work else 0,
            "interrupted": 0 if at_work else begun,
            "left": states[None],
            "failed": states["failed"],
            "stopped": states["stopped"],
        }

    def _counts(self, replicates: Iterable[Entry]) -> str:
        numbers = self._numbers(replicates)
        total, done = numbers.pop("total"), numbers.pop("done")
        words = (f"{count} {word}{' early' * (word == 'stopped')}" for word, count in numbers.items() if count)
        return ", ".join([f"{done} of {total} done", *words])

    def _driver(self, now: float) -> str:
        if self.driver is None:
            if not self.done:
                return "no driver is at work; `dn sweep FILE` goes on"
            failed = self.count("failed")
            return f"ended, {failed} failed" if failed else "complete"
        since = time.strftime("%H:%M", time.localtime(self.driver.began))
        at_work = f"run by {self.driver.host} (process {self.driver.pid}) since {since}"
        silence = now - self.driver.last
        if self.driver.last and silence > _SILENT_SECONDS:
            return f"{at_work}; no sign of life for {in_words(silence)}: if it is gone, `dn sweep FILE` takes over"
        left = self.seconds_left(now)
        return at_work if left is None else f"{at_work}; about {in_words(left)} to go"


def read(sweep: SweepStore) -> Status:
    """Return the status of a sweep. StoreError if it was never started."""
    _, manifest = runs.read_manifest(sweep)
    is_searching = any(method.to_propose for method in manifest.methods)
    every = runs.read_states(sweep) if is_searching else []
    known = {item.replicate_key: item for item in every} if is_searching else runs.read_outcomes(sweep)
    report_run = sweep.records("report", tags=(schema.DRIVER,))[0]
    driver = driver_from_tags(report_run.tags)
    if driver is not None and driver.is_known_dead:
        driver = None
    return Status(sweep.name, tuple(_entries(manifest, known, every)), driver)


def read_all(location: StoreLocation, tell: Callable[[str], None]) -> list[Status]:
    """Return the status of every sweep of a store, by name. Experiments that are no sweeps are passed over.

    ``tell`` gets a line for each that cannot be read, as one that another version of this project wrote.
    """
    found = []
    for name in SweepStore.names(location):
        try:
            sweep = SweepStore.find(location, name)
            if runs.find_manifest(sweep) is not None:
                found.append(read(sweep))
        except StoreError as error:
            tell(f"{name}: {error}")
    return found


def _entries(manifest: Manifest, known: Mapping[str, Outcome], every: Iterable[Replicate]) -> Iterable[Entry]:
    """``every``: replicate of the sweep, where a search has still to propose some."""
    seen: set[str] = set()
    for method in manifest.methods:
        for cell in method.cells:
            cell_key = cell.key
            if cell_key in seen:  # methods that differ only in what is shown of a cell share it
                continue
            seen.add(cell_key)
            keys = zip(manifest.seeds, keys_of_replicates(cell_key, manifest.seeds), strict=True)
            yield from _of_cell(method.label, {seed: known.get(key) for seed, key in keys})
    others = [item for item in every if item.cell_key not in seen]
    for method in manifest.methods:
        yield from _proposed(method, manifest.seeds, others)


def _proposed(method: ManifestMethod, seeds: Sequence[int], others: Sequence[Replicate]) -> Iterator[Entry]:
    """What a search has proposed since the manifest was written, and what it has still to propose."""
    cells: dict[str, dict[int | None, Replicate]] = {}
    for item in sorted(others, key=lambda item: -item.start_time):
        if item.label == method.label:
            cells.setdefault(item.cell_key, {})[item.seed] = item
    found = [*cells.values(), *({} for _ in range(method.to_propose))][: method.to_propose]
    for by_seed in found:
        yield from _of_cell(method.label, {seed: by_seed.get(seed) for seed in seeds})


def _of_cell(method: str, found: Mapping[int, Outcome | None]) -> Iterator[Entry]:
    """By seed. Where a search has stopped the cell, so are the seeds that are not to run any more."""
    stopped = is_stopped(None if outcome is None else outcome.state for outcome in found.values())
    for seed, outcome in found.items():
        if stopped and (outcome is None or outcome.state == "incomplete"):
            yield Entry(method, seed, "stopped")
        else:
            yield _entry(method, seed, outcome)


def _entry(method: str, seed: int, found: Outcome | None) -> Entry:
    if found is None:
        return Entry(method, seed, None)
    ended = found.end_time / 1000 if found.end_time and found.state != "incomplete" else None
    return Entry(method, seed, found.state, ended, found.reason)


def in_words(seconds: float) -> str:
    """Return a duration as a person says it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
