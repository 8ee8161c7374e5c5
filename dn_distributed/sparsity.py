"""What is left after pruning: weights per layer and neurons per layer of units. Pure functions.

Masks are boolean ``[n_out, n_in]`` or ``[filters, channels, height, width]`` in forward order, the orientation of
``nn.Linear`` and ``nn.Conv2d``: tensors on any device while training, NumPy arrays in a report, which does not wait for
torch. The units of a convolution are its filters; a filter whose output is flattened is read as several features, which
lie side by side.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dn_distributed.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HiddenRule = Literal["min", "max"]
Mask = TypeVar("Mask", "Tensor", "np.ndarray[Any, np.dtype[np.bool_]]")


@dataclass(frozen=True)
class LayerCount:
    """Weights of one layer. Biases are not counted."""

    name: str
    shape: tuple[int, ...]
    """Of the weight: ``[n_out, n_in]`` or ``[filters, channels, height, width]``."""
    num_weights: int
    num_nonzero: int
    inputs_alive: int | None = None
    """Inputs that are left, where they are not the units of the layer before: of a layer that reads flattened channels
    the features that lie, each by itself, on a path of non-zero weights; of a layer outside of a chain the inputs that
    the network needs, or that have a weight where it could not be followed."""

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
    """Units on a path of non-zero weights from an input to an output. Never more than the ``min`` count, but for those
    that emit a constant which a convolution that pads with zeros reads, and which have to stay.

    Of layers that are no chain ``published`` is of the units that have an incoming weight, and ``alive`` of those that
    the network needs, as ``compact`` finds them; where it could not be followed they are the same."""


@dataclass(frozen=True)
class NetworkCounts:
    """Counts of a chain of layers, or of layers that are none. Ratios are derived from counts, never stored."""

    layers: tuple[LayerCount, ...]
    units: tuple[UnitCount, ...]
    """Of a chain the inputs and each layer's outputs; of other layers their outputs."""

    @property
    def is_chain(self) -> bool:
        """Whether each layer reads the units of the one before."""
        return len(self.units) > len(self.layers)

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
        return sum(unit.total for unit in self._hidden)

    @property
    def hidden_alive(self) -> int:
        """Hidden units left on a path from an input to an output."""
        return sum(unit.alive for unit in self._hidden)

    @property
    def _hidden(self) -> tuple[UnitCount, ...]:
        return self.units[self.is_chain : -1]

    @property
    def dense_size(self) -> int:
        """Weights of the smaller dense network that is left when dead units are cut out: alive inputs × alive outputs.

        Added up over the layers; of a convolution times the weights of a kernel. A sparse network needs a format of its
        own to be small; this one is small as it is.
        """
        inputs = [unit.alive for unit in self.units[:-1]] if self.is_chain else [0] * len(self.layers)
        return sum(
            (alive if layer.inputs_alive is None else layer.inputs_alive) * outputs.alive * math.prod(layer.shape[2:])
            for layer, alive, outputs in zip(self.layers, inputs, self.units[-len(self.layers) :], strict=True)
        )

    @property
    def dense_size_with_outputs(self) -> int:
        """Dense size where all units of the last layer stay, as ``compact`` keeps the outputs of a network.

        An output that no path leads to is constant: dense size leaves it out.
        """
        *others, outputs = self.units
        return replace(self, units=(*others, replace(outputs, alive=outputs.total))).dense_size

    @property
    def dense_compression(self) -> float | None:
        """Weights / dense size; None where no unit is alive."""
        return self.num_weights / self.dense_size if self.dense_size else None

    def __str__(self) -> str:
        """Return the lines of ``dn measure``."""
        lines = [
            f"{layer.name} ({'×'.join(map(str, layer.shape))}): "
            f"{layer.num_nonzero} of {layer.num_weights} weights left, density {layer.density:.4%}"
            for layer in self.layers
        ]
        lines.append(
            f"total: {self.num_nonzero} of {self.num_weights} weights left, density {self.density:.4%}, "
            f"compression rate {_rate(self.compression_rate)}"
        )
        for layer in self.layers:
            if layer.inputs_alive is not None:
                lines.append(f"inputs of {layer.name}: {layer.inputs_alive} alive, of {layer.shape[1]}")
        for unit in self.units:
            lines.append(f"neurons {unit.name}: {unit.alive} alive, {unit.published} as published, of {unit.total}")
        lines.append(
            f"neurons: {self.neurons_alive} alive, {self.neurons_published} as published, of {self.neurons_total}"
        )
        smaller = (
            "without its dead neurons: a dense network of"
            if self.is_chain
            else "its layers, each without its dead neurons:"
        )
        lines.append(f"{smaller} {self.dense_size} weights, compression rate {_rate(self.dense_compression)}")
        return "\n".join(lines)


