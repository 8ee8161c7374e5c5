"""A function of tensors as a graph of the operations that it comes to.

torch's own ``make_fx`` gives the same graph, and imports torch's compiler for it: that takes a process one to two
seconds, longer than a short training.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.utils.weak import WeakTensorKeyDictionary

from dn_distributed.errors import ArgumentError
from dn_distributed.replicas.checks import draws
from dn_distributed.torch_internals import DispatchMode, aten, tree_leaves, tree_map


def record(function: Callable[..., Any], *example: Tensor) -> GraphModule:
    """Return ``function`` as a graph for tensors like ``example``. A tensor that is no argument becomes a buffer of it.

    ArgumentError where a number is read out of an argument, or of what follows from one: it would be another each time.
    """
    recorder = _Recorder(example)
    with _without_cached_casts(), recorder:
        result = function(*example)
    return recorder.graph(result)


@contextmanager
def _without_cached_casts() -> Iterator[None]:
    """Have autocast cast again what it has cast before: that belongs into the graph."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


class _Recorder(DispatchMode):
    """Executes each operation and appends it to a graph."""

    def __init__(self, example: tuple[Tensor, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph, self._root = Graph(), nn.Module()
        self._nodes = WeakTensorKeyDictionary()
        self._varying: set[Node] = set()
        """What is not the same at each call."""
        for number, tensor in enumerate(example):
            self._nodes[tensor] = node = self._graph.placeholder(f"tensor_{number}")
            self._varying.add(node)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        nodes = tree_map(self._node, (args, kwargs))
        leaves = [leaf for leaf in tree_leaves(nodes) if isinstance(leaf, Node)]
        varies = draws(func, args, kwargs) or any(leaf in self._varying for leaf in leaves)
        if torch.Tag.data_dependent_output in func.tags:
            if varies:
                raise ArgumentError(f"the network or its loss reads a number out of a tensor ({func})")
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        # The constant of torch.tensor(…) is lifted, and may be written to then: not in the graph.
        recorded = aten.lift_fresh_copy.default if func is aten.lift_fresh.default else func
        self._enter(result, self._graph.call_function(recorded, *nodes), varies)
        return result

    def _enter(self, result: Any, node: Node, varies: bool) -> None:
        """Note which node stands for a tensor, or for each of several."""
        if varies:
            self._varying.add(node)
        if isinstance(result, Tensor):
            self._nodes[result] = node
        elif isinstance(result, tuple | list):
            for number, part in enumerate(result):
                self._enter(part, self._graph.call_function(operator.getitem, (node, number)), varies)

    def _node(self, value: Any) -> Any:
        """Return the node of a tensor, and anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        if value not in self._nodes:
            name = f"tensor_constant_{len(self._graph.nodes)}"
            self._root.register_buffer(name, value)
            self._nodes[value] = self._graph.get_attr(name)
        return self._nodes[value]

    def graph(self, result: Any) -> GraphModule:
        """Return what was recorded of a function with this result."""
        self._graph.output(tree_map(self._node, result))
        return GraphModule(self._root, self._graph)
