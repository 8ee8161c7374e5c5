"""The layers of any ``nn.Module`` that penalties, pruning and counts are of, and the order in which it uses them.

As in the paper's LeNet-5 these are the fully connected layers, ``nn.Linear``; a convolution is among them where it is
named.
"""

import copy
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import fx, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.sparsity import why_no_chain
from dn_distributed.text import first_line

Layer: TypeAlias = nn.Linear | nn.Conv2d

_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)
_MIXING = {"MultiheadAttention", "GLU", "Softmax", "Softmin", "Softmax2d", "LogSoftmax"}
UNITWISE_MODULES = (
    *(getattr(nn, name) for name in nn.modules.activation.__all__ if name not in _MIXING),
    *(nn.Identity, nn.Flatten, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.BatchNorm1d),
)
UNITWISE_FUNCTIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign"),
    *("sigmoid", "logsigmoid", "hardsigmoid", "tanh", "hardtanh", "tanhshrink", "hardswish", "hardshrink"),
    *("softshrink", "threshold", "abs", "square", "sqrt", "exp", "sin", "cos", "clamp", "neg", "pow"),
    *("add", "sub", "mul", "div", "truediv", "dropout", "alpha_dropout", "feature_alpha_dropout"),
    *("contiguous", "clone", "detach", "to", "float", "double", "half", "flatten"),
}
"""With one tensor as their argument these leave every unit where it is, and apart from the others."""


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


def forward_order(module: nn.Module) -> tuple[str, ...]:
    """Return the names of all ``nn.Linear`` of ``module`` in the order in which its ``forward`` uses them.

    ArgumentError where they are no chain: one is not used or used twice, ``forward`` cannot be followed, or something
    stands between two of them that does not hand on the outputs of one, each for itself, as the inputs of the next.

    ``forward`` runs once, without numbers, on a copy. Meanwhile ``torch.fx`` stands in for the call of every module of
    the process: do not run networks in other threads.
    """
    if isinstance(module, nn.Linear):
        return ("",)
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    uses = [node for node in _graph(module).nodes if node.op == "call_module" and node.target in names]
    used = [str(node.target) for node in uses]
    for name in names:
        if used.count(name) > 1:
            kind = type(module).__name__
            raise ArgumentError(
                f"layer {name!r} is used {used.count(name)} times in {kind}.forward(): "
                "neurons can be counted only where each layer is used once; masks() counts weights"
            )
        if name not in used:
            raise _unknown_order(module, f"layer {name!r} is used nowhere in it")
    for before, after in itertools.pairwise(uses):
        _check_chain(module, before, after)
    if uses and len(uses[0].args) == 1 and len(uses[0].all_input_nodes[0].users) > 1:
        raise _unknown_order(module, f"what enters {used[0]!r} enters other parts of the network too")
    return tuple(used)


def used_layers(module: nn.Module) -> tuple[str, ...]:
    """Return the names of every ``nn.Linear`` and ``nn.Conv2d`` in the order in which ``forward`` first uses them.

    ArgumentError where it cannot be followed. Mind the threads of ``forward_order``.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        return ("",)
    used = dict.fromkeys(str(node.target) for node in _graph(module).nodes if node.op == "call_module")
    return tuple(name for name in used if isinstance(module.get_submodule(name), nn.Linear | nn.Conv2d))


def other_weights(module: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of the weights (parameters of more than one dimension) that are of none of the layers."""
    counted = {_key(name) for name in names}
    return [key for key, parameter in module.named_parameters() if parameter.ndim > 1 and key not in counted]


def is_chain(module: nn.Module, names: Sequence[str]) -> bool:
    """Return whether each of the layers ``names`` takes what the one before gives, and nothing else does.

    Between fully connected layers alone it is taken to be so. Where a convolution is among them, sizes tell, and
    ``forward`` where it can be followed: see ``forward_order``, and mind its threads.
    """
    layers = {name: module.get_submodule(name) for name in names}
    if all(isinstance(layer, nn.Linear) for layer in layers.values()):
        return True
    if why_no_chain({name: tuple(layer.weight.shape) for name, layer in select(module, names).items()}):
        return False
    try:
        _graph(module)
    except ArgumentError:
        return True
    return is_followed_chain(module, names)


