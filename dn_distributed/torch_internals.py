"""What the science uses of torch that torch does not promise. A test says when it changes."""

from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim.adam import adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["TorchDispatchMode", "adam", "aten", "foreach_add_", "foreach_copy_", "make_fx", "tree_leaves", "writes"]

aten = torch.ops.aten
foreach_add_ = torch._foreach_add_
"""Adds to each tensor of a list the one of another, in place."""
foreach_copy_ = torch._foreach_copy_
"""Fills each tensor of a list with what the one of another holds."""


def writes(operation: Any) -> bool:
    """Return whether an operation of torch changes one of its arguments."""
    schema = getattr(operation, "_schema", None)
    return bool(schema is not None and schema.is_mutable)
