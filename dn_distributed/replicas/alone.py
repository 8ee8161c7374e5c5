"""Operations on a stack that give each replicate what it gives alone, to the last bit.

A library may round a product otherwise where a matrix begins at another place of memory, as all but the first of a
stack may, and takes the last few of many numbers through another approximation of ``exp`` than those that fill a
vector. So it is where the numbers of a replicate are no multiple of what vector instructions take at once. Then each
matrix gets a place of its own, and such functions are computed replicate by replicate.

On one thread. Several share out the numbers of a whole stack, which cuts a replicate's elsewhere than alone: then it is
the same but for rounding. Shapes: K replicates.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from dn_distributed.seeds import generator
from dn_distributed.torch_internals import DispatchMode, aten, out_of_place, tree_leaves, writes

Product = Callable[[Tensor, Tensor], Tensor]

_LINE = 64
"""Bytes of a cache line, and of the longest vectors."""
_PLACES = 32
"""More matrices do not lie in other ways, as seen from a multiple of ``_LINE``."""
_AT_ONCE = 32
"""Elements that a loop over numbers takes at once, at most: two of the longest vectors."""
_EXACT = {
    *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar),
    *(aten.neg.default, aten.abs.default, aten.sign.default, aten.sqrt.default, aten.relu.default, aten.where.self),
    *(aten.threshold_backward.default, aten.sigmoid_backward.default, aten.tanh_backward.default),
    *(aten.clone.default, aten._to_copy.default, aten.mse_loss_backward.default, aten.rsub.Scalar),
}
"""Operations on single numbers that are rounded in one way only, and common."""
_APPROXIMATE = {
    *(aten.elu_backward.default, aten.softplus_backward.default, aten.mish_backward.default),
    *(aten.log_sigmoid_forward.default, aten.log_sigmoid_backward.default, aten.glu.default, aten.glu_backward.default),
    *(aten.binary_cross_entropy.default, aten.binary_cross_entropy_backward.default),
}
"""Operations on single numbers of which torch does not say that they are such, and which approximate."""
_chosen: dict[Any, Product] = {}


def row_of(stack: Tensor, number: int) -> Tensor:
    """Return the tensor of one replicate: a copy where it would lie in memory otherwise than the first, as alone."""
    if stack.device.type != "cpu" or number * stack.stride(0) * stack.element_size() % _LINE == 0:
        return stack[number]
    return _row(stack, number)[0]


def product_of(left: Tensor, right: Tensor) -> Product:
    """Return how tensors like these are multiplied: as they lie in memory where that is what each gives alone."""
    steps = (left.stride(0), right.stride(0), left.shape[1] * right.shape[2])
    if len(left) == 1 or left.device.type != "cpu" or all(step * left.element_size() % _LINE == 0 for step in steps):
        return aten.bmm.default
    layouts = ((t.shape, t.stride(), _place(t), t.dtype) for t in (left, right))
    key = (torch.get_num_threads(), *layouts)
    if key not in _chosen:
        _chosen[key] = _choose(left, right)
    return _chosen[key]


def _choose(left: Tensor, right: Tensor) -> Product:
    random = generator(0, "rounding")
    like = [_random_like(tensor[:_PLACES], random) for tensor in (left, right)]
    alone = torch.bmm(*(_row(tensor, 0) for tensor in like))
    products: tuple[Product, ...] = (aten.bmm.default, _spaced)
    found = (product for product in products if torch.equal(product(*like), alone.expand(len(like[0]), -1, -1)))
    return next(found, _each_alone)


def _random_like(tensor: Tensor, random: torch.Generator) -> Tensor:
    """Return random numbers, the same in each matrix, that lie in memory as a tensor's do."""
    place = _place(tensor)
    memory = tensor.new_empty(place + (len(tensor) - 1) * tensor.stride(0) + _extent(tensor))
    made = memory.as_strided(tensor.shape, tensor.stride(), place)
    once = made[tuple(slice(0, 1) if step == 0 else slice(None) for step in made.stride())]
    once.copy_(torch.randn(once.shape[1:], generator=random))
    return made


def _place(tensor: Tensor) -> int:
    """Where the first matrix begins, in elements behind a multiple of ``_LINE``."""
    return int(tensor.storage_offset()) % (_LINE // tensor.element_size())


def _extent(tensor: Tensor) -> int:
    """From the first to the last element of a matrix, in memory."""
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape[1:], tensor.stride()[1:], strict=True))


