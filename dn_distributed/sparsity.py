"""What is left after pruning: weights per layer and neurons per layer of units. Pure functions.

Masks are boolean ``[n_out, n_in]`` in forward order, the orientation of ``nn.Linear``: tensors on any device while
training, NumPy arrays in a report, which does not wait for torch.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dn_distributed.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HiddenRule = Literal["min", "max"]
Mask = TypeVar("Mask", "Tensor", "np.ndarray[Any, np.dtype[np.bool_]]")


@dataclass(frozen=True)
class LayerCount:
    """Weights of one fully connected layer. Biases are not counted."""

    name: str
    shape: tuple[int, int]
    num_weights: int
    num_nonzero: int

    @property
    def density(self) -> float:
        """Non-zero weights / weights. The paper's column calls it "sparsity"."""
        return self.num_nonzero / self.num_weights


@dataclass(frozen=True)
class UnitCount:
    """Neurons of one layer of units: inputs, hidden or outputs."""

    name: str
    total: int
    published: int
    """As the published scripts count: for hidden units ``min(with an incoming weight, with an outgoing one)``."""
    alive: int
    """Units on a path of non-zero weights from an input to an output. Never more than the ``min`` count."""


@dataclass(frozen=True)
class NetworkCounts:
    """Counts of a chain of layers. Ratios are derived from counts, never stored."""

    layers: tuple[LayerCount, ...]
    units: tuple[UnitCount, ...]

    @property
    def num_weights(self) -> int:
        """Weights of all layers."""
        return sum(layer.num_weights for layer in self.layers)

    @property
    def num_nonzero(self) -> int:
        """Non-zero weights of all layers."""
        return sum(layer.num_nonzero for layer in self.layers)

    @property
    def density(self) -> float:
        """Non-zero weights / weights."""
        return self.num_nonzero / self.num_weights

    @property
    def compression_rate(self) -> float | None:
        """Weights / non-zero weights; None where nothing is left."""
        return self.num_weights / self.num_nonzero if self.num_nonzero else None

    @property
    def neurons_total(self) -> int:
        """Units of all layers."""
        return sum(unit.total for unit in self.units)

    @property
    def neurons_published(self) -> int:
        """Units left, as the published scripts count them."""
        return sum(unit.published for unit in self.units)

    @property
    def neurons_alive(self) -> int:
        """Units left on a path from an input to an output."""
        return sum(unit.alive for unit in self.units)

    @property
    def hidden_total(self) -> int:
        """Units between the inputs and the outputs: what a network may drop and still take and give all there is."""
        return sum(unit.total for unit in self.units[1:-1])

    @property
    def hidden_alive(self) -> int:
        """Hidden units left on a path from an input to an output."""
        return sum(unit.alive for unit in self.units[1:-1])

    @property
    def dense_size(self) -> int:
        """Weights of the smaller dense network that is left when dead units are cut out: alive inputs × alive outputs.

        Added up over the layers. A sparse network needs a format of its own to be small; this one is small as it is.
        """
        return sum(before.alive * after.alive for before, after in itertools.pairwise(self.units))

    @property
    def dense_compression(self) -> float | None:
        """Weights / dense size; None where no unit is alive."""
        return self.num_weights / self.dense_size if self.dense_size else None

    def __str__(self) -> str:
        """Return the lines of ``dn measure``."""
        lines = [
            f"{layer.name} ({n_out}×{n_in}): {layer.num_nonzero} of {layer.num_weights} weights left, "
            f"density {layer.density:.4%}"
            for layer in self.layers
            for n_out, n_in in [layer.shape]
        ]
        lines.append(
            f"total: {self.num_nonzero} of {self.num_weights} weights left, density {self.density:.4%}, "
            f"compression rate {_rate(self.compression_rate)}"
        )
        for unit in self.units:
            lines.append(f"neurons {unit.name}: {unit.alive} alive, {unit.published} as published, of {unit.total}")
        lines.append(
            f"neurons: {self.neurons_alive} alive, {self.neurons_published} as published, of {self.neurons_total}"
        )
        lines.append(
            f"without its dead neurons: a dense network of {self.dense_size} weights, "
            f"compression rate {_rate(self.dense_compression)}"
        )
        return "\n".join(lines)


def _rate(rate: float | None) -> str:
    return "none left" if rate is None else f"{rate:.2f}"


def count(masks: Mapping[str, Mask], hidden_rule: HiddenRule = "min") -> NetworkCounts:
    """Return the counts of a chain of layers, inputs first.

    ArgumentError where a mask is no matrix, or a layer's inputs are not the outputs of the one before.
    """
    _check_chain(masks)
    layers = tuple(
        LayerCount(name, (n_out, n_in), n_out * n_in, int(mask.sum()))
        for name, mask in masks.items()
        for n_out, n_in in [mask.shape]
    )
    return NetworkCounts(layers, _count_units(masks, hidden_rule))


def _check_chain(masks: Mapping[str, Mask]) -> None:
    if not masks:
        raise ArgumentError("no layers to count")
    previous: tuple[str, int] | None = None
    for name, mask in masks.items():
        if mask.ndim != 2 or 0 in mask.shape:
            raise ArgumentError(f"layer {name!r} has shape {tuple(mask.shape)}; expected a matrix [n_out, n_in]")
        if previous is not None and mask.shape[1] != previous[1]:
            raise ArgumentError(
                f"layer {name!r} takes {mask.shape[1]} inputs but {previous[0]!r} before it has {previous[1]} outputs"
            )
        previous = (name, mask.shape[0])


def _count_units(masks: Mapping[str, Mask], hidden_rule: HiddenRule) -> tuple[UnitCount, ...]:
    matrices: list[Any] = list(masks.values())
    names = ["input", *masks]
    receives = [None, *(mask.any(1) for mask in matrices)]
    sends = [*(mask.any(0) for mask in matrices), None]
    units = []
    for name, incoming, outgoing, alive in zip(names, receives, sends, alive_units(masks), strict=True):
        numbers = [int(side.sum()) for side in (incoming, outgoing) if side is not None]
        published = (min if hidden_rule == "min" else max)(numbers)
        units.append(UnitCount(name, len(alive), published, int(alive.sum())))
    return tuple(units)


def alive_units(masks: Mapping[str, Mask]) -> list[Mask]:
    """Return, per layer of units, which lie on a path of non-zero weights from an input to an output."""
    matrices: list[Any] = list(masks.values())
    reached = [matrices[0].any(0) | True]
    for mask in matrices:
        reached.append((mask & reached[-1]).any(1))
    useful = [matrices[-1].any(1) | True]
    for mask in reversed(matrices):
        useful.append((mask.T & useful[-1]).any(1))
    return [forward & backward for forward, backward in zip(reached, reversed(useful), strict=True)]


def layers_as_json(counts: NetworkCounts) -> str:
    """Return the layers' names and shapes, as a replicate's run keeps them."""
    return json.dumps([[layer.name, *layer.shape] for layer in counts.layers])
