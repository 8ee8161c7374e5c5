"""The plan: all packs of a sweep, minus the replicates that the store already holds."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dn_distributed import own_code
from dn_distributed.config import Cell
from dn_distributed.data import Data, DataError
from dn_distributed.tasks.label_checks import check_labels
from sweeps.planning.data_dir import resolve_data_dir
from sweeps.planning.packing import PackCost, best_size, split_evenly
from sweeps.spec.sweep import Method, Sweep
from tracking.manifest import Manifest, ManifestMethod
from tracking.store.cell_params import check_storable
from tracking.store.runs import State


@dataclass(frozen=True)
class Pack:
    """Replicates of one cell trained together: one Tune trial."""

    method: str
    cell: Cell
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Identity of the pack, beginning with its cell's: checkpoints are found again by it."""
        joined = "/".join(self.cell.replicate_key(seed) for seed in self.seeds)
        return f"{self.cell.key[:16]}-{hashlib.sha256(joined.encode()).hexdigest()[:16]}"

    def __str__(self) -> str:
        """The pack as messages name it."""
        return f"{self.method}, seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"


@dataclass
class Round:
    """What became of the packs of one Tune experiment."""

    ended: set[str] = field(default_factory=set)
    """Trials that will not run again."""
    lost: list[Pack] = field(default_factory=list)
    """Packs whose worker, node or store went away more often than they are taken up again."""
    too_large: list[Pack] = field(default_factory=list)
    """Packs that there was not enough memory for."""

    def __add__(self, other: "Round") -> "Round":
        """Both together."""
        return Round(self.ended | other.ended, self.lost + other.lost, self.too_large + other.too_large)