def _rate(rate: float | None) -> str:
    return "none left" if rate is None else f"{rate:.2f}"


def count(
    masks: Mapping[str, Mask],
    hidden_rule: HiddenRule = "min",
    *,
    chain: bool = True,
    needed: Mapping[str, tuple[int, int]] | None = None,
) -> NetworkCounts:
    """Return the counts of a chain of layers, inputs first, or of layers that are none.

    ``needed``: by layer how many outputs and inputs the network needs; None: not known. Of a chain it needs more than
    what lies on paths where ``reads_unreached`` has a convolution that pads with zeros. ArgumentError where a mask is
    neither a matrix nor of a convolution, or a layer of a chain does not take what the one before gives.
    """
    _check_shapes(masks)
    if not chain:
        return _count_apart(masks, needed or {})
    if reason := why_no_chain({name: tuple(mask.shape) for name, mask in masks.items()}):
        raise ArgumentError(reason)
    alive = alive_units(masks)
    layers = tuple(
        _layer_count(name, mask, _features_alive(mask, before, after))
        for (name, mask), (before, after) in zip(masks.items(), itertools.pairwise(alive), strict=True)
    )
    counts = NetworkCounts(layers, _count_units(masks, alive, hidden_rule))
    return _with_needed(counts, needed) if needed else counts


def _with_needed(counts: NetworkCounts, needed: Mapping[str, tuple[int, int]]) -> NetworkCounts:
    """Counts of a chain with those units alive too that lie on no path and are needed, and what they enter."""
    inputs, *hidden, outputs = counts.units
    units = [
        replace(inputs, alive=max(inputs.alive, needed[counts.layers[0].name][1])),
        *(replace(unit, alive=max(unit.alive, needed[unit.name][0])) for unit in hidden),
        replace(outputs, alive=max(outputs.alive, min(outputs.published, needed[outputs.name][0]))),
    ]
    layers = [
        layer
        if layer.inputs_alive is None
        else replace(layer, inputs_alive=max(layer.inputs_alive, needed[layer.name][1]))
        for layer in counts.layers
    ]
    return NetworkCounts(tuple(layers), tuple(units))


def reads_unreached(masks: Mapping[str, Mask]) -> tuple[str, ...]:
    """Return the layers of a chain that have a weight from a unit that no path leads to: such a one emits a constant.

    A bias takes it up, unless the layer is a convolution that pads with zeros: there it ends at the border, and if it
    is not 0 the unit has to stay.
    """
    found, reached = [], None
    for name, matrix in zip(masks, unit_matrices(masks), strict=True):
        if reached is None:
            reached = matrix.any(0) | True
        if bool((matrix & ~reached).any()):
            found.append(name)
        reached = (matrix & reached).any(1)
    return tuple(found)


def _check_shapes(masks: Mapping[str, Mask]) -> None:
    if not masks:
        raise ArgumentError("no layers to count")
    for name, mask in masks.items():
        if mask.ndim not in (2, 4) or 0 in mask.shape:
            raise ArgumentError(
                f"layer {name!r} has shape {tuple(mask.shape)}; expected a matrix [n_out, n_in], "
                "or [filters, channels, height, width] of a convolution"
            )


