"""A sweep file as typed values. Strict: what is not understood is an error that names the valid choice."""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationError

from dn_distributed import own_code, regularizers, score_names
from dn_distributed.config import Baseline, Cell, Count, FrozenModel, Pruning, Training
from dn_distributed.data import DATASETS, Dataset
from dn_distributed.labels import SHORTHANDS
from dn_distributed.regularizers import PENALTIES, Penalty, written_out
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.tasks import TASKS, Task
from dn_distributed.text import one_line, quoted
from sweeps.spec.spaces import Space, assignments, parse_space
from sweeps.spec.yaml_file import KeyPath, Places, SpecError, YamlFile, show
from tracking import manifest, published_rows
from tracking.manifest import LONGEST_NAME, Selection, is_name

Model = TypeVar("Model", bound=FrozenModel)

_TOP = ("name", "task", "dataset", "seeds", "training", "pruning", "methods", "resources", "search")
_WHOLE = ("batch_size", "epochs", "steps")
_FAULTS = ("dropout_at_test", "dropout_inert")
_METHOD = ("label", "published", "baseline", *_FAULTS)
"""Keys of a method besides its coefficients."""


class Resources(FrozenModel):
    """What one pack gets, and how many replicates it holds."""

    cpu: Annotated[float, Field(gt=0, le=10_000)] = 1
    """CPUs of a pack; it computes with as many threads."""
    gpu: Annotated[float, Field(ge=0, le=10_000)] = 0
    """GPUs of a pack; a fraction lets packs share one."""
    pack: Annotated[int, Field(ge=1, le=manifest.MOST_SEEDS)] | Literal["auto"] | None = None
    """Most replicates in a pack; ``auto`` measures how many fit and pay. Left out: what finishes soonest on a CPU,
    ``auto`` on a GPU. Results do not depend on it."""


class Search(FrozenModel):
    """How hyper-parameters are searched."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    samples: Annotated[int, Field(ge=1, le=manifest.MOST_CONFIGURATIONS)] = 1
    """Configurations per method that random and Optuna draw."""
    scheduler: Literal["none", "asha"] = "none"
    """ASHA ends configurations early whose mean over seeds falls behind."""
    objective: str | None = None
    """A validation metric; left out: the task's first score after pruning."""
    average: Literal["mean", "geometric"] = "mean"
    """Of the objective over seeds, in the final choice."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """Configurations within this of the best average (of a geometric mean: within this share of it) are equals; the
    sparsest of them is chosen."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the draws."""
    grace_epochs: Count = 1
    """Epochs before ASHA may end a configuration."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """ASHA keeps one in this many at each rung."""


@dataclass(frozen=True)
class Method:
    """One row of the table: coefficients that are fixed, and those that are searched."""

    label: str
    coefficients: Mapping[str, float]
    spaces: Mapping[str, Space]
    """By coefficient, or ``training.KEY``, or ``pruning.threshold``."""
    published: str | None = None
    dropout_at_test: bool = False
    """Show the test scores with dropout left on, as two of the published scripts do."""
    dropout_inert: bool = False
    """Compute dropout and throw it away, as two of the published scripts do: train without."""
    baseline: Baseline | None = None
    """A classical method in place of a network."""


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
    training: Mapping[str, Any]
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
        chosen = dict(assignment)
        training = {**self.training, **_take(chosen, "training.")}
        pruning = {**self.pruning, **_take(chosen, "pruning.")}
        coefficients = {**method.coefficients, **chosen}
        if method.dropout_inert:
            del coefficients[DROPOUT]
        regularization = regularizers.resolve(coefficients)
        return Cell(
            task=self.task.identity(),
            dataset=self.dataset.model_dump(mode="json"),
            dataset_digest=digest,
            regularization=regularization,
            baseline=method.baseline,
            training=Training(**training).resolve(num_train),
            pruning=Pruning(**pruning),
            code=self.code_of(regularization),
        )

    def check_code(self) -> None:
        """RuntimeError where the user's code, as this process has it, is not what the sweep was planned with."""
        here = own_code.digests(self.task, self.dataset, self.penalties) if self.code else {}
        if here != self.code:
            known = own_code.names({**self.code, **here}, self.task.name, self.dataset.name)
            changed = [name for part, name in known.items() if here.get(part) != self.code.get(part)]
            raise RuntimeError(f"the source of {' and '.join(changed)} is not here what the sweep was planned with")

    def as_now(self, cell: Cell, digest: str) -> Cell:
        """Return a stored cell with the code and data of now in place of those that it was made with."""
        return cell.model_copy(update={"code": self.code_of(cell.regularization), "dataset_digest": digest})

    def assignment_of(self, method: Method, cell: Cell, digest: str, num_train: int) -> dict[str, float] | None:
        """Return the searched values that make ``cell`` of ``method``; None if it is not one of its cells."""
        values = {name: _value_in(cell, name) for name in method.spaces}
        assignment = {name: value for name, value in values.items() if value is not None}
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


