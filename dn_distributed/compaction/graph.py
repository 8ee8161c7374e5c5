"""A network as a graph of its layers and operations, with the shape of everything in it."""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.nn.utils import parametrize, prune

from dn_distributed.errors import ArgumentError
from dn_distributed.layers import TRACING, LayerTracer

_RESHAPES = {"flatten", "view", "reshape"}


def trace(net: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """Return a copy of ``net`` in evaluation mode as a graph; each node's ``meta`` has the shape of its value.

    Masks of ``torch.nn.utils.prune`` and parametrizations become plain weights. ``example_input``: ``[B, ...]``.
    ArgumentError for a network that cannot be copied or traced (``torch.fx``), or that does not run on the example.
    """
    graph = _traced(_with_plain_weights(copied(net)))
    try:
        with torch.no_grad():
            ShapeProp(graph).propagate(example_input)
    except Exception as error:  # forward() is anybody's
        raise ArgumentError(f"{_name(net)} does not run on the example input: {first_line(error)}") from error
    if shape(_output(graph)) is None:
        raise ArgumentError(f"{_name(net)} does not return one tensor")
    _flatten_by_name(graph)
    return graph


def shape(node: fx.Node) -> torch.Size | None:
    """Return the shape of a node's value; None where it is no tensor."""
    meta = node.meta.get("tensor_meta")
    return meta.shape if isinstance(meta, TensorMetadata) else None


def target_name(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, without its module; "" for other nodes."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def module_of(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls; None for other nodes."""
    graph_module = node.graph.owning_module
    return graph_module.get_submodule(str(node.target)) if graph_module and node.op == "call_module" else None


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def copied(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` in evaluation mode. ArgumentError where it cannot be copied."""
    # deepcopy refuses tensors that a graph made, as torch's pruning keeps them beside its masks
    kept = [value for part in net.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    try:
        return copy.deepcopy(net, {id(value): value.detach().clone() for value in kept}).eval()
    except Exception as error:  # of anybody's class
        raise ArgumentError(f"{_name(net)} cannot be copied: {first_line(error)}") from error


def _with_plain_weights(net: nn.Module) -> nn.Module:
    for module in list(net.modules()):
        if parametrize.is_parametrized(module):
            _remove_parametrizations(module)
        for name in [key.removesuffix("_orig") for key in vars(module)["_parameters"] if key.endswith("_orig")]:
            if hasattr(module, f"{name}_mask"):
                prune.remove(module, name)  # type: ignore[no-untyped-call]
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


def _flatten_by_name(graph: fx.GraphModule) -> None:
    """``x.view(-1, 3136)`` becomes ``torch.flatten(x, 1)``, which any number of channels passes."""
    for node in list(graph.graph.nodes):
        if not is_flatten(node):
            continue
        with graph.graph.inserting_before(node):
            flat = graph.graph.call_function(torch.flatten, (node.all_input_nodes[0], 1))
        flat.meta = dict(node.meta)
        node.replace_all_uses_with(flat)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def is_flatten(node: fx.Node) -> bool:
    """Return whether a node makes ``[B, C, ...]`` to ``[B, C · ...]``, the values of a channel side by side."""
    if not (target_name(node) in _RESHAPES or isinstance(module_of(node), nn.Flatten)):
        return False
    before, after = shape(node.all_input_nodes[0]), shape(node)
    if before is None or after is None or len(before) < 2 or len(after) != 2:
        return False
    return before[0] == after[0] and before[1:].numel() == after[1]


def _name(net: nn.Module) -> str:
    return type(net).__name__
