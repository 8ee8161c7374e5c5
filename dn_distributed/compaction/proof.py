"""Two networks give the same outputs: in float64 but for rounding, in float32 too, and with the same predictions."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dn_distributed.compaction.graph import copied
from dn_distributed.errors import ArgumentError, DropNeuronError

TOLERANCE = 1e-5
"""Largest difference in float64, relative to the largest output. Smaller: the rounding of folded biases to float32."""


ROUNDING = 10
"""How many times as far as the network itself rounds in float32 the two may lie apart there: a maximum over samples,
and the smaller network adds up in another order."""


class NotEqualError(DropNeuronError, ValueError):
    """A smaller network does not give what the network gives that it was made of."""


@dataclass(frozen=True)
class Proof:
    """How far the outputs of two networks lie apart on the same inputs. Relative: to the largest output of all."""

    num_samples: int
    max_abs_float64: float
    max_rel_float64: float
    max_abs_float32: float
    max_rel_float32: float
    changed_predictions: int | None
    """Samples whose largest output is another one in float32; None where outputs are no classes."""
    unexplained_predictions: int | None
    """Those of them whose two largest outputs lie so far apart that ``rounding_float32`` of both does not turn them."""
    rounding_float32: float
    """How far outputs may lie apart in float32 for its rounding: ``ROUNDING`` times as far as those of the full network
    alone lie from its own in float64 (at least a unit in the last place of the largest output), and what lies between
    the two networks in float64. Nothing of it is measured on the smaller network in float32, which it judges."""

    def check(self) -> None:
        """NotEqualError, in one line, where the networks are not equal."""
        if not self.max_rel_float64 <= TOLERANCE:  # NaN too
            raise NotEqualError(
                f"the smaller network's outputs differ by {self.max_rel_float64:.2g} of the largest output in float64 "
                f"(at most {TOLERANCE:g} is rounding): nothing is written"
            )
        if self.unexplained_predictions:
            raise NotEqualError(
                f"the smaller network predicts another class for {self.unexplained_predictions} of {self.num_samples} "
                "samples, which rounding does not explain: nothing is written"
            )
        if not self.max_abs_float32 <= self.rounding_float32:
            raise NotEqualError(
                f"the smaller network's outputs differ by {self.max_abs_float32:.2g} in float32 "
                f"(its rounding explains {self.rounding_float32:.2g}): nothing is written"
            )


def prove(net: nn.Module, small: nn.Module, inputs: Tensor, *, classes: bool = False, batch_size: int = 500) -> Proof:
    """Return how far the outputs of two networks lie apart on ``inputs`` ``[N, ...]``, in evaluation mode.

    ``classes``: outputs are ``[N, classes]``, and the largest one is the prediction.
    NotEqualError where they are not equal (see ``Proof``), ArgumentError without samples, or classes to compare.
    """
    if not len(inputs):
        raise ArgumentError("there are no samples to compare the networks on")
    comparison = _Comparison(classes)
    pairs = [(_as(net, dtype), _as(small, dtype)) for dtype in (torch.float64, torch.float32)]
    with torch.no_grad():
        for batch in torch.split(inputs, batch_size):
            doubles, floats = (
                [module(_copied_batch(batch, dtype)).double() for module in modules]
                for modules, dtype in zip(pairs, (torch.float64, torch.float32), strict=True)
            )
            comparison.add(*doubles, *floats)
    proof = comparison.proof(len(inputs))
    proof.check()
    return proof


def _as(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copied(module).to(dtype)


def _copied_batch(batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Copied, for a network may change its input in place."""
    return batch.to(dtype, copy=True) if batch.is_floating_point() else batch.clone()


def _apart(values: Tensor, others: Tensor) -> Tensor:
    """How far values lie apart: infinite ones that are equal not at all, NaN NaN."""
    return (values - others).abs().where(values != others, 0.0)


class _Comparison:
    """Adds up what lies between the outputs, batch after batch."""

    def __init__(self, classes: bool) -> None:
        self._classes = classes
        self._margins: list[Tensor] = []
        zero = torch.zeros((), dtype=torch.float64)
        self._largest = self._apart64 = self._apart32 = self._rounding = zero

    def add(self, net64: Tensor, small64: Tensor, net32: Tensor, small32: Tensor) -> None:
        """Add the outputs ``[B, ...]`` of both networks in both precisions, all given in float64."""
        if net64.shape != small64.shape:
            raise NotEqualError(f"the smaller network puts out {list(small64.shape)}, not {list(net64.shape)}")
        if net64.isnan().any() or net32.isnan().any():
            raise NotEqualError("the network itself puts out NaN, which equals nothing: nothing is written")
        self._largest = _larger(self._largest, net64.where(net64.isfinite(), 0.0).abs())
        self._apart64 = _larger(self._apart64, _apart(small64, net64))
        self._apart32 = _larger(self._apart32, _apart(small32, net32))
        self._rounding = _larger(self._rounding, _apart(net32, net64).where(net32.isfinite() & net64.isfinite(), 0.0))
        if self._classes:
            if net64.ndim < 2 or net64.shape[1] < 2:
                raise ArgumentError(f"classes are outputs [N, 2 or more], not {list(net64.shape)}: leave 'classes' out")
            first, second = net64.topk(2, dim=1).values.unbind(1)
            self._margins.append(_apart(first, second)[net32.argmax(1) != small32.argmax(1)].cpu())

    def proof(self, num_samples: int) -> Proof:
        """Return the largest differences of all batches."""
        scale = self._largest if self._largest > 0 else torch.ones_like(self._largest)
        least = torch.finfo(torch.float32).eps * self._largest
        rounding = ROUNDING * torch.maximum(self._rounding, least) + self._apart64
        margins = torch.cat(self._margins) if self._margins else torch.empty(0)
        return Proof(
            num_samples=num_samples,
            max_abs_float64=float(self._apart64),
            max_rel_float64=float(self._apart64 / scale),
            max_abs_float32=float(self._apart32),
            max_rel_float32=float(self._apart32 / scale),
            changed_predictions=len(margins) if self._classes else None,
            unexplained_predictions=int((margins > 2 * rounding).sum()) if self._classes else None,
            rounding_float32=float(rounding),
        )


def _larger(value: Tensor, others: Tensor) -> Tensor:
    """The largest of all; NaN where one is."""
    return torch.maximum(value, others.max().cpu())
