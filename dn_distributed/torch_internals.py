"""What the science uses of torch that torch does not promise. A test says when it changes."""

from functools import cache
from typing import Any

import torch
from torch import fx
from torch.fx.graph_module import _USER_PRESERVED_ATTRIBUTES_KEY
from torch.optim.adam import adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = [
    "DispatchMode",
    "adam",
    "aten",
    "foreach_copy_",
    "out_of_place",
    "packet_of",
    "set_for_copies_too",
    "tree_leaves",
    "tree_map",
    "writes",
]

aten = torch.ops.aten
foreach_copy_ = torch._foreach_copy_
"""Fills each tensor of a list with what the one of another holds."""


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation of torch that comes to be executed."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch's compiler is imported at the first operation, which takes a second


def set_for_copies_too(module: fx.GraphModule, name: str, value: object) -> None:
    """Set an attribute that ``copy.deepcopy`` of the module keeps: it loses others."""
    setattr(module, name, value)
    module.meta.setdefault(_USER_PRESERVED_ATTRIBUTES_KEY, {})[name] = value


def packet_of(operation: Any) -> Any:
    """Return what all overloads of an operation of torch share, as ``aten.mm``; one of higher order as it is."""
    return getattr(operation, "_overloadpacket", operation)


def writes(operation: Any) -> bool:
    """Return whether an operation of torch changes one of its arguments."""
    schema = getattr(operation, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


@cache
def out_of_place(operation: Any) -> Any:
    """Return the operation of torch that computes what one does that works in place, and any other as it is.

    None of one that changes something else than its first argument.
    """
    if not writes(operation):
        return operation
    schema = operation._schema
    changed = [argument.alias_info is not None and argument.alias_info.is_write for argument in schema.arguments]
    namespace, _, name = schema.name.partition("::")
    if changed != [True] + [False] * (len(changed) - 1) or not name.endswith("_"):
        return None
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    return getattr(packet, schema.overload_name or "default", None)