def is_followed_chain(module: nn.Module, names: Sequence[str]) -> bool:
    """Return whether ``forward`` can be followed, and the layers ``names`` are a chain in it.

    Then each of them alone reads what the one before puts out, with no other layer between. Mind the threads of
    ``forward_order``.
    """
    try:
        nodes = list(_graph(module).nodes)
    except ArgumentError:
        return False
    uses = [node for node in nodes if node.op == "call_module" and node.target in names]
    in_order = [node.target for node in uses] == list(names)
    return in_order and all(_leads_alone(module, before, after) for before, after in itertools.pairwise(uses))


def _leads_alone(module: nn.Module, before: fx.Node, after: fx.Node) -> bool:
    """Whether one path leads from one layer to another, without a third on it."""
    node = after
    while node is not before:
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        inputs = [source for source in node.all_input_nodes if not _is_size(source)]
        if len(inputs) != 1 or (node is not after and isinstance(layer, nn.Linear | nn.Conv2d)):
            return False
        node = inputs[0]
        if sum(not _is_size(user) for user in node.users) != 1:
            return False
    return True


def _is_size(node: fx.Node) -> bool:
    """Whether a node is of the size of a tensor, as in ``x.view(x.size(0), -1)``, not of its numbers."""
    if node.op == "call_method" and node.target in ("size", "dim", "numel"):
        return True
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in ("shape", "ndim", "device", "dtype")
    return node.op == "call_function" and bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes))


def parts_of_filters(module: nn.Module, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return by convolution among ``names`` the parameters of which each filter has one value.

    They are its bias, and gain and shift of the normalisation that alone reads it, where ``forward`` can be followed.
    """
    convolutions = [name for name in names if isinstance(module.get_submodule(name), nn.Conv2d)]
    found = dict.fromkeys(convolutions, "")
    try:
        nodes = list(_graph(module).nodes) if convolutions else []
    except ArgumentError:
        nodes = []
    for node in nodes:
        if node.op == "call_module" and node.target in found and len(node.users) == 1:
            (user,) = node.users
            if user.op == "call_module" and isinstance(module.get_submodule(str(user.target)), _NORMS):
                found[node.target] = str(user.target)
    parameters = {name for name, _ in module.named_parameters()}
    return {
        name: tuple(
            part for part in (f"{name}.bias", f"{norm}.weight", f"{norm}.bias") if part in parameters and part[0] != "."
        )
        for name, norm in found.items()
    }


class LayerTracer(fx.Tracer):
    """Takes layers of a class of the user's own that derives from torch's as one operation too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Linear | nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


TRACING = threading.RLock()  # torch.fx patches nn.Module.__call__ for the whole process


def _graph(module: nn.Module) -> fx.Graph:
    try:
        with TRACING:
            return LayerTracer().trace(_copy_to_trace(module))
    except Exception as error:  # forward() is anybody's: whatever it raises without real numbers
        raise _unknown_order(module, f"it cannot be followed ({first_line(error)})") from error


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


def _check_chain(module: nn.Module, before: fx.Node, after: fx.Node) -> None:
    between = f"between {str(before.target)!r} and {str(after.target)!r}"
    node = after
    while node is not before:
        if node is not after and not _keeps_units(module, node):
            raise _unknown_order(module, f"{between} stands {_kind(module, node)}, which may mix or move units")
        if len(node.all_input_nodes) != 1:
            raise _unknown_order(module, f"the one does not follow the other {between}")
        node = node.all_input_nodes[0]
        if len(node.users) != 1:
            raise _unknown_order(module, f"what lies {between} is used elsewhere too ({node.name!r})")


def _keeps_units(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module.get_submodule(str(node.target)), UNITWISE_MODULES)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in UNITWISE_FUNCTIONS


def _kind(module: nn.Module, node: fx.Node) -> str:
    return type(module.get_submodule(str(node.target))).__name__ if node.op == "call_module" else node.name


def _unknown_order(module: nn.Module, reason: str) -> ArgumentError:
    return ArgumentError(
        f"the order of the layers cannot be read from {type(module).__name__}.forward(): {reason}; "
        "if each one's outputs are the next one's inputs, name them in that order: layers=[…]"
    )


def _key(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
