"""The plan: all packs of a sweep, minus the replicates that the store already holds."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps.planning.packing import PackCost, best_size, split_evenly
from sweeps.spec.sweep import Method, Sweep
from tracking.store.runs import State, is_stopped


@dataclass(frozen=True)
class Pack:
    """Replicates of one cell trained together: one Tune trial."""

    method: str
    cell: Cell
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Identity of the pack, beginning with its cell's: checkpoints are found again by it."""
        joined = "/".join(self.cell.replicate_keys(self.seeds))
        return f"{self.cell.key[:16]}-{hashlib.sha256(joined.encode()).hexdigest()[:16]}"

    def __str__(self) -> str:
        """The pack as messages name it."""
        return f"{self.method}, seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class PlannedCell:
    """A cell of a method, and the state of each of its replicates (None: to run)."""

    method: Method
    cell: Cell
    states: Mapping[int, State | None]
    taken_up: tuple[int, ...] = ()
    """Seeds that a search once stopped early, and that are to run now, as nothing judges them any more."""

    def seeds_in(self, *states: State | None) -> tuple[int, ...]:
        """Return the seeds whose replicate is in one of these states."""
        return tuple(seed for seed, state in self.states.items() if state in states)


@dataclass(frozen=True)
class Plan:
    """What is done and what is to run."""

    sweep: Sweep
    data: Data
    cells: tuple[PlannedCell, ...]
    proposes: bool = True
    """Whether a search may propose new configurations."""
    remarks: tuple[str, ...] = ()
    """Lines for the user about stored results that this plan does not count, and why."""

    @property
    def distinct(self) -> tuple[PlannedCell, ...]:
        """The cells, each once: methods that differ only in what is shown of a cell share it.

        Beside a scheduler a method without a search comes first: it needs the cell to the end.
        """
        first: dict[str, PlannedCell] = {}
        for item in self.cells:
            known = first.setdefault(item.cell.key, item)
            if _may_stop(self.sweep, known.method) and not _may_stop(self.sweep, item.method):
                first[item.cell.key] = item
        return tuple(first.values())

    @property
    def kept(self) -> frozenset[str]:
        """Keys of the cells that a scheduler has judged and not ended: their new seeds run to the end."""
        if not self.sweep.has_scheduler:
            return frozenset()
        return frozenset(item.cell.key for item in self.distinct if item.seeds_in("finished"))

    @property
    def total(self) -> int:
        """Replicates that the sweep asks for, Optuna's future ones included."""
        return len(self.sweep.seeds) * (len(self.distinct) + sum(self.open_samples.values()))

    def count(self, *states: State | None) -> int:
        """Return how many known replicates are in one of these states."""
        return sum(len(cell.seeds_in(*states)) for cell in self.distinct)

    def restricted_to(self, restart: Collection[str], resume: Collection[str]) -> "Plan":
        """Return the plan of running these alone, by replicate key: ``restart`` anew, ``resume`` to the end."""

        def states(cell: PlannedCell) -> dict[int, State | None]:
            keys = dict(zip(cell.states, cell.cell.replicate_keys(list(cell.states)), strict=True))
            return {
                seed: None if keys[seed] in restart else state
                for seed, state in cell.states.items()
                if keys[seed] in restart or keys[seed] in resume or state not in (None, "incomplete")
            }

        cells = tuple(replace(cell, states=states(cell), taken_up=()) for cell in self.cells)
        return replace(self, cells=cells, proposes=False)

    @property
    def open_samples(self) -> dict[str, int]:
        """Per method that Optuna searches: configurations that it is to propose by this plan."""
        return self.lacking_samples if self.proposes else {}

    @property
    def lacking_samples(self) -> dict[str, int]:
        """Per method that Optuna searches: configurations that the sweep lacks, whether this plan proposes any or not.

        Of methods with the same cells the first one's search is for all.
        """
        search = self.sweep.search
        return {
            method.label: max(0, search.samples - sum(1 for cell in self.cells if cell.method.label == method.label))
            for method in self.sweep.methods
            if search is not None and self.sweep.adaptive(method)
            if self.sweep.sharing(method)[0] is method
        }

    @property
    def num_to_run(self) -> int:
        """Replicates to run, Optuna's future ones included."""
        return self.count(None, "incomplete") + len(self.sweep.seeds) * sum(self.open_samples.values())

    def packs(self, slots: int, cost: PackCost | None = None, largest: Mapping[str, int] | None = None) -> list[Pack]:
        """Return the packs of all cells with something to run, sized to finish soonest on ``slots`` places.

        ``cost``: as measured; left out, what the task says. ``largest``: by cell key, the most replicates that there
        is memory for, where that is known.
        """
        missing = [(item, item.seeds_in(None, "incomplete")) for item in self.distinct]
        size = self._pack_size([len(seeds) for _, seeds in missing if seeds], slots, cost)
        return [
            Pack(item.method.label, item.cell, part)
            for item, seeds in missing
            for part in split_evenly(seeds, min(size, (largest or {}).get(item.cell.key, size)))
        ]

    @property
    def measures_packs(self) -> bool:
        """Whether the size of packs is measured: where the file says so, and on a GPU unless it gives a number."""
        resources = self.sweep.resources
        return not self.sweep.has_scheduler and (
            resources.pack == "auto" or bool(resources.pack is None and resources.gpu)
        )

    def _pack_size(self, missing: Sequence[int], slots: int, cost: PackCost | None) -> int:
        if self.sweep.has_scheduler:  # a pack must hold all seeds of its cell
            return max(missing, default=1)
        if isinstance(self.sweep.resources.pack, int):
            return self.sweep.resources.pack
        return best_size(missing, slots, cost or PackCost.of_task(self.sweep.task))