def _take(assignment: dict[str, float], prefix: str) -> dict[str, Any]:
    taken = {}
    for name in [name for name in assignment if name.startswith(prefix)]:
        key, value = name.removeprefix(prefix), assignment.pop(name)
        taken[key] = _as_whole(key, value)
    return taken


def _value_in(cell: Cell, name: str) -> float | None:
    part, _, key = name.rpartition(".")
    if part:
        return getattr(getattr(cell, part), key)  # type: ignore[no-any-return]
    values = {cell.regularization.get(target, 0.0) for target in written_out(name)}
    return values.pop() if len(values) == 1 else None


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file. ``overrides`` are ``key=value`` with dotted keys. SpecError says what is wrong."""
    file = YamlFile(path)
    for override in overrides:
        _override(file, override)
    return _Reader(file, file.dump() if overrides else file.text).sweep()


def _override(file: YamlFile, override: str) -> None:
    dotted, equals, text = override.partition("=")
    shown = f"--set {one_line(override, 200)}"
    if not equals or not all(dotted.split(".")):
        raise SpecError(f"{shown}: give key=value, as training.epochs=5")
    *parents, last = dotted.split(".")
    node: Any = file.data
    keys: KeyPath = ()
    for part in parents:
        if isinstance(node, dict):
            node.setdefault(part, {})
        key = _key(node, part, keys, shown)
        node, keys = node[key], (*keys, key)
    key = _key(node, last, keys, shown)
    if keys == ("training",):
        node.pop({"epochs": "steps", "steps": "epochs"}.get(last), None)
    node[key] = file.override((*keys, key), text, override)


def _key(node: Any, part: str, keys: KeyPath, shown: str) -> str | int:
    """The key, or the place in a list, that a part of a dotted key is. ``keys``: where ``node`` stands."""
    if isinstance(node, dict):
        return part
    if isinstance(node, list) and re.fullmatch("[0-9]{1,9}", part) and int(part) < len(node):
        return int(part)
    holds = f"has {len(node)} items, from 0 on" if isinstance(node, list) else f"is {quoted(node)}"
    raise SpecError(f"{shown}: there is no {quoted(part)}: {show(keys)} {holds}")


class _Reader:
    """Turns the data of one file into a ``Sweep``, or raises at the first key that is wrong."""

    def __init__(self, file: YamlFile, source: str) -> None:
        self._file, self._source = file, source
        self._data: dict[str, Any] = file.data

    def sweep(self) -> Sweep:
        self._known_keys((), self._data, _TOP)
        for key in ("name", "task", "methods"):
            if key not in self._data:
                raise SpecError(f"{self._file.path}: {key}: this key is required")
        if taken := {*_METHOD, *SHORTHANDS, DROPOUT} & set(PENALTIES):
            raise self._fail((), f"a penalty of PENALTIES cannot be called {min(taken)!r}, which is another key")
        task = self._named("task", TASKS)
        if "dataset" not in self._data:
            self._data["dataset"] = task.default_dataset
        dataset = self._named("dataset", DATASETS)
        self._check_kind(task, dataset)
        training, training_spaces = self._section("training", Training, task.default_training)
        pruning, pruning_spaces = self._section("pruning", Pruning, task.default_pruning)
        spaces = {**training_spaces, **pruning_spaces}
        search = self._model(("search",), Search, self._data["search"]) if "search" in self._data else None
        methods = self._methods(task, spaces)
        code = self._code(task, dataset, methods)
        sweep = Sweep(
            path=self._file.path,
            source=self._source,
            name=self._name(),
            task=task,
            dataset=dataset,
            seeds=self._seeds(),
            training=training,
            pruning=pruning,
            methods=methods,
            resources=self._model(("resources",), Resources, self._data.get("resources", {})),
            search=search,
            places=self._file.places,
            code=code,
            penalties={name: cls for name, cls in PENALTIES.items() if own_code.penalty_part(name) in code},
        )
        self._check_size(sweep)
        self._check_search(sweep)
        return sweep

    def _code(self, task: Task, dataset: Dataset, methods: Sequence[Method]) -> dict[str, str]:
        keys = {name for method in methods for name in (*method.coefficients, *method.spaces)}
        used = {target for name in keys for target in written_out(name)} & set(PENALTIES)
        try:
            return own_code.digests(task, dataset, sorted(used))
        except ValueError as error:
            raise self._fail((), str(error)) from error

    def _fail(self, keys: KeyPath, message: str) -> SpecError:
        return self._file.error(keys, message)

    @contextlib.contextmanager
    def _at(self, keys: KeyPath) -> Iterator[None]:
        """Tell a ValueError as one at a key."""
        try:
            yield
        except ValueError as error:
            raise self._fail(keys, str(error)) from error

    def _known_keys(self, keys: KeyPath, value: Any, valid: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise self._fail(keys, f"expected a mapping with the keys: {', '.join(valid)}")
        for key in value:
            if key not in valid:
                raise self._fail((*keys, key), f"unknown key; valid: {', '.join(valid)}")

    def _model(self, keys: KeyPath, model: type[Model], value: Any) -> Model:
        self._known_keys(keys, value, tuple(model.model_fields))
        try:
            return model(**value)
        except ValidationError as error:
            raise self._explain(keys, error) from error

    def _explain(self, keys: KeyPath, error: ValidationError) -> SpecError:
        first = error.errors()[0]
        where = (*keys, *(part for part in first["loc"] if isinstance(part, str | int)))
        message = first["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(first["input"], dict) else f", not {quoted(first['input'])}"
        return self._fail(where, f"{message[0].lower()}{message[1:]}{shown}")

    def _named(self, key: str, registry: Mapping[str, type[Model]]) -> Model:
        value = self._data[key]
        options = value if isinstance(value, dict) else {"name": value}
        name = options.get("name")
        if not isinstance(name, str) or name not in registry:
            raise self._fail((key,), f"unknown {key} {quoted(name)}; valid: {', '.join(registry)}")
        return self._model((key,), registry[name], options)

    def _check_kind(self, task: Task, dataset: Dataset) -> None:
        if task.kind != dataset.kind:
            fitting = [name for name, cls in DATASETS.items() if cls.kind == task.kind]
            raise self._fail(
                ("dataset",), f"{dataset.name!r} does not fit task {task.name!r}; valid: {', '.join(fitting)}"
            )

    def _name(self) -> str:
        name = self._data["name"]
        if not isinstance(name, str) or not is_name(name):
            raise self._fail(
                ("name",), f"expected at most {LONGEST_NAME} letters, digits, '-', '_' and '.', not {quoted(name)}"
            )
        return name

    def _seeds(self) -> tuple[int, ...]:
        value = self._data.get("seeds", 1)
        if not isinstance(value, list) and (type(value) is not int or value < 1):
            raise self._fail(("seeds",), f"expected a number of seeds ≥ 1 or a list of seeds, not {quoted(value)}")
        if not isinstance(value, list) and value > manifest.MOST_SEEDS:
            raise self._fail(("seeds",), f"{value} seeds are too many; at most {manifest.MOST_SEEDS}")
        seeds = value if isinstance(value, list) else range(value)
        with self._at(("seeds",)):
            manifest.check_seeds(seeds)
        return tuple(seeds)

    def _section(
        self, key: str, model: type[FrozenModel], defaults: FrozenModel
    ) -> tuple[dict[str, Any], dict[str, Space]]:
        """Return a section's fixed values over the task's defaults, and its search spaces."""
        given = self._data.get(key, {})
        self._known_keys((key,), given, tuple(model.model_fields))
        spaces = self._spaces((key,), given, prefix=f"{key}.")
        base = defaults.model_dump(exclude_none=True)
        if {"epochs", "steps"} & set(given):
            base = {name: value for name, value in base.items() if name not in ("epochs", "steps")}
        fixed = {**base, **{name: value for name, value in given.items() if f"{key}.{name}" not in spaces}}
        for values in _examples({name.removeprefix(f"{key}."): space for name, space in spaces.items()}):
            whole = {name: _as_whole(name, value) for name, value in values.items()}
            self._model((key,), model, {**fixed, **whole})
        return fixed, spaces

    def _spaces(self, keys: KeyPath, mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Space]:
        spaces = {}
        for name, value in mapping.items():
            with self._at((*keys, name)):
                space = parse_space(value)
            if space is not None:
                if name in _WHOLE and space.kind not in ("grid", "choice"):
                    raise self._fail((*keys, name), f"a whole number: give a grid or a choice, not {space.kind}")
                spaces[f"{prefix}{name}"] = space
        return spaces

    def _methods(self, task: Task, shared: Mapping[str, Space]) -> tuple[Method, ...]:
        value = self._data["methods"]
        if not isinstance(value, list) or not value:
            raise self._fail(("methods",), "expected a list of methods, each with a label")
        with self._at(("methods",)):
            manifest.check_size(methods=len(value))
        methods = [self._method(("methods", index), item, task, shared) for index, item in enumerate(value)]
        labels: dict[Any, str] = {}
        for index, method in enumerate(methods):
            if method.label in labels.values():
                raise self._fail(("methods", index, "label"), f"{method.label!r} stands twice")
            other = labels.setdefault(_settings(method), method.label)
            if other != method.label:
                raise self._fail(("methods", index), f"{method.label!r} is the same as {other!r}")
        return tuple(methods)

    def _method(self, keys: KeyPath, value: Any, task: Task, shared: Mapping[str, Space]) -> Method:
        self._known_keys(keys, value, (*_METHOD, *regularizers.coefficients()))
        label = value.get("label")
        with self._at((*keys, "label")):
            manifest.check_label(label)
        given = {name: item for name, item in value.items() if name in regularizers.coefficients()}
        spaces = self._spaces(keys, given)
        fixed = {name: item for name, item in given.items() if name not in spaces}
        for name, item in fixed.items():
            if not isinstance(item, int | float) or isinstance(item, bool):
                raise self._fail((*keys, name), f"expected a number or a search space, not {quoted(item)}")
        for values in _examples(spaces):
            self._check_coefficients(keys, {**fixed, **values})
        row = self._published(keys, value, task)
        faults = self._faults(keys, value)
        return Method(label, fixed, {**spaces, **shared}, row, **faults, baseline=self._baseline(keys, value, task))

    def _baseline(self, keys: KeyPath, value: Mapping[str, Any], task: Task) -> Baseline | None:
        name = value.get("baseline")
        if name is None:
            return None
        valid = get_args(Baseline)
        if name not in valid:
            raise self._fail((*keys, "baseline"), f"unknown baseline {quoted(name)}; valid: {', '.join(valid)}")
        if task.kind != "linear":
            raise self._fail((*keys, "baseline"), f"{name} fits a linear regression, not task {task.name!r}")
        if others := [key for key in value if key in regularizers.coefficients()]:
            raise self._fail((*keys, others[0]), f"{name} takes no coefficient of a network")
        return name  # type: ignore[no-any-return]

    def _faults(self, keys: KeyPath, value: Mapping[str, Any]) -> dict[str, bool]:
        """What a published script does otherwise than the paper describes; each is asked for by name."""
        given = {name: value[name] for name in _FAULTS if name in value}
        for name, switch in given.items():
            if not isinstance(switch, bool):
                raise self._fail((*keys, name), f"expected true or false, not {quoted(switch)}")
            if switch and DROPOUT not in value:
                raise self._fail((*keys, name), "needs dropout")
        if sum(given.values()) > 1:
            raise self._fail((*keys, _FAULTS[1]), f"does not go with {_FAULTS[0]}")
        return given

    def _check_coefficients(self, keys: KeyPath, coefficients: Mapping[str, float]) -> None:
        for name, value in coefficients.items():
            with self._at((*keys, name)):
                regularizers.resolve({name: value})
        with self._at(keys):
            regularizers.resolve(coefficients)

    def _published(self, keys: KeyPath, value: Mapping[str, Any], task: Task) -> str | None:
        row = value.get("published")
        valid = published_rows.row_names(task.name)
        free = {key: getattr(task, key) for key in task.free_options}
        if row is not None and task != TASKS[task.name](**{"name": task.name, **free, **task.published_options}):
            options = ", ".join(
                f"{key}: {value}" for key, value in {"name": task.name, **task.published_options}.items()
            )
            raise self._fail((*keys, "published"), f"the published figures are of task {{{options}}}")
        if row is not None and row not in valid:
            raise self._fail(
                (*keys, "published"), f"no published row {quoted(row)}; valid: {', '.join(valid) or 'none'}"
            )
        return row

    def _check_size(self, sweep: Sweep) -> None:
        """Before anything is enumerated."""
        total = 0
        for index, method in enumerate(sweep.methods):
            only_grids = all(space.kind == "grid" for space in method.spaces.values())
            drawn = 1 if only_grids or sweep.search is None else sweep.search.samples
            count = drawn * math.prod(len(space.values) for space in method.spaces.values() if space.kind == "grid")
            with self._at(("methods", index)):
                manifest.check_size(configurations=count)
            total += count * len(sweep.seeds)
        with self._at(("seeds",)):
            manifest.check_size(replicates=total)

    def _check_search(self, sweep: Sweep) -> None:
        searched = any(method.spaces for method in sweep.methods)
        if sweep.search is not None and not searched:
            raise self._fail(("search",), "no hyper-parameter of this file is a search space")
        kinds = {space.kind for method in sweep.methods for space in method.spaces.values()}
        algorithm = sweep.search.algorithm if sweep.search else "grid"
        if algorithm == "grid" and kinds - {"grid"}:
            raise self._fail(
                ("search", "algorithm"),
                f"grid search takes grid spaces only, not {', '.join(sorted(kinds - {'grid'}))}",
            )
        if algorithm == "optuna" and "grid" in kinds:
            raise self._fail(("search", "algorithm"), "optuna takes choice, uniform and loguniform spaces, not grid")
        if algorithm == "optuna":
            self._check_optuna(sweep)
        if sweep.search is not None and sweep.search.objective is not None:
            self._check_objective(sweep, sweep.search.objective)

    def _check_optuna(self, sweep: Sweep) -> None:
        for method in sweep.methods:
            if "training.epochs" in method.spaces:
                raise self._fail(("training", "epochs"), "optuna cannot search epochs; search steps instead")
            if method.spaces and {space.kind for space in method.spaces.values()} == {"choice"}:
                raise self._fail(
                    ("search", "algorithm"), f"all spaces of {method.label!r} are choices; use grid search for them"
                )

    def _check_objective(self, sweep: Sweep, objective: str) -> None:
        names = ["loss", *(score.name for score in sweep.task.scores)]
        valid = score_names.final_objectives(names)
        if objective not in valid:
            raise self._fail(
                ("search", "objective"), f"unknown objective {quoted(objective)}; valid: {', '.join(valid)}"
            )


def _as_whole(name: str, value: float) -> float | int:
    return int(value) if name in _WHOLE and value == int(value) else value


def _settings(method: Method) -> Any:
    if method.spaces:
        return method.label
    coefficients = frozenset(regularizers.resolve(method.coefficients).items())
    return coefficients, method.dropout_at_test, method.dropout_inert, method.baseline


def _examples(spaces: Mapping[str, Space]) -> list[dict[str, float]]:
    """Assignments that show every end and value of every space at least once."""
    rounds = max((len(space.values) for space in spaces.values()), default=1)
    return [
        {name: space.values[min(index, len(space.values) - 1)] for name, space in spaces.items()}
        for index in range(rounds)
    ]
