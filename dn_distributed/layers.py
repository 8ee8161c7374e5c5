"""The layers of any ``nn.Module`` that penalties, pruning and counts are of, and its ``forward`` as a graph of them.

As in the paper's LeNet-5 these are the fully connected layers, ``nn.Linear``; a convolution is among them where it is
named.
"""

import copy
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import fx, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.text import first_line

Layer: TypeAlias = nn.Linear | nn.Conv2d

_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)


def select(module: nn.Module, names: Sequence[str] | str | None = None) -> dict[str, Layer]:
    """Return by name the layers ``names`` of ``module``; None: every ``nn.Linear``, in the order of ``named_modules``.

    ArgumentError where there is none, for a name that is no ``nn.Linear`` or ``nn.Conv2d``, for a layer whose weight
    is not a parameter of its own or holds no numbers yet, and for attention of which None would take a part.
    """
    found = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    if names is None:
        chosen: tuple[str, ...] = tuple(name for name, layer in found.items() if isinstance(layer, nn.Linear))
        _check_attention(module)
        if not chosen:
            others = f"; convolutions are taken by name: {', '.join(found)}" if found else ""
            raise ArgumentError(f"{type(module).__name__} has no fully connected layer (nn.Linear){others}")
    else:
        chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in found:
            raise ArgumentError(f"layer {name!r} is no nn.Linear or nn.Conv2d of the module; it has: {_list(found)}")
    if not chosen or len(set(chosen)) != len(chosen):
        raise ArgumentError(f"layers {list(chosen)}: name each layer once, and at least one")
    check_own_weights(module, chosen)
    for name in chosen:
        weight = found[name].weight
        if isinstance(weight, nn.UninitializedParameter) or weight.is_meta:
            raise ArgumentError(f"layer {name!r} holds no numbers yet: initialise the module first")
    return {name: found[name] for name in chosen}


def _check_attention(module: nn.Module) -> None:
    """ArgumentError where the projections into attention, which are no layers, would be left out without a word."""
    for name, part in module.named_modules():
        if isinstance(part, nn.MultiheadAttention):
            taken, left = (f"{name}.{own}" if name else own for own in ("out_proj", "in_proj_weight"))
            raise ArgumentError(
                f"of attention {name!r} only {taken!r} is an nn.Linear, {left!r} would be left out: "
                "name the layers that are meant, layers=[…]"
            )


def check_own_weights(module: nn.Module, names: Iterable[str]) -> None:
    """ArgumentError where the weight of a layer is computed from others, or weight or bias is another layer's too."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    names_of: defaultdict[int, list[str]] = defaultdict(list)
    for key, parameter in parameters.items():
        names_of[id(parameter)].append(key)
    for name in names:
        key = _key(name)
        if key not in parameters:
            raise ArgumentError(f"layer {name!r} has no parameter 'weight' of its own (a parametrization?)")
        for own, kind in ((key, "weight"), (f"{key.removesuffix('weight')}bias", "bias")):
            names_here = names_of[id(parameters[own])] if own in parameters else []
            if shared := [other for other in names_here if other != own]:
                raise ArgumentError(f"layer {name!r} shares its {kind} with {shared[0]!r}")


def check_groups(layers: Mapping[str, nn.Module]) -> None:
    """ArgumentError for a convolution with groups: what leaves one of its channels is no part of its weight."""
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d) and layer.groups != 1:
            raise ArgumentError(f"layer {name!r} is a convolution with groups, whose units cannot be counted")


def used_layers(module: nn.Module) -> tuple[str, ...]:
    """Return the names of every ``nn.Linear`` and ``nn.Conv2d`` in the order in which ``forward`` first uses them.

    ArgumentError where it cannot be followed. Mind the threads of ``graph_of``.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        return ("",)
    used = dict.fromkeys(str(node.target) for node in graph_of(module).nodes if node.op == "call_module")
    return tuple(name for name in used if isinstance(module.get_submodule(name), nn.Linear | nn.Conv2d))


