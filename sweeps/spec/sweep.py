"""What a sweep file means: methods, their cells, and the rule that chooses among them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dn_distributed import own_code, regularizers, score_names
from dn_distributed.config import Augment, Baseline, Cell, Pruning, Step, Training
from dn_distributed.coverage import Coverage
from dn_distributed.data import Dataset
from dn_distributed.regularizers import PENALTIES, Penalty, expand_shorthand
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.tasks import Task
from dn_distributed.tasks.coverage import coverage
from sweeps.spec.file import Resources, Search
from sweeps.spec.spaces import Space, assignments, fill, is_number
from sweeps.spec.yaml_file import Places
from tracking.manifest import Selection


@dataclass(frozen=True)
class Method:
    """One row of the table: coefficients that are fixed, and those that are searched."""

    label: str
    coefficients: Mapping[str, float]
    spaces: Mapping[str, Space]
    """By coefficient, or dotted path, as ``training.1.learning_rate`` or ``pruning.threshold``."""
    published: str | None = None
    dropout_at_test: bool = False
    """Show the test scores with dropout left on, as two of the published scripts do."""
    dropout_inert: bool = False
    """Compute dropout and throw it away, as two of the published scripts do: train without."""
    step: Step = "subgradient"
    """How penalties act: in the gradient, or as a proximal step."""
    baseline: Baseline | None = None
    """A classical method in place of a network."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The coefficients that the file gives, fixed or searched."""
        return (*self.coefficients, *(name for name in self.spaces if "." not in name))

    def regularization(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """Return what its cell with these searched coefficients trains with. ValueError for values out of range."""
        coefficients = {**self.coefficients, **chosen}
        if self.dropout_inert:
            coefficients.pop(DROPOUT, None)
        return regularizers.resolve(coefficients)

    def trains_as(self, other: "Method") -> bool:
        """Return whether both have the same cells: they differ in what is shown of these, if in anything."""
        return (self.spaces, self.step, self.baseline) == (
            other.spaces,
            other.step,
            other.baseline,
        ) and self.regularization({}) == other.regularization({})


@dataclass(frozen=True)
class Sweep:
    """A sweep file, checked."""

    path: Path
    source: str
    """A file that says the same: its text, or what the overrides have made of it."""
    name: str
    task: Task
    dataset: Dataset
    seeds: tuple[int, ...]
    training: Mapping[str, Any] | tuple[Mapping[str, Any], ...]
    """Its keys with values or search spaces, or those of each phase."""
    pruning: Mapping[str, Any]
    methods: tuple[Method, ...]
    resources: Resources
    search: Search | None
    places: Places = field(compare=False, repr=False)
    """For errors that show only when the data are there."""
    code: Mapping[str, str] = field(default_factory=dict)
    """Of what is the user's own: see ``own_code.digests``."""
    penalties: Mapping[str, type[Penalty]] = field(default_factory=dict)
    """The user's own, by key."""

    @cached_property
    def coverage(self) -> Coverage | None:
        """Over how much of the network penalties, pruning and counts speak; None: all of it."""
        return coverage(self.task)

    @property
    def phases(self) -> tuple[Mapping[str, Any], ...]:
        """What is said of each phase of training, one at least: values, or search spaces."""
        return self.training if isinstance(self.training, tuple) else (self.training,)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Wherever a sweep arrives, as in a worker, the user's penalties are known from then on."""
        self.__dict__.update(state)
        PENALTIES.update(self.penalties)

    def code_of(self, regularization: Mapping[str, float]) -> dict[str, str]:
        """Return what of ``code`` a cell with this regularisation computes with."""
        used = {own_code.TASK, own_code.DATASET, *map(own_code.penalty_part, regularization)}
        return {part: digest for part, digest in self.code.items() if part in used}

    def cell(self, method: Method, assignment: Mapping[str, float], digest: str, num_train: int) -> Cell:
        """Return the cell of a method with its searched values. ValueError for values out of range."""
        chosen = {name: value for name, value in assignment.items() if "." not in name}
        training = fill(self.training, "training", assignment)
        phases = [training] if isinstance(training, Mapping) else training
        resolved = tuple(Training(**phase).resolve(num_train) for phase in phases)
        regularization = method.regularization(chosen)
        return Cell(
            task=self.task.identity(),
            dataset=self.dataset.model_dump(mode="json"),
            dataset_digest=digest,
            regularization=regularization,
            step=method.step,
            baseline=method.baseline,
            training=resolved[0] if len(resolved) == 1 else resolved,
            pruning=Pruning(**fill(self.pruning, "pruning", assignment)),
            code=self.code_of(regularization),
        )

    def check_code(self) -> None:
        """RuntimeError where the user's code, as this process has it, is not what the sweep was planned with."""
        here = own_code.digests(self.task, self.dataset, self.penalties) if self.code else {}
        if here != self.code:
            known = own_code.display_names({**self.code, **here}, self.task.name, self.dataset.name)
            changed = [name for part, name in known.items() if here.get(part) != self.code.get(part)]
            raise RuntimeError(f"the source of {' and '.join(changed)} is not here what the sweep was planned with")

    def with_current_code_and_data(self, cell: Cell, digest: str) -> Cell:
        """Return a stored cell with the code and data of now in place of those that it was made with."""
        return cell.model_copy(update={"code": self.code_of(cell.regularization), "dataset_digest": digest})

    def assignment_of(self, method: Method, cell: Cell, digest: str, num_train: int) -> dict[str, float] | None:
        """Return the searched values that make ``cell`` of ``method``; None if it is not one of its cells.

        Nor is a cell of a range that was wider once: the search could not propose it.
        """
        values = {name: _value_in(cell, name) for name in method.spaces}
        assignment = {name: v for name, v in values.items() if v is not None and method.spaces[name].holds(v)}
        if len(assignment) != len(values):
            return None
        return assignment if self.cell(method, assignment, digest, num_train).key == cell.key else None

    def enumerated(self, method: Method) -> list[dict[str, float]]:
        """Return the assignments known before anything runs: all but Optuna's."""
        if self.adaptive(method):
            return []
        search = self.search or Search()
        return list(assignments(method.spaces, search.samples, search.seed))

    def adaptive(self, method: Method) -> bool:
        """Whether later configurations depend on earlier results."""
        return bool(method.spaces) and self.search is not None and self.search.algorithm == "optuna"

    def sharing(self, method: Method) -> tuple[Method, ...]:
        """Return the methods that have the same cells as this one, itself among them: one search is for all of them."""
        return tuple(other for other in self.methods if other.trains_as(method))

    @property
    def has_scheduler(self) -> bool:
        """Whether a scheduler may end cells early, by the mean over all their seeds."""
        return self.search is not None and self.search.scheduler != "none"

    @property
    def selection(self) -> Selection | None:
        """The rule that chooses a cell per method; None without a search."""
        if not any(method.spaces for method in self.methods):
            return None
        search = self.search or Search()
        score = self.task.scores[0]
        objective = search.objective or score_names.final("validation", score.name)
        higher = {s.name: s.higher_is_better for s in self.task.scores}
        return Selection(
            objective=objective,
            higher_is_better=higher.get(score_names.parse_final(objective).score, False),
            average=search.average,
            tolerance=search.tolerance,
        )


def _value_in(cell: Cell, name: str) -> float | None:
    """What a cell has in place of a search space; None where it has nothing there."""
    if "." not in name:
        values = {cell.regularization.get(target, 0.0) for target in expand_shorthand(name)}
        return values.pop() if len(values) == 1 else None
    found: Any = cell
    parts = name.split(".")
    for number, part in enumerate(parts):
        if isinstance(found, Mapping):  # by names of layers, which may have dots
            found = found.get(".".join(parts[number:]))
            break
        try:
            found = _phase(found, int(part)) if part.isdecimal() else _part(found, part)
        except (AttributeError, IndexError, TypeError):
            return None
    return found if is_number(found) else None


def _part(found: Any, name: str) -> Any:
    value = getattr(found, name)
    return Augment(shift=0) if name == "augment" and value is None else value  # a shift of 0 is stored as None


def _phase(training: Training | tuple[Training, ...], number: int) -> Training:
    return (training if isinstance(training, tuple) else (training,))[number]
