"""Multiply-adds of a network: of every matrix product and convolution that its ``forward`` comes to."""

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dn_distributed.torch_internals import DispatchMode, aten, packet_of

Shape = Sequence[int]

_NAMES = ("aten", "prim", "prims")
_PRODUCT = re.compile(
    r"mm(?![a-z])|mv$|dot$|addr$|conv(?!ert)|rnn|lstm|gru|attention|multi_head|transformer_enc|linear|matmul|dist_forward|"
    r"euclidean_dist|fft_|linalg|cholesky|solve|householder|orgqr|ormqr|geqrf"
)
"""What multiplies, by the names of torch's operations."""
_NO_PRODUCT = re.compile(r"^upsample|vector_norm|check_errors|fused_(?:lstm|gru)_cell|fftfreq|rfftfreq")
"""Of these: those that multiply number by number."""


def multiply_adds(network: nn.Module, inputs: Tensor) -> int | None:
    """Return the multiply-adds of matrix products and convolutions for a batch; zeros are multiplied too.

    None where an operation multiplies of which it is not known how often: of the others alone it would be too few.
    """
    with FlopCounterMode(display=False, custom_mapping=_OURS) as counted:
        known = set(counted.flop_registry)
    unknown = _Unknown(known)
    with _without_fast_attention(), unknown, counted, torch.no_grad():
        network(inputs)
    return None if unknown.found else int(counted.get_total_flops()) // 2


class _Unknown(DispatchMode):
    """Sees which operations are executed that multiply and are not counted."""

    def __init__(self, known: Collection[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if packet_of(func) not in self._known and _may_multiply(func):
            self.found.add(str(func))
        return func(*args, **(kwargs or {}))


def _may_multiply(operation: Any) -> bool:
    """Whether it is a product by its name, or nothing is known of it: an extension's, or one of higher order."""
    if getattr(operation, "namespace", "") not in _NAMES:
        return True
    name = packet_of(operation).__name__
    return bool(_PRODUCT.search(name)) and not _NO_PRODUCT.search(name)


def _of_vectors(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(first)


def _added_to(product: Callable[..., int]) -> Callable[..., int]:
    """Of a product that something is added to, which is the first argument."""
    return lambda _, first, second, *rest, **options: product(first, second)


def _of_matrices(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(first) * second[-1]


def _outer(first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    return 2 * first[0] * second[0]


def _recurrent(inputs: Shape, of_inputs: Shape, of_state: Shape, *_: Any, **__: Any) -> int:
    """``[steps, batch, inputs]``, and the weights of all gates for inputs and state."""
    return 2 * math.prod(inputs[:-1]) * (math.prod(of_inputs) + math.prod(of_state))


def _trilinear(
    first: Shape,
    weight: Shape,
    second: Shape,
    expand_first: Shape,
    expand_weight: Shape,
    expand_second: Shape,
    *_: Any,
    **__: Any,
) -> int:
    """As many as there are products of three numbers: each shape has a 1 where ``expand`` says."""
    pairs = ((first, expand_first), (weight, expand_weight), (second, expand_second))
    shapes = [_expanded(shape, places) for shape, places in pairs]
    sizes: list[int] = [max(each) for each in zip(*shapes, strict=True)]
    return 2 * math.prod(sizes)


def _expanded(shape: Shape, places: Shape) -> list[int]:
    found = list(shape)
    for place in sorted(places):
        found.insert(place, 1)
    return found


def _conv_tbc(inputs: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """``weight``: ``[kernel, inputs, outputs]``."""
    return 2 * math.prod(out_shape[:2]) * math.prod(weight)


_OURS = {
    aten.mv: _of_vectors,
    aten.addmv: _added_to(_of_vectors),
    aten.dot: _of_vectors,
    aten.vdot: _of_vectors,
    aten.addr: _added_to(_outer),
    aten.addbmm: _added_to(_of_matrices),
    aten._addmm_activation: _added_to(_of_matrices),
    aten.mkldnn_rnn_layer: _recurrent,
    aten._trilinear: _trilinear,
    aten.conv_tbc: _conv_tbc,
}
"""FLOPs (two a multiply-add) of operations that torch's counter does not know, by the shapes of their arguments."""


@contextmanager
def _without_fast_attention() -> Iterator[None]:
    """Let attention run by the matrix products it consists of: of what does several at once nothing is counted."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
