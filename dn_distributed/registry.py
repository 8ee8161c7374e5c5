"""Registers tasks, datasets and penalties of a user's own under their names, and the modules that may be run."""

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, get_args, get_origin

from dn_distributed.errors import ArgumentError
from dn_distributed.text import first_line

OWN_MODULES: set[str] = set()
"""Names of the modules that the user has imported for sweeps, and of those of registered classes. A sweep file or a
stored cell may name functions of these, and of their submodules, and of no others."""


def is_own_module(name: str) -> bool:
    """Return whether functions of the module of this name may be called."""
    return any(f"{name}.".startswith(f"{module}.") for module in OWN_MODULES)


def import_own(names: str | Iterable[str]) -> None:
    """Import modules of the user's own, and let functions of them be called. Raise what a module itself raises."""
    for name in [names] if isinstance(names, str) else names:
        importlib.import_module(name)
        OWN_MODULES.add(name)


def own_function(what: str, name: str) -> Callable[..., Any]:
    """Return the function or class ``module:function`` of the user's own; ``what`` it makes stands in messages.

    ArgumentError where it is none, or of a module that is not the user's. Sweep files and stored cells come from
    anywhere: without this, one could run any function of any module.
    """
    module, _, attribute = name.partition(":")
    _check_own(what, name, module)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a module of the user's own raises
        raise ArgumentError(f"{what} {name}: {first_line(error)}") from error
    if not (inspect.isfunction(found) or inspect.isclass(found)):
        raise ArgumentError(f"{what} {name}: {attribute} is no function")
    _check_own(what, name, found.__module__)
    return found


def _check_own(what: str, name: str, module: str) -> None:
    if not is_own_module(module):
        raise ArgumentError(
            f"{what} {name}: functions of {module!r} are run only where --import {module} names it (in Python, imports)"
        )


def literal_names(cls: type) -> tuple[str, ...]:
    """Return the names that the field ``name: Literal[…]`` of a task or dataset allows; none where it is no such."""
    field = getattr(cls, "model_fields", {}).get("name")
    return tuple(name for name in get_args(field.annotation) if isinstance(name, str)) if field is not None else ()


def register(
    registry: dict[str, Any],
    base: type[Any],
    cls: type[Any],
    names: Iterable[str],
    how_to_name: str,
    check: Callable[[Any], None] = lambda cls: None,
) -> None:
    """Register ``cls``, a concrete subclass of ``base``, under its names; a class that is defined anew replaces itself.

    ArgumentError for another class, for one that lacks what ``base`` declares, and for a name that is none, or taken.
    ``check`` raises it for values that are none.
    """
    kind = base.__name__.lower()
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ArgumentError(f"{cls!r} is no {kind}: derive a class from {base.__module__}.{base.__name__}")
    if inspect.isabstract(cls):
        raise ArgumentError(
            f"{kind} {cls.__name__} does not define {', '.join(sorted(getattr(cls, '__abstractmethods__', ())))}"
        )
    names = tuple(names)
    if not names:
        raise ArgumentError(f"{kind} {cls.__name__} has no name: {how_to_name}")
    if missing := [name for name in _class_variables(base) if not hasattr(cls, name)]:
        raise ArgumentError(f"{kind} {cls.__name__} does not set {', '.join(missing)}")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise ArgumentError(f"{kind} {cls.__name__}: {name!r} is no name (printable characters); {how_to_name}")
        other = registry.get(name)
        if other is not None and _place(other) != _place(cls):
            raise ArgumentError(
                f"{kind} {cls.__name__}: the name {name!r} is taken by {'.'.join(_place(other))}; {how_to_name}"
            )
    check(cls)
    registry.update(dict.fromkeys(names, cls))
    OWN_MODULES.add(cls.__module__)


def check_kind(cls: Any) -> None:
    """ArgumentError where a task or a dataset is of a kind that no dataset or task goes with."""
    if cls.kind not in (kinds := ("images", "linear", "samples")):
        raise ArgumentError(
            f"{cls.__name__}: kind is {cls.kind!r}: give {', '.join(map(repr, kinds[:-1]))} or {kinds[-1]!r}"
        )


def _class_variables(base: type) -> list[str]:
    """The class variables that ``base`` declares, of which those without a default are for its subclasses to set."""
    class_var: Any = ClassVar
    return [name for name, kind in inspect.get_annotations(base).items() if get_origin(kind) is class_var]


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
