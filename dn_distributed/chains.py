"""Whether layers are a chain: each of them alone reads the units of the one before, one after the other.

It is read from ``forward``, without numbers. Between two layers may stand what leaves each unit by itself and where it
is; what may do something else makes no chain of them.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from torch import fx, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.layers import graph_of, unknown_order
from dn_distributed.operations import (
    NO_OPERATION,
    NO_OPERATION_MODULES,
    PAIRS,
    POOLING,
    POOLING_MODULES,
    RESHAPES,
    UNITWISE_FUNCTIONS,
    UNITWISE_MODULES,
)
from dn_distributed.sparsity import why_no_chain

_Form: TypeAlias = Literal["values", "images"]
"""What there is of each unit: values along the last dimension, those of a unit side by side; or an image, ``[B, C, H,
W]``."""


def forward_order(module: nn.Module) -> tuple[str, ...]:
    """Return the names of all ``nn.Linear`` of ``module`` in the order in which its ``forward`` uses them.

    ArgumentError where they are no chain: one is not used or used twice, ``forward`` cannot be followed, or something
    stands between two of them that does not hand on the outputs of one, each for itself, as the inputs of the next.
    Mind the threads of ``layers.graph_of``.
    """
    if isinstance(module, nn.Linear):
        return ("",)
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    uses = [node for node in graph_of(module).nodes if node.op == "call_module" and node.target in names]
    used = [str(node.target) for node in uses]
    for name in names:
        if used.count(name) > 1:
            kind = type(module).__name__
            raise ArgumentError(
                f"layer {name!r} is used {used.count(name)} times in {kind}.forward(): "
                "neurons can be counted only where each layer is used once; masks() counts weights"
            )
        if name not in used:
            raise unknown_order(module, f"layer {name!r} is used nowhere in it")
    for before, after in itertools.pairwise(uses):
        if reason := _why_not_one_after_the_other(module, before, after):
            raise unknown_order(module, reason)
    if uses and len(uses[0].args) == 1 and len(uses[0].all_input_nodes[0].users) > 1:
        raise unknown_order(module, f"what enters {used[0]!r} enters other parts of the network too")
    return tuple(used)


def is_chain(module: nn.Module, names: Sequence[str]) -> bool:
    """Return whether the layers ``names`` are a chain, as far as can be known.

    ``forward`` tells, where it can be followed. Where it cannot, whoever names fully connected layers says that they
    are one; with a convolution among them sizes tell. Mind the threads of ``layers.graph_of``.
    """
    shapes = {name: tuple(module.get_submodule(name).get_parameter("weight").shape) for name in names}
    if any(len(shape) > 2 for shape in shapes.values()) and why_no_chain(shapes):
        return False
    try:
        return not _why_not_followed(module, names)
    except ArgumentError:
        return True


def is_followed_chain(module: nn.Module, names: Sequence[str]) -> bool:
    """Return whether ``forward`` can be followed, and shows that the layers ``names`` are a chain."""
    return not why_no_followed_chain(module, names)


def why_no_followed_chain(module: nn.Module, names: Sequence[str]) -> str:
    """Return in words why ``forward`` does not show that the layers ``names`` are a chain; nothing where it does.

    Mind the threads of ``layers.graph_of``.
    """
    try:
        return _why_not_followed(module, names)
    except ArgumentError:
        return f"{type(module).__name__}.forward() cannot be followed"


def read_otherwise(module: nn.Module, names: Sequence[str]) -> dict[str, str]:
    """Return by layer why its weights are read otherwise than by ``nn.Linear`` or ``nn.Conv2d``, of those that are.

    As of a decoder that reads the weights of an encoder, or of a class that computes other weights of them: there a
    unit without weights may matter, so that it is not dead. As far as ``forward`` can be followed; mind the threads of
    ``layers.graph_of``.
    """
    found = _not_torchs(module, names)
    try:
        elsewhere = _used_elsewhere(graph_of(module), names)
    except ArgumentError:
        return found
    return found | {name: reason for name, reason in elsewhere.items() if name not in found}


def _used_elsewhere(graph: fx.Graph, names: Sequence[str]) -> dict[str, str]:
    """By layer which of its parameters ``forward`` reads itself, beside calling the layer."""
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    found: dict[str, str] = {}
    for name in names:
        for part in ("weight", "bias"):
            if name and f"{name}.{part}" in read:
                found.setdefault(name, f"the {part} of layer {name!r} is used elsewhere in forward() too")
    return found


def _not_torchs(module: nn.Module, names: Sequence[str]) -> dict[str, str]:
    return {name: reason for name in names if (reason := _why_not_torchs(name, module.get_submodule(name)))}


def _why_not_torchs(name: str, layer: nn.Module) -> str:
    """Why a layer computes something else than those of torch with its weights; nothing where it does not."""
    like = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear
    kind: Any = type(layer)
    if kind.forward is not like.forward or "forward" in vars(layer):
        return f"layer {name!r} is a {kind.__name__}, which has a forward() of its own"
    if isinstance(layer, nn.Conv2d) and kind._conv_forward is not nn.Conv2d._conv_forward:
        return f"layer {name!r} is a {kind.__name__}, which convolves in a way of its own"
    if layer._forward_hooks or layer._forward_pre_hooks:
        return f"layer {name!r} has a hook"
    return ""


def _why_not_followed(module: nn.Module, names: Sequence[str]) -> str:
    """ArgumentError where ``forward`` cannot be followed."""
    if own := _not_torchs(module, names):
        return next(iter(own.values()))
    graph = graph_of(module)
    if elsewhere := _used_elsewhere(graph, names):
        return next(iter(elsewhere.values()))
    uses = [node for node in graph.nodes if node.op == "call_module" and node.target in names]
    if [node.target for node in uses] != list(names):
        found = ", ".join(str(node.target) for node in uses) or "none of them"
        return f"forward() uses {found}, where {', '.join(names)} were named"
    pairs = itertools.pairwise(uses)
    return next((reason for pair in pairs if (reason := _why_not_one_after_the_other(module, *pair))), "")


def _why_not_one_after_the_other(module: nn.Module, before: fx.Node, after: fx.Node) -> str:
    """Why a layer does not alone read the units of another, one after the other; nothing where it does."""
    between = f"between {str(before.target)!r} and {str(after.target)!r}"
    path = _nodes_between(before, after)
    if path is None:
        return f"the one does not follow the other {between}"
    for node in (before, *path):
        if not all(user is after or user in path or _is_size(user) for user in node.users):
            return f"what lies {between} is used elsewhere too ({node.name!r})"
    forms: dict[fx.Node, _Form] = {before: _form_of(module, before)}
    for node in path:
        form = _form_behind(module, node, [forms[source] for source in _tensors(node)], after)
        if form is None:
            return f"{between} stands {_kind(module, node)}, which may mix or move units"
        forms[node] = form
    if forms[_tensors(after)[0]] != _form_of(module, after):
        return f"layer {str(after.target)!r} reads along another dimension what {str(before.target)!r} puts out"
    return ""


def _nodes_between(before: fx.Node, after: fx.Node) -> list[fx.Node] | None:
    """What computes the inputs of a layer from the outputs of another, in order; None where others enter too."""
    found: set[fx.Node] = set()
    to_do = [after]
    while to_do:
        sources = _tensors(to_do.pop())
        if not sources:
            return None
        new = [source for source in sources if source is not before and source not in found]
        found.update(new)
        to_do += new
    return [node for node in before.graph.nodes if node in found]


def _tensors(node: fx.Node) -> list[fx.Node]:
    return [source for source in node.all_input_nodes if not _is_size(source)]


def _is_size(node: fx.Node) -> bool:
    """Whether a node is of the size of a tensor, as in ``x.view(x.size(0), -1)``, not of its numbers."""
    if node.op == "call_method" and node.target in ("size", "dim", "numel"):
        return True
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in ("shape", "ndim", "device", "dtype")
    return node.op == "call_function" and bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes))


def _form_of(module: nn.Module, layer: fx.Node) -> _Form:
    return "images" if isinstance(module.get_submodule(str(layer.target)), nn.Conv2d) else "values"


def _form_behind(module: nn.Module, node: fx.Node, inputs: Sequence[_Form], after: fx.Node) -> _Form | None:
    """What an operation hands on of each unit by itself, in their order; None where it may do something else.

    ``after``: the layer that reads it in the end.
    """
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    part = module.get_submodule(str(node.target)) if node.op == "call_module" else None
    if len(inputs) == 2 and inputs[0] == inputs[1] and part is None:
        return inputs[0] if name in PAIRS else None
    if len(inputs) != 1 or (part is not None and (part._forward_hooks or part._forward_pre_hooks)):
        return None
    (form,) = inputs
    if isinstance(part, nn.Flatten):
        return "values" if (part.start_dim, part.end_dim) == (1, -1) else None
    if part is None and name in RESHAPES:
        return "values" if _flattens(node, name, module.get_submodule(str(after.target))) else None
    if part is None and name == "mean":
        return _mean_of(node) if form == "images" else None
    reads = module.get_submodule(str(after.target))
    return form if (_keeps(name, form) if part is None else _module_keeps(part, form, reads)) else None


def _keeps(name: str, form: _Form) -> bool:
    if name in UNITWISE_FUNCTIONS | NO_OPERATION:
        return True
    return form == "images" and (POOLING.get(name) == 4 or name == "interpolate")


def _module_keeps(part: nn.Module, form: _Form, after: nn.Module) -> bool:
    if isinstance(part, nn.BatchNorm1d):  # of [B, L, D] it normalises L places, not D units
        return form == "values" and part.num_features == getattr(after, "in_features", None)
    if isinstance(part, (*UNITWISE_MODULES, *NO_OPERATION_MODULES)):
        return True
    of_images = isinstance(part, nn.BatchNorm2d | nn.Upsample) or POOLING_MODULES.get(type(part)) == 4
    by_itself = isinstance(part, nn.GroupNorm) and part.num_groups == part.num_channels
    return form == "images" and (of_images or by_itself)


def _flattens(node: fx.Node, name: str, after: nn.Module) -> bool:
    """Whether a node makes ``[B, C, ...]`` to ``[B, C · ...]``, as far as its arguments tell; ``after`` reads it."""
    if name == "flatten":
        given = {**dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)), **node.kwargs}
        return (given.get("start_dim", 0), given.get("end_dim", -1)) == (1, -1)
    sizes = node.args[1:] or tuple(node.kwargs.values())
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    if len(sizes) != 2:
        return False
    if isinstance(sizes[0], fx.Node) and sizes[1] == -1:
        return True
    return isinstance(after, nn.Linear) and bool(sizes[1] == after.in_features)


def _mean_of(node: fx.Node) -> _Form | None:
    """What a mean over both places of images leaves."""
    given = {**dict(zip(("dim", "keepdim"), node.args[1:], strict=False)), **node.kwargs}
    dims = given.get("dim")
    if not isinstance(dims, tuple | list) or {int(dim) % 4 for dim in dims} != {2, 3}:
        return None
    return "images" if given.get("keepdim", False) else "values"


def _kind(module: nn.Module, node: fx.Node) -> str:
    return type(module.get_submodule(str(node.target))).__name__ if node.op == "call_module" else node.name
