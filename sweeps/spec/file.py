"""What a sweep file may say, key by key: pydantic checks each value where it stands, and the descriptions document it.

What must fit together is checked afterwards (``checks.py``), when it is known what the file means.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from dn_distributed import random_weights, regularizers
from dn_distributed.config import Baseline, Count, FrozenModel, Pruning, Step, Training
from dn_distributed.data import DATASETS, Dataset
from dn_distributed.data.function import in_full
from dn_distributed.labels import SHORTHANDS
from dn_distributed.regularizers import PENALTIES, dropout
from dn_distributed.tasks import TASKS, Task
from dn_distributed.text import quoted
from sweeps.spec.spaces import KINDS, WHOLE, Space, as_whole, examples, is_number, parse_space
from tracking import manifest

Model = TypeVar("Model", bound=FrozenModel)


def check_keys(model: type[BaseModel], value: Any) -> None:
    """ValueError where a value is no mapping; ValidationError at a key that the model does not have."""
    valid = ", ".join(model.model_fields)
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping with the keys: {valid}")
    for key in value:
        if key not in model.model_fields:
            raise _error_at(
                model, key, PydanticCustomError("unknown_key", "unknown key; valid: {valid}", {"valid": valid})
            )


def _error_at(model: type[BaseModel], key: str, reason: PydanticCustomError) -> ValidationError:
    return ValidationError.from_exception_data(model.__name__, [InitErrorDetails(type=reason, loc=(key,), input=None)])


class Entry(FrozenModel):
    """A mapping of a sweep file. The text under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, cls):
            check_keys(cls, value)
        return value


class Resources(Entry):
    """What one pack gets, and how many replicates it holds."""

    cpu: Annotated[float, Field(gt=0, le=10_000)] = 1
    """CPUs of a pack; it computes with as many threads."""
    gpu: Annotated[float, Field(ge=0, le=10_000)] = 0
    """GPUs of a pack; a fraction lets packs share one."""
    pack: Annotated[int, Field(ge=1, le=manifest.MOST_SEEDS)] | Literal["auto"] | None = None
    """Most replicates in a pack; ``auto`` measures how many fit and pay. Left out: what finishes soonest on a CPU,
    ``auto`` on a GPU. Results do not depend on it."""


class Search(Entry):
    """How hyper-parameters are searched."""

    algorithm: Literal["grid", "random", "optuna"] = "grid"
    """Every combination of grids, or draws: at random, or proposed by Optuna from the results so far."""
    samples: Annotated[int, Field(ge=1, le=manifest.MOST_CONFIGURATIONS)] = 1
    """Configurations per method that random and Optuna draw."""
    scheduler: Literal["none", "asha"] = "none"
    """ASHA ends configurations early whose mean over seeds falls behind."""
    objective: str | None = None
    """A validation metric, as ``validation/accuracy/after_pruning``; left out: the task's first score after pruning."""
    size: Literal["density", "neurons_alive", "dense_size"] | None = None
    """With Optuna: a second objective, to be small (after pruning, mean over seeds). The search then draws the front of
    the two. The choice of one configuration for the table stays with the objective and the tolerance."""
    average: Literal["mean", "geometric"] = "mean"
    """Of the objective over seeds, in the final choice. The geometric mean weighs errors alike that span decades."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """Configurations within this of the best average (of a geometric mean: within this share of it) are equals; the
    sparsest of them is chosen."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the draws."""
    grace_epochs: Count = 1
    """Epochs before ASHA may end a configuration."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """ASHA keeps one in this many at each rung."""


def _baseline(value: Any) -> Any:
    valid = get_args(Baseline)
    if value is not None and value not in valid:
        raise ValueError(f"unknown baseline {quoted(value)}; valid: {', '.join(valid)}")
    return value


class MethodEntry(Entry):
    """One row of the table: its label and its coefficients, each a number or a search space."""

    label: Annotated[str, BeforeValidator(manifest.check_label)]
    """What the row is called."""
    published: Annotated[str | None, PlainValidator(lambda row: row)] = None  # which there are depends on the task
    """The row of the paper's table that stands beside it."""
    baseline: Annotated[Baseline | None, BeforeValidator(_baseline)] = None
    """A classical method on the same linear regression, in place of a network."""
    step: Step = "subgradient"
    """How penalties act: ``subgradient``, in the gradient, or ``proximal``: L1 and DropNeuron's penalties as a step
    after each of the optimiser's, which makes weights, and groups of them, exactly zero. Other penalties stay in the
    gradient."""
    dropout_at_test: bool = False
    """Show the test scores with dropout left on, as two of the published scripts do."""
    dropout_inert: bool = False
    """Compute dropout and throw it away, as two of the published scripts do: train without."""

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)
    """Coefficients in the order of the file: a search draws them in it."""

    @model_validator(mode="wrap")
    @classmethod
    def _each_coefficient_once(cls, value: Any, check: ModelWrapValidatorHandler["MethodEntry"]) -> "MethodEntry":
        value = _with_places_of_dropout(value)
        entry = check(value)
        entry._given = {name: getattr(entry, name) for name in value if name not in MethodEntry.model_fields}
        for values in examples(entry.spaces):
            regularizers.resolve({**entry.coefficients, **values})
        return entry

    @property
    def coefficients(self) -> dict[str, float]:
        """The coefficients that are fixed."""
        return {name: value for name, value in self._given.items() if not isinstance(value, Space)}

    @property
    def spaces(self) -> dict[str, Space]:
        """The coefficients that are searched."""
        return {name: value for name, value in self._given.items() if isinstance(value, Space)}


