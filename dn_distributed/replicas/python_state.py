"""What a network or a task keeps in Python, besides tensors: a step is recorded once, and changes it no more after."""

import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from dn_distributed.tasks import Task

_DEEPEST = 4
_OF_TORCH = vars(nn.Module()).keys()
_FOREIGN = ("torch", "pydantic", "dn_distributed", "builtins", "abc", "typing")

State = Mapping[str, Any]


def state_of(network: nn.Module, task: Task) -> State:
    """Return by name, in words, the numbers and texts that modules of a network and its task hold in attributes.

    Those too that lie in lists, mappings and plain objects there, and in the classes; no tensors.
    """
    found = {}
    for name, module in network.named_modules():
        owner = f"module {name!r}" if name else "the network"
        for key, value in _attributes(module):
            if key not in _OF_TORCH:
                found[f"attribute {key!r} of {owner}"] = _plain(value)
    private = getattr(task, "__pydantic_private__", None) or {}
    for key, value in (*_attributes(task), *private.items()):
        found[f"attribute {key!r} of the task"] = _plain(value)
    return found


def first_change(before: State, after: State) -> str | None:
    """Return the name of the first attribute that is another, or new; None where there is none."""
    return next((name for name, value in after.items() if name not in before or before[name] != value), None)


def _attributes(owner: object) -> Iterator[tuple[str, Any]]:
    for cls in reversed(type(owner).__mro__):
        if cls.__module__.partition(".")[0] not in _FOREIGN:
            yield from ((key, value) for key, value in vars(cls).items() if not key.startswith("__"))
    yield from vars(owner).items()


def _plain(value: Any, depth: int = 0) -> Any:
    """What can be held against a later state; None of all else."""
    if isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)  # NaN is then what it was
    if depth == _DEEPEST or isinstance(value, Tensor | nn.Module | type):
        return None
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator | np.random.RandomState):
        generator: Any = value
        return repr(generator.bit_generator.state if hasattr(generator, "bit_generator") else generator.get_state())
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return [(_plain(key, depth + 1), _plain(held, depth + 1)) for key, held in value.items()]
    if isinstance(value, list | tuple | deque):
        return [_plain(held, depth + 1) for held in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, (_plain(held, depth + 1) for held in value)))
    held = getattr(value, "__dict__", None)
    return [(key, _plain(part, depth + 1)) for key, part in held.items()] if isinstance(held, dict) else None