def why_no_chain(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return in a line why layers with weights of these shapes are no chain, as they do not fit; else nothing.

    A matrix after a convolution may take several features of each filter.
    """
    for (before, first), (name, second) in itertools.pairwise(shapes.items()):
        if len(first) < len(second):
            return f"layer {name!r} is a convolution and {before!r} before it is none"
        if second[1] % first[0] if len(first) > len(second) else second[1] != first[0]:
            return f"layer {name!r} takes {second[1]} inputs but {before!r} before it has {first[0]} outputs"
    return ""


def _layer_count(name: str, mask: Any, inputs_alive: int | None) -> LayerCount:
    shape = tuple(mask.shape)
    return LayerCount(name, shape, math.prod(shape), int(mask.sum()), inputs_alive)


def _features_alive(mask: Any, before: Any, after: Any) -> int | None:
    """Of a matrix that reads flattened channels: features of alive filters that alive units read; None for others."""
    if mask.ndim > 2 or mask.shape[1] == len(before):
        return None
    features = mask.reshape(len(mask), len(before), -1) & after[:, None, None] & before[None, :, None]
    return int(features.any(0).sum())


def _count_apart(masks: Mapping[str, Mask], needed: Mapping[str, tuple[int, int]]) -> NetworkCounts:
    """Each layer for itself: what has a weight is taken to be alive where it is not known what the network needs."""
    layers, units = [], []
    for name, mask in masks.items():
        matrix = _between_units(mask, mask.shape[1])
        receiving, sending = int(matrix.any(1).sum()), int(matrix.any(0).sum())
        outputs_alive, inputs_alive = needed.get(name, (receiving, sending))
        layers.append(_layer_count(name, mask, inputs_alive))
        units.append(UnitCount(name, len(matrix), receiving, outputs_alive))
    return NetworkCounts(tuple(layers), tuple(units))


def _count_units(masks: Mapping[str, Mask], alive: list[Mask], hidden_rule: HiddenRule) -> tuple[UnitCount, ...]:
    matrices: list[Any] = unit_matrices(masks)
    receives = [None, *(matrix.any(1) for matrix in matrices)]
    sends = [*(matrix.any(0) for matrix in matrices), None]
    units = []
    for name, incoming, outgoing, living in zip(["input", *masks], receives, sends, alive, strict=True):
        numbers = [int(side.sum()) for side in (incoming, outgoing) if side is not None]
        published = (min if hidden_rule == "min" else max)(numbers)
        units.append(UnitCount(name, len(living), published, int(living.sum())))
    return tuple(units)


def alive_units(masks: Mapping[str, Mask]) -> list[Mask]:
    """Return, per layer of units of a chain, which lie on a path of non-zero weights from an input to an output."""
    matrices: list[Any] = unit_matrices(masks)
    reached = [matrices[0].any(0) | True]
    for matrix in matrices:
        reached.append((matrix & reached[-1]).any(1))
    useful = [matrices[-1].any(1) | True]
    for matrix in reversed(matrices):
        useful.append((matrix.T & useful[-1]).any(1))
    return [forward & backward for forward, backward in zip(reached, reversed(useful), strict=True)]


def unit_matrices(masks: Mapping[str, Mask]) -> list[Any]:
    """Return, per layer of a chain, which unit has a weight from which of those before: ``[units, units before]``."""
    matrices: list[Any] = []
    num_before: int | None = None
    for mask in masks.values():
        matrices.append(_between_units(mask, mask.shape[1] if num_before is None else num_before))
        num_before = len(mask)
    return matrices


def _between_units(mask: Any, num_before: int) -> Any:
    if mask.ndim == 2 and mask.shape[1] == num_before:
        return mask
    return mask.reshape(len(mask), num_before, -1).any(2)


def layers_as_json(counts: NetworkCounts) -> str:
    """Return the layers' names and shapes, as a replicate's run keeps them."""
    return json.dumps([[layer.name, *layer.shape] for layer in counts.layers])
