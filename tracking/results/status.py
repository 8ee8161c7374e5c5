"""How far a sweep is, from the store alone: any machine that reaches the store can ask."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tracking import schema
from tracking.manifest import Manifest, ManifestMethod
from tracking.store import runs
from tracking.store.driver import Driver, driver_from_tags
from tracking.store.runs import Replicate, State
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
        methods = dict.fromkeys(replicate.method for replicate in self.replicates)
        width = max(map(len, methods), default=0)
        for method in methods:
            own = [replicate for replicate in self.replicates if replicate.method == method]
            lines.append(f"  {method:<{width}}  {self._counts(own)}")
        reasons = Counter((r.method, r.reason) for r in self.replicates if r.state == "failed")
        lines += [f"  failed × {count}: {method}: {reason}" for (method, reason), count in reasons.items()]
        if self.count("failed"):
            lines.append("  `dn sweep FILE --retry-failed` runs the failed ones again")
        return lines

    def _counts(self, replicates: Iterable[Entry]) -> str:
        states = Counter(replicate.state for replicate in replicates)
        begun = "running" if self.driver else "interrupted"
        words = ((begun, "incomplete"), ("left", None), ("failed", "failed"), ("stopped early", "stopped"))
        parts = [f"{states['finished']} of {states.total()} done"]
        return ", ".join(parts + [f"{states[state]} {word}" for word, state in words if states[state]])  # type: ignore[index]

    def _driver(self, now: float) -> str:
        if self.driver is None:
            failed = f", {self.count('failed')} failed" * bool(self.count("failed"))
            return f"complete{failed}" if self.done else "no driver is at work; `dn sweep FILE` goes on"
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
    known = {replicate.replicate_key: replicate for replicate in runs.read_states(sweep)}
    report_run = sweep.records("report", tags=(schema.DRIVER,))[0]
    driver = driver_from_tags(report_run.tags)
    if driver is not None and driver.is_known_dead:
        driver = None
    return Status(manifest.name, tuple(_entries(manifest, known)), driver)


def _entries(manifest: Manifest, known: Mapping[str, Replicate]) -> Iterable[Entry]:
    seen: set[str] = set()
    for method in manifest.methods:
        for cell in method.cells:
            if cell.key in seen:  # methods that differ only in what is shown of a cell share it
                continue
            seen.add(cell.key)
            for seed in manifest.seeds:
                yield _entry(method.label, seed, known.get(cell.replicate_key(seed)))
    listed = {cell.key for method in manifest.methods for cell in method.cells}
    others = [item for item in known.values() if item.cell_key not in listed]
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
        for seed in seeds:
            yield _entry(method.label, seed, by_seed.get(seed))


def _entry(method: str, seed: int, found: Replicate | None) -> Entry:
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