def make(sweep: Sweep, data: Data, states: Mapping[str, State], known: Mapping[str, Sequence[Cell]]) -> Plan:
    """Return the plan. ``states``: of the stored replicates by key; ``known``: stored cells by label."""
    found = [(method, cell) for method in sweep.methods for cell in _cells_of(sweep, method, data, known)]
    needed = {cell.key for method, cell in found if not _may_stop(sweep, method)}
    cells = tuple(_planned(method, cell, sweep.seeds, states, cell.key in needed) for method, cell in found)
    return Plan(sweep, data, cells)


def _planned(
    method: Method, cell: Cell, seeds: Sequence[int], states: Mapping[str, State], needed: bool
) -> PlannedCell:
    """``needed``: to the end, whatever a search that the sweep had before made of it.

    So is a cell of which a seed is finished: the search has kept it, and judges it no more by the seeds that are new.
    """
    by_seed = dict(zip(seeds, map(states.get, cell.replicate_keys(seeds)), strict=True))
    if not needed and is_stopped(by_seed.values()):
        return PlannedCell(method, cell, {seed: state or "stopped" for seed, state in by_seed.items()})
    stopped = tuple(seed for seed, state in by_seed.items() if state == "stopped")
    return PlannedCell(method, cell, by_seed | dict.fromkeys(stopped), taken_up=stopped)


def _may_stop(sweep: Sweep, method: Method) -> bool:
    """Whether a scheduler may end cells of the method early: it compares those of a search."""
    return sweep.has_scheduler and bool(method.spaces)


def _cells_of(sweep: Sweep, method: Method, data: Data, known: Mapping[str, Sequence[Cell]]) -> list[Cell]:
    if sweep.adaptive(method):
        stored = [cell for other in sweep.sharing(method) for cell in known.get(other.label, ())]
        once = {cell.key: cell for cell in stored}.values()  # it may be stored twice
        proposed = [c for c in once if sweep.assignment_of(method, c, data.digest, data.num_train) is not None]
        assert sweep.search is not None
        return proposed[: sweep.search.samples]
    found = [sweep.cell(method, values, data.digest, data.num_train) for values in sweep.enumerated(method)]
    return list({cell.key: cell for cell in found}.values())
