"""The gradient of a stack's loss, recorded once as plain tensor operations, and cleaned of those that do nothing.

What runs at each step are the operations that vmap and grad would dispatch, without their dispatching: a small
network's step takes half the time, with the same bits.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Interpreter, Node

from dn_distributed.errors import ArgumentError
from dn_distributed.replicas.alone import Product, is_approximate, one_by_one, product_of
from dn_distributed.replicas.checks import OWN_RANDOMNESS, draws
from dn_distributed.replicas.recording import record
from dn_distributed.seeds import generator
from dn_distributed.torch_internals import aten, writes

Loss = Callable[[list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor], tuple[Tensor, list[Tensor]]]
"""From parameters, running statistics, dropout masks, inputs and targets to the loss of each replicate, or of one, and
the new statistics."""
LossGradient = Callable[..., tuple[Tensor, ...]]
"""From parameters, statistics, inputs, targets and masks, one after the other, to the parameters' gradients, the
losses, and the new statistics."""

_RESHAPES = {aten.detach.default, aten.expand.default, aten.view.default, aten._unsafe_view.default}
_PRODUCTS = {aten.mul.Scalar, aten.mul.Tensor}
_TRANSPOSES = (1, 2)
_CAPTURES = "captures"
_FILLS = {aten.ones_like.default, aten.zeros_like.default}

_MOST_GRAPHS = 4
_graphs: dict[Hashable, GraphModule] = {}
"""Those traced last: the packs that a worker trains one after the other have the same, and tracing takes longer than a
hundred steps of a small network."""


def loss_gradient(
    loss: Loss,
    identity: Hashable,
    values: list[Tensor],
    statistics: list[Tensor],
    masks: list[Tensor],
    inputs: Tensor,
    targets: Tensor,
    num_replicates: int,
) -> LossGradient:
    """Return the gradient of ``loss`` for tensors like these: same shapes, strides and device.

    Where targets are the inputs, one tensor, it is for such alone. ``num_replicates``: of a stack, else 1. Losses of
    one ``identity`` compute the same. ArgumentError where it draws random numbers.
    """
    tensors = (*values, *statistics, inputs, targets, *masks)
    layouts = ((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
    key = (identity, torch.get_num_threads(), targets is inputs, *layouts)
    if key in _graphs:
        return _graphs[key]
    graph = _trace_gradient(loss, tensors, len(values), len(statistics), num_replicates)
    if not captures(graph):
        if len(_graphs) == _MOST_GRAPHS:
            del _graphs[next(iter(_graphs))]  # the oldest
        _graphs[key] = graph
    return graph


def _trace_gradient(
    loss: Loss, example: tuple[Tensor, ...], num_values: int, num_statistics: int, num_replicates: int
) -> GraphModule:
    """``example``: what a ``LossGradient`` takes."""

    def gradient(*tensors: Tensor) -> tuple[Tensor, ...]:
        one, two = num_values, num_values + num_statistics
        parts = list(tensors[one:two]), list(tensors[two + 2 :]), tensors[two], tensors[two + 1]
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in tensors[:one]]
            losses, after = loss(leaves, *parts)
            # torch.func.grad is shorter, and imports torch's compiler.
            gradients = torch.autograd.grad(losses.sum(), leaves, create_graph=True, materialize_grads=True)
        return *gradients, losses, *after

    graph = trace(gradient, *example, num_replicates=num_replicates)
    if any(draws(node.target, node.args, node.kwargs) for node in graph.graph.nodes):
        raise ArgumentError(OWN_RANDOMNESS)
    return graph


def trace(function: Callable[..., Any], *example: Tensor, num_replicates: int = 1) -> GraphModule:
    """Return ``function`` of tensors as a graph for tensors like ``example``: same shapes, strides and device.

    ``num_replicates``: of a stack, along the first dimension of what is in it.
    """
    graph = record(function, *example)
    graph.meta[_CAPTURES] = any(node.op == "get_attr" for node in graph.graph.nodes)
    cleaner = _Cleaner(graph, num_replicates)
    with _as_they_were(graph.buffers()):
        cleaner.run(*example)
    cleaner.clean()
    return graph


@contextmanager
def _as_they_were(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Give tensors that are written to within their numbers again."""
    kept = [(tensor, tensor.clone()) for tensor in tensors]
    yield
    for tensor, before in kept:
        tensor.copy_(before)


def captures(graph: GraphModule) -> bool:
    """Return whether the function used tensors besides its arguments: the graph holds them as they then were."""
    return bool(graph.meta[_CAPTURES])


