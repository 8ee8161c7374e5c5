"""Reads a sweep file: what it says, with ``--set`` in place, and the file, line and key of what is wrong."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dn_distributed import own_code
from dn_distributed.config import FrozenModel, Pruning, Training
from dn_distributed.data import Dataset
from dn_distributed.labels import SHORTHANDS
from dn_distributed.regularizers import OTHERS, PENALTIES, expand_shorthand
from dn_distributed.tasks import Task
from dn_distributed.text import one_line, quoted
from sweeps.errors import SpecError
from sweeps.spec import shipped
from sweeps.spec.checks import check, of_fitted_task
from sweeps.spec.file import SweepFile
from sweeps.spec.method import MethodEntry
from sweeps.spec.own_modules import own_modules
from sweeps.spec.spaces import Space, examples, fill, find_spaces
from sweeps.spec.sweep import Method, Sweep
from sweeps.spec.yaml_file import KeyPath, Places, YamlFile, as_yaml, show

Model = TypeVar("Model", bound=FrozenModel)

_NO_LENGTH = {"epochs": None, "steps": None}
_INSTEAD = {"epochs": {"epochs", "steps"}, "steps": {"epochs", "steps"}, "threshold": {"threshold", "target_density"}}
"""By key what a file may say instead of it, or anew: then the task's default is forgotten."""
_OURS = ("value_error", "unknown_key", "two_tasks", "empty")
"""Errors whose message says all; to others the value is added."""
_MESSAGES = {"bool_type": "expected true or false", "tuple_type": "expected a list, as [8]"}


def load(
    sweep: str | Path | Mapping[str, Any],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    imports: str | Sequence[str] = (),
) -> Sweep:
    """Read a sweep file, or what one would say as a dictionary, and return what it means.

    A name as ``demo/regression`` is that of a file of this package, where no file is called so.
    ``overrides`` are ``key=value`` with dotted keys, as of ``--set``, or a dictionary of them. ``imports``: modules
    that have what is your own. SpecError says what is wrong, and where.
    """
    own_modules(imports).load()
    file = YamlFile.of(sweep) if isinstance(sweep, Mapping) else YamlFile(shipped.find(Path(sweep)))
    if isinstance(overrides, str):
        overrides = [overrides]
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={as_yaml(value).strip()}" for key, value in overrides.items()]
    for override in overrides:
        _override(file, override)
    return _sweep(file, file.dump() if overrides else file.text)


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
    if keys[:1] == ("training",) and isinstance(node, dict):
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


def _sweep(file: YamlFile, source: str) -> Sweep:
    places = file.places
    if taken := {*MethodEntry.model_fields, *SHORTHANDS, *OTHERS} & set(PENALTIES):
        raise places.error((), f"a penalty of PENALTIES cannot be called {min(taken)!r}, which is another key")
    if "network" in file.data and "task" not in file.data:
        places.written_as.update({("task", "architecture"): ("network",), ("task",): ("network",)})
    read = validated(SweepFile, file.data, (), places)
    training, pruning = _training(read, places), _over_defaults(read.pruning, read.task.default_pruning)
    _check_section(Pruning, pruning, ("pruning",), places)
    spaces = {**find_spaces(read.training, "training"), **find_spaces(read.pruning, "pruning")}
    methods = tuple(_method(entry, spaces) for entry in read.methods)
    used = {target for method in methods for name in method.keys for target in expand_shorthand(name)} & set(PENALTIES)
    code = _code(read.task, read.dataset, used, places)
    sweep = Sweep(
        path=file.path,
        source=source,
        name=read.name,
        task=read.task,
        dataset=read.dataset,
        seeds=read.seeds,
        training=training,
        pruning=pruning,
        methods=methods,
        resources=read.resources,
        search=read.search,
        places=places,
        code=code,
        penalties={name: cls for name, cls in PENALTIES.items() if own_code.penalty_part(name) in code},
    )
    check(sweep)
    return sweep


def with_task(sweep: Sweep, task: Task) -> Sweep:
    """Return the sweep with its task fitted to its data. SpecError where that shows a mistake in the file."""
    fitted = replace(sweep, task=task, code=_code(task, sweep.dataset, sweep.penalties, sweep.places))
    for keys, message in of_fitted_task(fitted):
        raise sweep.places.error(keys, message)
    return fitted


def _code(task: Task, dataset: Dataset, penalties: Iterable[str], places: Places) -> dict[str, str]:
    try:
        return own_code.digests(task, dataset, sorted(penalties))
    except own_code.NetworkError as error:
        raise places.error(("task",), str(error)) from error
    except ValueError as error:
        raise places.error((), str(error)) from error


def _method(entry: MethodEntry, shared: Mapping[str, Space]) -> Method:
    return Method(
        label=entry.label,
        coefficients=entry.coefficients,
        spaces={**entry.spaces, **shared},
        published=entry.published,
        dropout_at_test=entry.dropout_at_test,
        dropout_inert=entry.dropout_inert,
        step=entry.step,
        baseline=entry.baseline,
    )


def _training(read: SweepFile, places: Places) -> dict[str, Any] | tuple[dict[str, Any], ...]:
    """The training, or each of its phases, over the task's defaults."""
    defaults = read.task.default_training
    if isinstance(read.training, dict):
        whole = _over_defaults(read.training, defaults)
        _check_section(Training, whole, ("training",), places)
        return whole
    phases = tuple(_over_defaults(phase, defaults.model_copy(update=_NO_LENGTH)) for phase in read.training)
    for number, phase in enumerate(phases):
        _check_section(Training, phase, ("training", number), places)
    return phases


def _over_defaults(given: Mapping[str, Any], defaults: FrozenModel) -> dict[str, Any]:
    """Return what a section says, values or search spaces, over the task's defaults."""
    base = defaults.model_dump(exclude_none=True)
    for replaced, by in _INSTEAD.items():
        if by & given.keys():
            base.pop(replaced, None)
    return {**base, **given}


def _check_section(model: type[FrozenModel], section: Mapping[str, Any], keys: KeyPath, places: Places) -> None:
    """SpecError where a section is wrong with any value of its search spaces."""
    path = ".".join(map(str, keys))
    for values in examples(find_spaces(section, path)):
        validated(model, fill(section, path, values), keys, places)


def validated(model: type[Model], data: Any, keys: KeyPath, places: Places) -> Model:
    """Return the data as a model. SpecError at the first key that is wrong; ``keys``: where the data stand."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise places.error((*keys, *_place(first, data)), _in_words(first)) from error


def _place(error: ErrorDetails, data: Any) -> KeyPath:
    """Return where an error stands in the data: pydantic adds which part of a union it is of."""
    found = data
    for number, key in enumerate(error["loc"]):
        if not isinstance(found, Mapping | Sequence) or isinstance(found, str):
            return error["loc"] if error["type"] == "missing" else error["loc"][:number]
        try:
            found = found[key]  # type: ignore[index]
        except (LookupError, TypeError):
            break  # written otherwise, as ``network`` in place of a task
    return error["loc"]


def _in_words(error: ErrorDetails) -> str:
    if error["type"] in _MESSAGES:
        return f"{_MESSAGES[error['type']]}, not {quoted(error['input'])}"
    if error["type"] == "missing":
        return "this key is required"
    message = error["msg"].removeprefix("Value error, ")
    of_pydantic = error["type"] not in _OURS and not isinstance(error["input"], dict)
    return f"{message[0].lower()}{message[1:]}" + f", not {quoted(error['input'])}" * of_pydantic
