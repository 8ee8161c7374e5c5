"""Operations that a GPU does one after the other without waiting for Python between them: a CUDA graph.

A step of a small network is some hundred operations of a few microseconds, and Python takes longer to ask for one than
a GPU to do it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dn_distributed.torch_internals import foreach_copy_

Operations = Callable[..., tuple[Tensor, ...]]

_BEFORE = 2
"""How often the operations run before they are recorded: libraries choose their ways and take their memory then."""


class OneLaunch:
    """A function of tensors on a GPU, recorded for those that it was made with."""

    def __init__(self, function: Operations, tensors: Sequence[Tensor], num_kept: int) -> None:
        """``tensors``: of a first call. The first ``num_kept`` are used where they lie, and the others copied.

        RuntimeError for operations that cannot be recorded, such as those that wait for a result.
        """
        self._kept = tuple(tensors[:num_kept])
        self._copies = [tensor.clone() for tensor in tensors[num_kept:]]
        places = (*self._kept, *self._copies)
        before, now = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        before.wait_stream(now)
        with torch.cuda.stream(before):
            for _ in range(_BEFORE):
                expected = function(*places)
        now.wait_stream(before)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of the process, as Ray has, may go on meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._results = function(*places)
        self._graph.replay()
        if not _same(self._results, expected):
            raise RuntimeError("a CUDA graph computes something else than its operations one by one")

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether those that are used where they lie still lie there."""
        return all(kept.data_ptr() == tensor.data_ptr() for kept, tensor in zip(self._kept, tensors, strict=False))

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the function's results for tensors that ``fits`` says yes to, of the same shapes as the first."""
        foreach_copy_(self._copies, tensors[len(self._kept) :])
        self._graph.replay()
        return self._results


class InOneLaunch:
    """A function of tensors on a GPU: one launch, unless it cannot be recorded, or not without a change of its results.

    What it returns holds until it is called again.
    """

    def __init__(self, function: Operations, num_kept: int) -> None:
        """``num_kept``: as ``OneLaunch`` takes it. Those tensors seldom move; where they do it is recorded again."""
        self._function, self._num_kept = function, num_kept
        self._launch: OneLaunch | None = None
        self._can_be_recorded = True

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the function's results."""
        if self._can_be_recorded and (self._launch is None or not self._launch.fits(tensors)):
            self._record(tensors)
        return (self._launch or self._function)(*tensors)

    def _record(self, tensors: Sequence[Tensor]) -> None:
        try:
            self._launch = OneLaunch(self._function, tensors, self._num_kept)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            self._launch, self._can_be_recorded = None, False


def _same(results: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """But for rounding: some operations add up in an order of the moment."""
    return all(
        torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-3 * float(other.abs().max()), equal_nan=True)
        for one, other in zip(results, expected, strict=True)
        if one.numel()
    )
