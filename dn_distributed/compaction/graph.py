"""A network as a graph of its layers and operations, with the shape of everything in it."""

import copy
import keyword
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize, prune

from dn_distributed.errors import ArgumentError
from dn_distributed.layers import TRACING, LayerTracer
from dn_distributed.operations import RESHAPES
from dn_distributed.text import first_line
from dn_distributed.weights_file import masked

_RESERVED = ("code", "dropped", "graph", "meta")
"""Attributes of a smaller network, which is a ``fx.GraphModule``."""


def trace(net: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """Return a copy of ``net`` in evaluation mode as a graph; each node's ``meta`` has the shape of its value.

    Masks of ``torch.nn.utils.prune`` and parametrizations become plain weights. ``example_input``: ``[B, ...]``.
    ArgumentError for a network that cannot be copied or traced (``torch.fx``), that does not run on the example, or
    that changes a value through a view of it.
    """
    _check(net, example_input)
    graph = _traced(_with_plain_weights(copied(net)))
    run = _Run(graph)
    try:
        with torch.no_grad():
            run.run(example_input.clone())
    except Exception as error:  # forward() is anybody's
        raise ArgumentError(f"{_name(net)} does not run on the example input: {first_line(error)}") from error
    if shape(_output(graph)) is None:
        raise ArgumentError(f"{_name(net)} does not return one tensor")
    run.read_what_is_changed_in_place()
    _reshape_by_name(graph)
    return graph


def shape(node: fx.Node) -> torch.Size | None:
    """Return the shape of a node's value; None where it is no tensor."""
    found = node.meta.get("shape")
    return found if isinstance(found, torch.Size) else None


class _Run(fx.Interpreter):
    """Runs a graph; notes the shape of each node's value, and which operations change one of them in place."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self._changes: list[tuple[fx.Node, list[fx.Node], list[fx.Node]]] = []
        """Each with what is the same tensor, and what is all of it in another shape."""

    def run_node(self, n: fx.Node) -> Any:
        values = [value for node in n.all_input_nodes if isinstance(value := self.env[node], Tensor)]
        versions = [value._version for value in values]
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = result.shape
            for value, version in zip(values, versions, strict=True):
                if value._version != version and _is_same(value, result):
                    same = [node for node, other in self.env.items() if _is_same(other, value)]
                    views = [node for node, other in self.env.items() if _is_reshaped(other, value)]
                    self._changes.append((n, same, views))
        return result

    def read_what_is_changed_in_place(self) -> None:
        """Let all that comes after an operation in place read its result, not the value that it changed."""
        order = {node: number for number, node in enumerate(self.graph.nodes)}
        for change, aliases, views in self._changes:
            for view in views:
                if any(order[user] > order[change] for user in view.users):
                    changed = str(view).removeprefix(f"{_PREFIX}_")
                    raise ArgumentError(f"{change} changes {changed} in place, in another shape, and it is read later")
            for alias in aliases:
                later = {user for user in alias.users if order[user] > order[change]}
                alias.replace_all_uses_with(change, delete_user_cb=later.__contains__)
            name = target_name(change).removesuffix("_")
            if change.op == "call_method" and hasattr(Tensor, name):
                change.target = name  # out of place: what it would change may become a constant


def _is_same(value: object, other: Tensor) -> bool:
    """Return whether a value is the same tensor, in the same memory."""
    if not isinstance(value, Tensor):
        return False
    return value.data_ptr() == other.data_ptr() and (value.shape, value.stride()) == (other.shape, other.stride())


def _is_reshaped(value: object, other: Tensor) -> bool:
    """Return whether a value is all of the same memory in another shape."""
    if not isinstance(value, Tensor) or value.shape == other.shape or value.numel() != other.numel():
        return False
    return value.data_ptr() == other.data_ptr() and value.is_contiguous() and other.is_contiguous()


def target_name(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, without its module; "" for other nodes."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def module_of(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls; None for other nodes."""
    graph_module = node.graph.owning_module
    return graph_module.get_submodule(str(node.target)) if graph_module and node.op == "call_module" else None


def copied(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` in evaluation mode. ArgumentError where it cannot be copied."""
    # deepcopy refuses tensors that a graph made, as torch's pruning keeps them beside its masks
    kept = [value for part in net.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    try:
        return copy.deepcopy(net, {id(value): value.detach().clone() for value in kept}).eval()
    except Exception as error:  # of anybody's class
        raise ArgumentError(f"{_name(net)} cannot be copied: {first_line(error)}") from error


def check_example(example_input: object) -> None:
    """ArgumentError for an example input that is no tensor."""
    if not isinstance(example_input, Tensor):
        raise ArgumentError(f"the example input must be a tensor [B, ...], not {type(example_input).__name__}")


def _check(net: nn.Module, example_input: Tensor) -> None:
    check_example(example_input)
    if not example_input.numel():
        raise ArgumentError("the example input has no samples")
    if isinstance(net, torch.jit.ScriptModule):
        raise ArgumentError("a network in TorchScript cannot be followed: hand over the one that it was made of")
    for name in _RESERVED:
        if name in dict(net.named_children()):
            raise ArgumentError(f"{_name(net)} has a part named {name!r}, as the smaller network has: rename it")
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer) or tensor.is_meta:
            raise ArgumentError(f"{name!r} of {_name(net)} holds no numbers yet: initialise it first")


def _with_plain_weights(net: nn.Module) -> nn.Module:
    for name, module in list(net.named_modules()):
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                parts = (getattr(module, f"{hook._tensor_name}_{part}") for part in ("orig", "mask"))
                masked(f"{name}.{hook._tensor_name}".lstrip("."), *parts)  # for its error
                prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
        if parametrize.is_parametrized(module):
            try:
                _remove_parametrizations(module)
            except Exception as error:  # of anybody's parametrization
                raise ArgumentError(f"the weights of {name!r} cannot be computed: {first_line(error)}") from error
    return net


def _remove_parametrizations(module: nn.Module) -> None:
    """As ``parametrize.remove_parametrizations``, which would take them from the class, that the original has too."""
    names = list(vars(module)["_modules"]["parametrizations"])
    values = {name: getattr(module, name).detach().clone() for name in names}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


def _traced(net: nn.Module) -> fx.GraphModule:
    root = _OneInput(net)
    try:
        with TRACING:
            graph = LayerTracer().trace(root)
    except Exception as error:  # forward() is anybody's: whatever it raises without real numbers
        raise ArgumentError(f"{_name(net)}.forward() cannot be followed: {first_line(error)}") from error
    targets = [node for node in graph.nodes if node.op in ("call_module", "get_attr")]
    for part in (part for node in targets for part in str(node.target).split(".")):
        if keyword.iskeyword(part):  # torch.fx writes a graph as Python
            raise ArgumentError(f"{_name(net)} has a part named {part!r}, which is a word of Python: rename it")
    if any(node.target == _PREFIX for node in targets):  # a single layer of torch
        return fx.GraphModule(root, graph, _name(net)).eval()
    for name, constant in root.named_constants():
        net.register_buffer(name, constant)
    for node in targets:
        node.target = str(node.target).removeprefix(f"{_PREFIX}.")
    return fx.GraphModule(net, graph, _name(net)).eval()


class _OneInput(nn.Module):
    """Calls a network with its input alone, so that its other arguments have their defaults."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x)

    def named_constants(self) -> list[tuple[str, Tensor]]:
        """Return the tensors that ``forward`` makes without its input: torch.fx leaves them with what it traced."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]


_PREFIX = "net"


def _output(graph: fx.GraphModule) -> fx.Node:
    node: fx.Node = graph.graph.output_node()
    return node


def _reshape_by_name(graph: fx.GraphModule) -> None:
    """Replace ``x.view(-1, 3136)`` by ``torch.flatten(x, 1)`` and ``x.view(b, 64, 1, 1)`` by ``x[:, :, None, None]``.

    Any number of channels passes these.
    """
    for node in list(graph.graph.nodes):
        with graph.graph.inserting_before(node):
            if is_flatten(node):
                named = graph.graph.call_function(torch.flatten, (node.all_input_nodes[0], 1))
            elif num_places := _appended_dimensions(node):
                index = (slice(None), slice(None), *[None] * num_places)
                named = graph.graph.call_function(operator.getitem, (node.all_input_nodes[0], index))
            else:
                continue
        named.meta = dict(node.meta)
        node.replace_all_uses_with(named)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def cat_arguments(node: fx.Node) -> tuple[list[fx.Node], int] | None:
    """Return what a node concatenates, and along which dimension; None for another node."""
    if target_name(node) not in ("cat", "concat", "concatenate"):
        return None
    given = {**dict(zip(("tensors", "dim"), node.args, strict=False)), **node.kwargs}
    tensors, dim = given.get("tensors"), given.get("dim", given.get("axis", 0))
    if not isinstance(tensors, list | tuple) or not isinstance(dim, int):
        return None
    return [part for part in tensors if isinstance(part, fx.Node)], dim


def is_flatten(node: fx.Node) -> bool:
    """Return whether a node makes ``[B, C, ...]`` to ``[B, C · ...]``, the values of a channel side by side."""
    if not (target_name(node) in RESHAPES or isinstance(module_of(node), nn.Flatten)):
        return False
    before, after = shape(node.all_input_nodes[0]), shape(node)
    if before is None or after is None or len(before) < 2 or len(after) != 2:
        return False
    return before[0] == after[0] and before[1:].numel() == after[1]


def _appended_dimensions(node: fx.Node) -> int:
    """Return how many dimensions of size 1 a reshape appends to ``[B, C]``; 0 where it does something else."""
    if target_name(node) not in RESHAPES:
        return 0
    before, after = shape(node.all_input_nodes[0]), shape(node)
    if before is None or after is None or len(before) != 2 or after[:2] != before or after[2:].numel() != 1:
        return 0
    return len(after) - 2


def _name(net: nn.Module) -> str:
    return type(net).__name__