def _with_places_of_dropout(value: Any) -> Any:
    """A method whose ``dropout`` says where, as one with a key for each place."""
    places = value.get(dropout.NAME) if isinstance(value, dict) else None
    if not isinstance(places, dict) or places.keys() & set(KINDS):
        return value
    if not places or not places.keys() <= dropout.PLACES.keys():
        raise ValueError(f"dropout: expected a number, a search space, or places: {', '.join(dropout.PLACES)}")
    found: dict[str, Any] = {}
    for key, given in value.items():
        for name, coefficient in (
            {dropout.PLACES[place]: rate for place, rate in places.items()} if key == dropout.NAME else {key: given}
        ).items():
            if name in found:
                raise ValueError(f"{name} is set twice")
            found[name] = coefficient
    return found


def _coefficient(value: Any, info: ValidationInfo) -> Any:
    space = parse_space(value)
    for number in space.values if space is not None else (value,):
        if not is_number(number):
            raise ValueError(f"expected a number or a search space, not {quoted(number)}")
        regularizers.resolve({str(info.field_name): number})
    return value if space is None else space


def method_entry() -> type[MethodEntry]:
    """Return the model of a method with a key for every coefficient: the user's own penalties too."""
    return _method_entry(regularizers.coefficients())


@cache
def _method_entry(coefficients: tuple[str, ...]) -> type[MethodEntry]:
    fields: dict[str, Any] = {
        name: (Annotated[Any, BeforeValidator(_coefficient)], Field(default=None, description=_describe(name)))
        for name in coefficients
    }
    return create_model("Method", __base__=MethodEntry, __doc__=MethodEntry.__doc__, **fields)


def _describe(coefficient: str) -> str:
    if coefficient in SHORTHANDS:
        return f"Short for {', '.join(SHORTHANDS[coefficient][:-1])} and {SHORTHANDS[coefficient][-1]}."
    if coefficient in PENALTIES:
        return (inspect.getdoc(PENALTIES[coefficient]) or "").partition("\n\n")[0]
    if coefficient in random_weights.COEFFICIENTS:
        return random_weights.COEFFICIENTS[coefficient]
    if coefficient == dropout.INPUT_NAME:
        return "Inputs drop with this probability while training."
    return (
        "Hidden units drop with this probability while training. "
        f"``{{hidden: …, input: …}}`` sets ``{dropout.INPUT_NAME}`` too."
    )


def _value_or_space(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    space = parse_space(value)
    if space is None:
        check(value)
        return value  # as it is written: what the store remembers of a sweep quotes it
    if info.field_name in WHOLE and space.kind not in ("grid", "choice"):
        raise ValueError(f"a whole number: give a grid or a choice, not {space.kind}")
    for number in space.values:
        check(as_whole(info.field_name, number))
    return space


def searchable(model: type[FrozenModel]) -> type[Entry]:
    """Return a model of the same keys, none of them required, whose values may be search spaces."""
    fields: dict[str, Any] = {
        name: (_searchable_value(field), Field(default=None, description=field.description))
        for name, field in model.model_fields.items()
    }
    # Descriptions are there already: pydantic would look for the source of each in all modules that are imported.
    described: dict[str, Any] = {"use_attribute_docstrings": False}
    return create_model(model.__name__, __base__=Entry, __doc__=model.__doc__, __cls_kwargs__=described, **fields)


def _searchable_value(field: FieldInfo) -> Any:
    for part in get_args(field.annotation):
        if isinstance(part, type) and issubclass(part, FrozenModel):
            return Annotated[dict[str, Any], _section(part)]
    if get_origin(field.annotation) is dict:
        of_keys, of_values = get_args(field.annotation)
        return dict[of_keys, Annotated[of_values, WrapValidator(_value_or_space)]]  # type: ignore[valid-type]
    return Annotated[(field.annotation, *field.metadata, WrapValidator(_value_or_space))]


def _section(model: type[FrozenModel]) -> BeforeValidator:
    """What reads a mapping with keys of ``model`` and returns what is given: values, or spaces."""
    entry = searchable(model)

    def read(value: Any) -> dict[str, Any]:
        found = entry.model_validate(value)
        return {name: getattr(found, name) for name in value}

    return BeforeValidator(read)


_PHASE = TypeAdapter(Annotated[dict[str, Any], _section(Training)])
_PHASES = TypeAdapter(list[Annotated[dict[str, Any], _section(Training)]])


def _training(value: Any) -> Any:
    """One phase as a dictionary, or several as a tuple of them."""
    if not isinstance(value, list):
        return _PHASE.validate_python(value)
    if not value:
        raise ValueError("expected a mapping, or a list of at least one phase")
    return tuple(_PHASES.validate_python(value))


def _named(key: str, registry: Mapping[str, type[Model]], value: Any) -> Model:
    """Return what a name, or a mapping with the name and options, stands for."""
    options = value if isinstance(value, dict) else {"name": value}
    name = options.get("name")
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"unknown {key} {quoted(name)}; valid: {', '.join(registry)}")
    check_keys(registry[name], options)
    return registry[name](**options)


