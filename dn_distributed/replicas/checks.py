"""Which networks can be trained as a stack: what would go wrong, or would silently be another network, is refused."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dn_distributed.errors import ArgumentError, NoLayersError, UnusedLayersError
from dn_distributed.layers import check_groups, check_own_weights, graph_of
from dn_distributed.torch_internals import DispatchMode

OWN_RANDOMNESS = "the network or its loss draws random numbers of its own; use nn.Dropout modules only"

_SHARES = ("dropout_p", "dropout")
"""What operations that may drop something among others call the probability; left out, it is 0."""


def check(network: nn.Module, layers: Sequence[str], swapped: Sequence[str]) -> None:
    """ArgumentError for a network that cannot be stacked.

    ``swapped``: its modules whose buffers a stack gives them, ``MaskedDropout`` and batch normalisation.
    """
    _check_tensors(network, swapped)
    _check_parameters(network)
    check_own_weights(network, layers)


def check_layers(network: nn.Module, layers: Sequence[str]) -> None:
    """ArgumentError where ``layers`` of a network cannot be regularised and counted."""
    kinds = nn.Linear | nn.Conv2d
    found = {name: module for name, module in network.named_modules() if isinstance(module, kinds)}
    if not layers:
        raise NoLayersError(f"no regularised layer is named; the network has: {', '.join(found)}")
    for name in layers:
        if name not in found:
            raise ArgumentError(
                f"regularised layer {name!r} is no nn.Linear or nn.Conv2d of the network; it has: {', '.join(found)}"
            )
    check_groups({name: found[name] for name in layers})
    if any(isinstance(found[name], nn.Conv2d) for name in layers):
        return
    for before, after in itertools.pairwise(layers):
        if found[before].out_features != found[after].in_features:
            unused = _unused(network, layers)
            raise UnusedLayersError(
                f"regularised layer {unused[0]!r} is not used by the network's forward()"
                if unused
                else f"regularised layers {before!r} and {after!r} do not follow each other"
            )


def _unused(network: nn.Module, layers: Sequence[str]) -> list[str]:
    """Those of ``layers`` that ``forward`` does not call; none where it cannot be followed."""
    try:
        called = {node.target for node in graph_of(network).nodes if node.op == "call_module"}
    except ArgumentError:
        return []
    return [name for name in layers if name not in called]


def _check_tensors(network: nn.Module, swapped: Sequence[str]) -> None:
    """Of all tensors, only parameters and running statistics are stacked, trained and stored."""
    for name, module in network.named_modules():
        if name not in swapped and next(module.named_buffers(recurse=False), None) is not None:
            raise ArgumentError(
                f"module {name!r} keeps buffers, which replicates cannot share; "
                "only nn.BatchNorm1d, 2d and 3d may, which keep running statistics"
            )
        if kept := [key for key, value in vars(module).items() if isinstance(value, torch.Tensor)]:
            raise ArgumentError(
                f"module {name!r} keeps a tensor {kept[0]!r} that is no parameter; make it one, or make it in forward()"
            )


def _check_parameters(network: nn.Module) -> None:
    for name, buffer in network.named_buffers():
        if buffer.dtype != torch.float32:
            raise ArgumentError(f"buffer {name!r} is of type {_type(buffer)}; replicates train in float32")
    for name, parameter in network.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ArgumentError(f"parameter {name!r} has no size yet; give the layer its sizes")
        if parameter.dtype != torch.float32:
            raise ArgumentError(f"parameter {name!r} is of type {_type(parameter)}; replicates train in float32")
        if not parameter.requires_grad:
            raise ArgumentError(f"parameter {name!r} is frozen (requires_grad is False); a stack trains all parameters")


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def draws(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether an operation of torch draws random numbers, called with these arguments.

    Attention and recurrent layers draw none without dropout, whatever their tag says.
    """
    if torch.Tag.nondeterministic_seeded not in getattr(operation, "tags", ()):
        return False
    names = [argument.name for argument in operation._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return not any(name in names and given.get(name, 0.0) == 0 for name in _SHARES)


class _NoDraws(DispatchMode):  # type: ignore[no-untyped-call]
    """Refuses every operation of torch that draws random numbers, on whatever device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if draws(func, args, kwargs or {}):
            raise ArgumentError(OWN_RANDOMNESS)
        return func(*args, **(kwargs or {}))


@contextmanager
def without_randomness() -> Iterator[None]:
    """ArgumentError where random numbers are drawn within: by torch, or by NumPy's and Python's global generators."""
    before = _global_states()
    with _NoDraws():  # type: ignore[no-untyped-call]
        yield
    if _global_states() != before:
        raise ArgumentError(OWN_RANDOMNESS)


def _global_states() -> tuple[str, object]:
    return repr(np.random.get_state(legacy=False)["state"]), random.getstate()