@dataclass(frozen=True)
class PlannedCell:
    """A cell of a method, and the state of each of its replicates (None: to run)."""

    method: Method
    cell: Cell
    states: Mapping[int, State | None]

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
    """What somebody who looks for stored results should know."""

    @property
    def distinct(self) -> tuple[PlannedCell, ...]:
        """The cells, each once: methods that differ only in what is shown of a cell share it."""
        first: dict[str, PlannedCell] = {}
        for item in self.cells:
            first.setdefault(item.cell.key, item)
        return tuple(first.values())

    @property
    def total(self) -> int:
        """Replicates that the sweep asks for, Optuna's future ones included."""
        return len(self.sweep.seeds) * (len(self.distinct) + sum(self.open_samples.values()))

    def count(self, *states: State | None) -> int:
        """Return how many known replicates are in one of these states."""
        return sum(len(cell.seeds_in(*states)) for cell in self.distinct)

    def only(self, again: Collection[str], begun: Collection[str]) -> "Plan":
        """Return the plan of running these alone, by replicate key: ``again`` from the start, ``begun`` to the end."""

        def states(cell: PlannedCell) -> dict[int, State | None]:
            keys = {seed: cell.cell.replicate_key(seed) for seed in cell.states}
            return {
                seed: None if keys[seed] in again else state
                for seed, state in cell.states.items()
                if keys[seed] in again or keys[seed] in begun or state not in (None, "incomplete")
            }

        return replace(self, cells=tuple(replace(cell, states=states(cell)) for cell in self.cells), proposes=False)

    @property
    def open_samples(self) -> dict[str, int]:
        """Per method that Optuna searches: configurations that it has still to propose."""
        search = self.sweep.search
        return {
            method.label: max(0, search.samples - sum(1 for cell in self.cells if cell.method.label == method.label))
            for method in self.sweep.methods
            if search is not None and self.proposes and self.sweep.adaptive(method)
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
        return not self._whole_cells and (resources.pack == "auto" or bool(resources.pack is None and resources.gpu))

    @property
    def _whole_cells(self) -> bool:
        """Whether a pack must hold all seeds of its cell: a scheduler acts on their mean."""
        return self.sweep.search is not None and self.sweep.search.scheduler != "none"

    def _pack_size(self, missing: Sequence[int], slots: int, cost: PackCost | None) -> int:
        if self._whole_cells:
            return max(missing, default=1)
        if isinstance(self.sweep.resources.pack, int):
            return self.sweep.resources.pack
        return best_size(missing, slots, cost or PackCost.of_task(self.sweep.task))


def load_data(sweep: Sweep, data_dir: Path | None, *, download: bool = True) -> Data:
    """Return the sweep's data. SpecError if they cannot be had or do not fit the sweep, DataError without the folder.

    Without ``download`` nothing is fetched and nothing written: what is not there is an error.
    """
    folder = resolve_data_dir(data_dir)
    try:
        if not download:
            sweep.dataset.check_present(folder)
        data = sweep.task.data(sweep.dataset, sweep.dataset.load(folder))
        check_labels(sweep.task, data)
    except (DataError, ValueError) as error:
        raise sweep.places.error(("dataset",), str(error)) from error
    except (OSError, RuntimeError, LookupError, TypeError) as error:  # of a dataset of the user's own
        raise sweep.places.error(("dataset",), f"{type(error).__name__}: {error}") from error
    for method in sweep.methods:
        _check_training(sweep, method, data)
        _check_storable(sweep, method, data)
    _rehearse(sweep, data)
    return data


def _rehearse(sweep: Sweep, data: Data) -> None:
    """SpecError where the network or a penalty could not be trained, or would silently be another.

    What is shipped is known to train, in the form that the paper has.
    """
    if not sweep.code and sweep.task == type(sweep.task)(name=sweep.task.name):
        return
    from dn_distributed.training.rehearsal import check_penalty, rehearse

    try:
        for name in sweep.penalties:
            check_penalty(name)
        for cell in _unlike(sweep, data):
            rehearse(sweep.task, cell.regularization, cell.training, data)
    except MemoryError:
        return  # here; where packs run there may be more
    except Exception as error:  # whatever code of the user's own raises
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise sweep.places.error(("task",), f"{sweep.task.name!r} cannot be trained: {kind}{error}") from error


def _unlike(sweep: Sweep, data: Data) -> list[Cell]:
    """A cell of each combination of regularisers; that they are of several sizes makes no difference."""
    found: dict[tuple[str, ...], Cell] = {}
    for method in sweep.methods:
        first = {name: space.values[0] for name, space in method.spaces.items()}
        cell = sweep.cell(method, first, data.digest, data.num_train)
        if cell.baseline is None:
            found.setdefault(tuple(cell.regularization), cell)
    return list(found.values())


def _check_training(sweep: Sweep, method: Method, data: Data) -> None:
    """SpecError where there is not one batch for a method: with a search, for any value that it may try."""
    key = "batch_size"
    space = method.spaces.get(f"training.{key}")
    for value in space.values if space is not None else (sweep.training[key],):
        if value > data.num_train:
            message = f"{value:g} exceeds the {data.num_train} training samples"
            raise sweep.places.error(("training", key), message)


def _check_storable(sweep: Sweep, method: Method, data: Data) -> None:
    """SpecError where the store would cut what it keeps of a method's cells."""
    for assignment in sweep.enumerated(method)[:1]:
        try:
            check_storable(sweep.cell(method, assignment, data.digest, data.num_train))
        except ValueError as error:
            raise sweep.places.error(("methods",), f"{method.label!r}: {error}") from error


def make(sweep: Sweep, data: Data, states: Mapping[str, State], known: Mapping[str, Sequence[Cell]]) -> Plan:
    """Return the plan. ``states``: of the stored replicates by key; ``known``: stored cells by label."""
    cells = []
    for method in sweep.methods:
        for cell in _cells_of(sweep, method, data, known.get(method.label, ())):
            by_seed = {seed: states.get(cell.replicate_key(seed)) for seed in sweep.seeds}
            if "stopped" in by_seed.values():  # by the search, which has judged all seeds of the cell
                by_seed = {seed: state or "stopped" for seed, state in by_seed.items()}
            cells.append(PlannedCell(method, cell, by_seed))
    return Plan(sweep, data, tuple(cells))


def _cells_of(sweep: Sweep, method: Method, data: Data, known: Sequence[Cell]) -> list[Cell]:
    if sweep.adaptive(method):
        once = {cell.key: cell for cell in known}.values()  # it may be stored twice
        proposed = [c for c in once if sweep.assignment_of(method, c, data.digest, data.num_train) is not None]
        assert sweep.search is not None
        return proposed[: sweep.search.samples]
    found = [sweep.cell(method, values, data.digest, data.num_train) for values in sweep.enumerated(method)]
    return list({cell.key: cell for cell in found}.values())


def left_behind(plan: Plan, stored: Iterable[Cell], finished: Mapping[str, int]) -> tuple[str, ...]:
    """Say of which stored results the sweep asks for the like, but made by other code or of other data.

    ``finished``: how many replicates of a cell have a result, by its key.
    """
    counts: Counter[str] = Counter()
    asked = {item.cell.key for item in plan.distinct}
    for cell in {cell.key: cell for cell in stored if finished.get(cell.key) and cell.key not in asked}.values():
        now = plan.sweep.as_now(cell, plan.data.digest)
        if now != cell and (now.key in asked or _is_proposed(plan, now)):
            counts[_what_changed(cell, now)] += finished[cell.key]
    return tuple(
        f"{what}: {count} replicate{'s' * (count > 1)} of the old one stay{'s' * (count == 1)} under "
        f"{'its' if count == 1 else 'their'} old key"
        for what, count in counts.items()
    )


def _is_proposed(plan: Plan, cell: Cell) -> bool:
    """Whether a search might propose the cell."""
    sweep, data = plan.sweep, plan.data
    adaptive = [method for method in sweep.methods if sweep.adaptive(method)]
    return any(sweep.assignment_of(method, cell, data.digest, data.num_train) is not None for method in adaptive)


def _what_changed(before: Cell, now: Cell) -> str:
    known = own_code.names({**before.code, **now.code}, now.task["name"], now.dataset["name"])
    changed = [name for part, name in known.items() if before.code.get(part) != now.code.get(part)]
    unknown = all(part not in before.code for part, name in known.items() if name in changed)
    if before.dataset_digest != now.dataset_digest:
        changed, unknown = [*changed, now.dataset["name"]], False
    subject = " and ".join(dict.fromkeys(changed))
    verb = "have" if len(set(changed)) > 1 else "has"
    return f"{subject} {verb} changed" + " since, or its code was not recorded then" * unknown


def manifest(plan: Plan) -> Manifest:
    """Return what the store remembers of the sweep."""
    sweep = plan.sweep
    score = sweep.task.scores[0]
    return Manifest(
        name=sweep.name,
        task=sweep.task.name,
        dataset=sweep.dataset.name,
        score=score.name,
        score_higher_is_better=score.higher_is_better,
        other_scores=tuple(other.name for other in sweep.task.scores[1:]),
        seeds=sweep.seeds,
        methods=tuple(
            ManifestMethod(
                label=method.label,
                published=method.published,
                dropout_at_test=method.dropout_at_test,
                dropout_inert=method.dropout_inert,
                cells=tuple(cell.cell for cell in plan.cells if cell.method.label == method.label),
                to_propose=plan.open_samples.get(method.label, 0),
            )
            for method in sweep.methods
        ),
        selection=sweep.selection,
        deviations=_deviations(sweep),
        source=sweep.source,
    )


def _deviations(sweep: Sweep) -> tuple[str, ...]:
    """Where the sweep's settings differ from those the published figures were made with."""
    paper = {**sweep.task.default_training.model_dump(), **sweep.task.default_pruning.model_dump()}
    used = {**paper, "epochs": None, "steps": None, **sweep.training, **sweep.pruning}
    found = [
        f"{key} {used[key]} (paper: {paper[key]})"
        for key in paper
        if key not in ("epochs", "steps", "curve") and used[key] != paper[key]  # a curve only measures
    ]
    if _length(used) != _length(paper):
        found.append(f"{_length(used)} (paper: {_length(paper)})")
    if sweep.dataset.name != sweep.task.default_dataset:
        found.append(f"dataset {sweep.dataset.name} (paper: {sweep.task.default_dataset})")
    return tuple(found)


def _length(training: Mapping[str, Any]) -> str:
    return f"{training['epochs']} epochs" if training["epochs"] else f"{training['steps']} steps"
