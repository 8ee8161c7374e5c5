"""Registers tasks, datasets and penalties of a user's own under their names."""

import inspect
from collections.abc import Iterable
from typing import Any, get_args

from dn_distributed.errors import ArgumentError


def literal_names(cls: type) -> tuple[str, ...]:
    """Return the names that the field ``name: Literal[…]`` of a task or dataset allows; none where it is no such."""
    field = getattr(cls, "model_fields", {}).get("name")
    return tuple(name for name in get_args(field.annotation) if isinstance(name, str)) if field is not None else ()


def register(registry: dict[str, Any], base: type[Any], cls: type[Any], names: Iterable[str], how_to_name: str) -> None:
    """Register ``cls``, a concrete subclass of ``base``, under its names; a class that is defined anew replaces itself.

    ArgumentError for another class, for none, and for a name that another class has.
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
    for name in names:
        other = registry.get(name)
        if other is not None and _place(other) != _place(cls):
            raise ArgumentError(
                f"{kind} {cls.__name__}: the name {name!r} is taken by {'.'.join(_place(other))}; {how_to_name}"
            )
    registry.update(dict.fromkeys(names, cls))


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