class _Cleaner(Interpreter):
    """Runs a graph once to find what depends on no input, what returns its input as it is, and what may be swapped."""

    def __init__(self, graph: GraphModule, num_replicates: int) -> None:
        super().__init__(graph)
        self._module, self._num_replicates = graph, num_replicates
        self._constants: dict[Node, Tensor] = {}
        self._stacks: set[Node] = set()
        """What is computed of an input: a constant of as many numbers as there are replicates is none of them."""
        self._idle: list[Node] = []
        self._approximate: list[Node] = []
        """Operations that are to be computed replicate by replicate."""
        self._products: dict[Node, Product] = {}
        """How products of stacks are computed so that each is what it is alone."""
        self._swapped: dict[Node, Product] = {}
        """Of products ``xᵀ g``, of which ``gᵀ x`` is the transpose: to the last bit, unless they are in bfloat16."""

    def run_node(self, n: Node) -> Any:
        """Compute one node and note what it is."""
        result = super().run_node(n)
        if n.op == "placeholder" or any(node in self._stacks for node in n.all_input_nodes):
            self._stacks.add(n)
        if n in self._stacks and n.op == "call_function" and is_approximate(n.target, result, self._num_replicates):
            self._approximate.append(n)
            result = self._each_alone(n, result)
        if n.op == "get_attr" or (n.op == "call_function" and self._is_constant(n)):
            self._constants[n] = result
        elif n.op == "call_function" and self._changes_nothing(n, result):
            self._idle.append(n)
        if n.target is aten.bmm.default:
            left, right = self.fetch_args_kwargs_from_env(n)[0]
            self._products[n] = product_of(left, right)
            if _transposes(n.all_input_nodes[0]) and (result.dtype == torch.bfloat16 or _same_bits(left, right)):
                self._swapped[n] = product_of(right.mT, left.mT)
        return result

    def _each_alone(self, n: Node, result: Any) -> Any:
        """What a node gives when it is computed replicate by replicate; one that has written its result has it."""
        if writes(n.target):
            return result
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        operation: Any = n.target
        return one_by_one(operation, self._num_replicates, *args, **kwargs)

    def _is_constant(self, n: Node) -> bool:
        if torch.Tag.nondeterministic_seeded in getattr(n.target, "tags", ()):
            return False
        return n.target in _FILLS or all(node in self._constants for node in n.all_input_nodes)

    def _changes_nothing(self, n: Node, result: Any) -> bool:
        if n.target not in _RESHAPES | _PRODUCTS:
            return False
        before = self.env[n.all_input_nodes[0]]
        if n.target in _RESHAPES:
            return bool(result.shape == before.shape and result.stride() == before.stride())
        return bool(n.args[1] == 1 and result.is_floating_point() and result.dtype == before.dtype)

    def clean(self) -> None:
        """Take out what does nothing, and let each replicate of a stack have the numbers that it has alone."""
        graph = self._module.graph
        is_pure = not any(writes(node.target) for node in graph.nodes)  # else what looks like a constant may be none
        if is_pure:
            self._take_out()
        for node, product in self._products.items():
            node.target = product
        for node in self._approximate:
            operation: Any = node.target
            node.args = (operation, self._num_replicates, *node.args)
            node.target = one_by_one
        if is_pure:
            graph.eliminate_dead_code()
        self._module.recompile()

    def _take_out(self) -> None:
        graph = self._module.graph
        for node in self._idle:
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
        for index, (node, value) in enumerate(self._constants.items()):
            if node.op != "get_attr" and any(user not in self._constants for user in node.users):
                name = f"constant_{index}"
                self._module.register_buffer(name, value)
                with graph.inserting_before(node):
                    node.replace_all_uses_with(graph.get_attr(name))
        for node in graph.nodes:
            if _is_transposed_product(node) and node.all_input_nodes[0] in self._swapped:
                with graph.inserting_before(node):
                    product = self._swapped[node.all_input_nodes[0]]
                    node.replace_all_uses_with(_product_of_transposes(graph, node, product))


def _is_transposed_product(node: Node) -> bool:
    """Whether it is ``(xᵀ g)ᵀ``, the gradient of a stack's weights as autograd has it."""
    if not _transposes(node):
        return False
    product = node.all_input_nodes[0]
    return product.target is aten.bmm.default and len(product.users) == 1 and _transposes(product.all_input_nodes[0])


def _transposes(node: Node) -> bool:
    return node.target is aten.transpose.int and tuple(node.args[1:]) == _TRANSPOSES


def _product_of_transposes(graph: Graph, node: Node, product: Product) -> Node:
    """``gᵀ x``: the same, but it lies in memory as the weights do, which makes a step up to a sixth faster."""
    transposed, other = node.all_input_nodes[0].all_input_nodes
    left = graph.call_function(aten.transpose.int, (other, *_TRANSPOSES))
    return graph.call_function(product, (left, transposed.all_input_nodes[0]))


def _same_bits(transposed: Tensor, other: Tensor) -> bool:
    """Whether the library rounds ``xᵀ g`` and ``gᵀ x`` alike, for the first of tensors like these and so many threads.

    It does where it adds up in the same order, which depends on the shape: on one processor all layers of
    LeNet-300-100 but the last.
    """
    random = generator(0, "rounding")
    first = (transposed[:1].mT, other[:1])  # whatever stands beside it
    left, right = (torch.randn(t.shape, dtype=t.dtype, generator=random).to(t.device) for t in first)
    return torch.equal(torch.bmm(left.mT, right), torch.bmm(right.mT, left).mT)