def _task(value: Any) -> Task:
    return _named("task", TASKS, value)


def _dataset(value: Any, info: ValidationInfo) -> Dataset:
    task = info.data.get("task")
    if task is None:
        raise ValueError("which one fits depends on the task")
    dataset = _named("dataset", DATASETS, task.default_dataset if value is None else in_full(value))
    if not task.fits(dataset):
        fitting = [name for name, cls in DATASETS.items() if task.fits(cls)]
        raise ValueError(f"{dataset.name!r} does not fit task {task.name!r}; valid: {', '.join(fitting)}")
    return dataset


def _name(value: Any) -> str:
    if not isinstance(value, str) or not manifest.is_name(value):
        most = manifest.LONGEST_NAME
        raise ValueError(f"expected at most {most} letters, digits, '-', '_' and '.', not {quoted(value)}")
    return value


def _seeds(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) and (type(value) is not int or value < 1):
        raise ValueError(f"expected a number of seeds ≥ 1 or a list of seeds, not {quoted(value)}")
    if not isinstance(value, list) and value > manifest.MOST_SEEDS:
        raise ValueError(f"{value} seeds are too many; at most {manifest.MOST_SEEDS}")
    seeds = value if isinstance(value, list) else range(value)
    manifest.check_seeds(seeds)
    return tuple(seeds)


def _methods(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of methods, each with a label")
    manifest.check_size(methods=len(value))
    return tuple(value)


def _method(value: Any) -> MethodEntry:
    return method_entry().model_validate(value)


class SweepFile(Entry):
    """A sweep: a task, and the methods that are compared on it."""

    name: Annotated[str, BeforeValidator(_name)]
    """What the sweep is called: the MLflow experiment, and folders of reports."""
    task: Annotated[Task, BeforeValidator(_task)]
    """Network, data, loss and score: a name, or ``{name: …}`` with options of the task."""
    network: Any = None
    """In place of a task, a network for any dataset: ``{mlp: {hidden: [64, 64]}}`` or ``{mlp: [30, 64, 64, 2]}``,
    ``torchvision:resnet18``, or ``module:function`` of a module that ``--import`` names, with arguments ``{name:
    torchvision:resnet18, args: {…}}``. Short for ``task: {name: network, architecture: …}``."""
    dataset: Annotated[Dataset, BeforeValidator(_dataset)] = Field(None, validate_default=True)
    """A name, or ``{name: …}`` with options of the dataset; left out: as in the paper. Or ``module:function``, of a
    module that ``--import`` names, with arguments ``{name: module:function, args: {…}}``."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = (0,)
    """How many replicates each cell has, or a list of their seeds."""
    training: Annotated[dict[str, Any] | tuple[dict[str, Any], ...], BeforeValidator(_training)] = Field({})
    """How long and how fast a replicate trains; what is left out is as in the paper. Or a list of phases, one after the
    other, each with its length."""
    pruning: Annotated[dict[str, Any], _section(Pruning)] = Field({})
    """What becomes zero after training; what is left out is as in the paper."""
    methods: Annotated[tuple[Annotated[MethodEntry, PlainValidator(_method)], ...], BeforeValidator(_methods)]
    """The rows of the table."""
    resources: Resources = Resources()
    """What one pack gets, and how many replicates it holds."""
    search: Search | None = None
    """How hyper-parameters are searched, where any is a search space."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_empty(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if "network" in value and "task" in value:
                reason = PydanticCustomError("two_tasks", "stands in place of 'task': give one of them")
                raise _error_at(cls, "network", reason)
            if "network" in value:
                value = {**value, "task": {"name": "network", "architecture": value["network"]}}
            for key in ("dataset", "search"):
                if key in value and value[key] is None:
                    reason = PydanticCustomError("empty", "nothing stands there; give a value, or leave the key out")
                    raise _error_at(cls, key, reason)
        return value