def _rounded_up(elements: int, tensor: Tensor) -> int:
    line = _LINE // tensor.element_size()
    return -(-elements // line) * line


def _moved(tensor: Tensor, apart: int) -> Tensor:
    """Return a stack whose matrices lie so far apart, each in itself as before, the first at its place."""
    count, extent, place = len(tensor), _extent(tensor), _place(tensor)
    memory = tensor.new_empty(place + (count - 1) * apart + extent)
    numbers = tensor.as_strided((count, extent), (tensor.stride(0), 1), tensor.storage_offset())
    memory.as_strided((count, extent), (apart, 1), place).copy_(numbers)
    return memory.as_strided(tensor.shape, (apart, *tensor.stride()[1:]), place)


def _each_alone(left: Tensor, right: Tensor) -> Tensor:
    """Each product by itself, of matrices that lie as the first of a stack does."""
    return torch.cat([torch.bmm(_row(left, number), _row(right, number)) for number in range(len(left))])


def _row(tensor: Tensor, number: int) -> Tensor:
    """Return one matrix as a stack, in memory where the first of a stack is."""
    extent, place = _extent(tensor), _place(tensor)
    memory = tensor.new_empty(place + extent)
    begin = tensor.storage_offset() + number * tensor.stride(0)
    memory[place:] = tensor.as_strided((extent,), (1,), begin)
    return memory.as_strided((1, *tensor.shape[1:]), (extent, *tensor.stride()[1:]), place)


def _spaced(left: Tensor, right: Tensor) -> Tensor:
    """All at once, of matrices that lie each as the first does."""
    left, right = (
        t if t.stride(0) * t.element_size() % _LINE == 0 else _moved(t, _rounded_up(_extent(t), t))
        for t in (left, right)
    )
    rows, columns = left.shape[1], right.shape[2]
    apart = _rounded_up(rows * columns, left)
    result = left.new_empty(len(left) * apart).as_strided((len(left), rows, columns), (apart, columns, 1))
    return torch.bmm(left, right, out=result).contiguous()


def is_approximate(operation: Any, result: Any, num_replicates: int) -> bool:
    """Return whether an operation on a stack's numbers approximates the last of a replicate's otherwise than others.

    ``result``: what it returns; of one that works in place the tensor that it changes.
    """
    like = out_of_place(operation)
    if like is None or like in _EXACT:
        return False
    if like not in _APPROXIMATE and torch.Tag.pointwise not in getattr(like, "tags", ()):
        return False
    result = result[0] if isinstance(result, tuple) else result
    if not isinstance(result, Tensor) or not result.is_floating_point() or result.device.type != "cpu":
        return False
    stacked = result.dim() > 0 and len(result) == num_replicates > 1
    return stacked and result[0].numel() % _AT_ONCE != 0


def one_by_one(operation: Any, num_replicates: int, *args: Any, **kwargs: Any) -> Any:
    """Return the results of an operation on each replicate's numbers; what is no stack is the same for all."""
    # A tensor of fewer dimensions than others, however long, is one that each replicate is computed with.
    most = max(arg.dim() for arg in args if isinstance(arg, Tensor))
    is_stack = [isinstance(arg, Tensor) and arg.dim() == most and len(arg) == num_replicates for arg in args]

    def row(number: int) -> Any:
        own = [arg[number : number + 1].clone() if cut else arg for arg, cut in zip(args, is_stack, strict=True)]
        return operation(*own, **kwargs)

    rows = [row(number) for number in range(num_replicates)]
    if isinstance(rows[0], tuple):
        return tuple(map(_stacked, zip(*rows, strict=True)))
    return args[0].copy_(_stacked(rows)) if writes(operation) else _stacked(rows)


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    """Return rows as a stack that lies in memory as each of them does: what reads it next may round by that."""
    shape, strides = rows[0].shape[1:], rows[0].stride()[1:]
    stack = rows[0].new_empty_strided((len(rows), *shape), (shape.numel(), *strides))
    return torch.cat(list(rows), out=stack)


@contextmanager
def attention_as_products(device: torch.device) -> Iterator[None]:
    """Within, attention on a CPU is products of matrices and what lies between them, which ``AsAlone`` knows.

    torch's kernels for the whole of it round by where a matrix begins, and compute a stack one by one.
    """
    if device.type != "cpu":
        yield
        return
    fast_path = torch.backends.mha.get_fastpath_enabled()
    flash = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_flash_sdp(False)  # CPUs ask there too
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_flash_sdp(flash)
        torch.backends.mha.set_fastpath_enabled(fast_path)


class AsAlone(DispatchMode):
    """Within, operations on a stack give each replicate what it gives alone."""

    def __init__(self, num_replicates: int, stacks: Iterable[Tensor]) -> None:
        """``stacks``: of K replicates, along the first dimension; what is computed from one is one too."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._num_replicates = num_replicates
        self._stacks = WeakTensorKeyDictionary(dict.fromkeys(stacks, True))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Execute an operation."""
        kwargs = kwargs or {}
        if not any(leaf in self._stacks for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)):
            return func(*args, **kwargs)
        result = self._execute(func, args, kwargs)
        self._stacks.update((leaf, True) for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _execute(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func is aten.bmm.default:
            return product_of(*args)(*args)
        if writes(func):
            apart = is_approximate(func, args[0], self._num_replicates)
            return one_by_one(func, self._num_replicates, *args, **kwargs) if apart else func(*args, **kwargs)
        result = func(*args, **kwargs)
        if is_approximate(func, result, self._num_replicates):
            return one_by_one(func, self._num_replicates, *args, **kwargs)
        return result