def other_weights(module: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of the weights (parameters of more than one dimension) that are of none of the layers."""
    counted = {_key(name) for name in names}
    return [key for key, parameter in module.named_parameters() if parameter.ndim > 1 and key not in counted]


def parts_of_filters(module: nn.Module, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return by convolution among ``names`` the parameters of which each filter has one value.

    They are its bias, and gain and shift of the normalisation that alone reads it, and it alone, where ``forward`` can
    be followed.
    """
    convolutions = [name for name in names if isinstance(module.get_submodule(name), nn.Conv2d)]
    found = dict.fromkeys(convolutions, "")
    try:
        nodes = list(graph_of(module).nodes) if convolutions else []
    except ArgumentError:
        nodes = []
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    for node in nodes:
        if node.op == "call_module" and node.target in found and len(node.users) == 1:
            (user,) = node.users
            is_own = user.op == "call_module" and calls[str(user.target)] == 1
            if is_own and isinstance(module.get_submodule(str(user.target)), _NORMS):
                found[node.target] = str(user.target)
    parameters = {name for name, _ in module.named_parameters()}
    return {
        name: tuple(
            part for part in (f"{name}.bias", f"{norm}.weight", f"{norm}.bias") if part in parameters and part[0] != "."
        )
        for name, norm in found.items()
    }


def rounds_otherwise_in_a_stack(network: nn.Module) -> bool:
    """Return whether a network has a part that a CPU rounds otherwise for several networks at once than alone.

    That are convolutions of any kind, and ``nn.MultiheadAttention``, whose inputs a stack lays out otherwise.
    """
    kinds = (nn.modules.conv._ConvNd, nn.MultiheadAttention)
    return any(isinstance(part, kinds) for part in network.modules())


def is_recurrent(network: nn.Module) -> bool:
    """Return whether a network has a recurrent layer, of which torch cannot compute several at once (``vmap``)."""
    return any(isinstance(part, nn.RNNBase) for part in network.modules())


class Call(NamedTuple):
    """A call of a module."""

    name: str
    inputs: Any
    """The first of them; None where there is none by position."""
    outputs: Any


@contextmanager
def noted_calls(network: nn.Module, names: Iterable[str]) -> Iterator[list[Call]]:
    """Give a list that gets each call of these modules, until the end."""
    calls: list[Call] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda _, inputs, outputs: calls.append(Call(name, inputs[0] if inputs else None, outputs))

    hooks = [network.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


class LayerTracer(fx.Tracer):
    """Takes layers of a class of the user's own that derives from torch's as one operation too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Linear | nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


TRACING = threading.RLock()  # torch.fx patches nn.Module.__call__ for the whole process


def graph_of(module: nn.Module) -> fx.Graph:
    """Return what ``forward`` does as a graph. ArgumentError where it cannot be followed. Mind ``TRACING``.

    ``forward`` runs once, without numbers, on a copy. Meanwhile ``torch.fx`` stands in for the call of every module of
    the process: do not run networks in other threads.
    """
    try:
        with TRACING:
            return LayerTracer().trace(_copy_to_trace(module))
    except Exception as error:  # forward() is anybody's: whatever it raises without real numbers
        raise unknown_order(module, f"it cannot be followed ({first_line(error)})") from error


def _copy_to_trace(module: nn.Module) -> nn.Module:
    """A copy whose ``forward`` may change what it likes; its parameters have shapes, but take no memory.

    Attribute by attribute, for ``deepcopy`` of the whole refuses tensors that a graph made, locks, and open files.
    """
    twins = {id(part): object.__new__(type(part)) for part in module.modules()}
    memo: dict[int, Any] = dict(twins)
    for parameter in module.parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            memo[id(parameter)] = parameter
        else:
            empty = torch.empty_like(parameter, device="meta")
            memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for part in module.modules():
        twins[id(part)].__dict__.update({key: _copied(value, memo) for key, value in vars(part).items()})
    copied: nn.Module = memo[id(module)]
    return copied


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, torch.Tensor) and id(value) not in memo:
        return value.detach().clone()
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # of anybody's class: then both share it
        return value


def unknown_order(module: nn.Module, reason: str) -> ArgumentError:
    """Return the error of a module whose order of layers does not show in its ``forward``."""
    return ArgumentError(
        f"the order of the layers cannot be read from {type(module).__name__}.forward(): {reason}; "
        "if each one's outputs are the next one's inputs, name them in that order: layers=[…]"
    )


def _key(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
