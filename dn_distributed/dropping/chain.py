"""A chain of layers as one that loses units sees it: who reads what, and what each unit costs.

Units of a convolution are its filters. A matrix behind it reads the features of each filter, one after the other.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.layers import noted_calls

_NOT_WHILE_TRAINING = "units of this network cannot be dropped while it trains"
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.RMSNorm)
Measure = Literal["weights", "units", "multiply_adds"]


@dataclass(frozen=True)
class Link:
    """A layer of the chain."""

    name: str
    num_inputs: int
    num_units: int
    kernel: int
    """Weights between an input and a unit."""
    positions: int
    """Where on the image the kernel is used; 1 of a matrix."""
    features: int
    """Inputs that come from one unit of the layer before."""

    is_matrix: bool
    """Whether it is a fully connected layer."""
    pads: bool = False
    """Whether it reads zeros around an image."""
    has_bias: bool = True
    """Whether a bias can stand in for what inputs that go have given on average."""


@dataclass(frozen=True)
class Left:
    """What is left of a replicate: by layer the inputs that it reads and the units that it has, ascending."""

    inputs: Mapping[str, Tensor]
    units: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Dropout:
    """Where a dropout module stands."""

    behind: str | None
    """The layer; None before the first."""
    features: int
    """Values per unit of that layer along the first dimension of a sample."""


@dataclass(frozen=True)
class Chain:
    """The layers of a network, first to last, and its dropout modules in the order of their names."""

    links: tuple[Link, ...]
    dropouts: tuple[_Dropout, ...]

    @property
    def num_weights(self) -> int:
        """Weights of the whole network's layers."""
        return int(self.whole_size("weights"))

    def before(self, link: Link) -> Link | None:
        """Return the layer before; None of the first."""
        number = self.links.index(link)
        return self.links[number - 1] if number else None

    def whole(self) -> Left:
        """Return all there is."""
        return Left(
            {link.name: torch.arange(link.num_inputs) for link in self.links},
            {link.name: torch.arange(link.num_units) for link in self.links},
        )

    def left(self, masks: Mapping[str, Tensor]) -> Left:
        """Return what is left where a weight may be other than 0: masks ``[n_out, n_in, ...]`` by layer.

        All there is where nothing would be left of a layer, or where a layer has weights from a unit that has none.
        """
        flags = self.used(masks)
        inputs = {name: of_inputs.nonzero().flatten() for name, (of_inputs, _) in flags.items()}
        units = {name: of_units.nonzero().flatten() for name, (_, of_units) in flags.items()}
        if any(len(index) == 0 for index in (*inputs.values(), *units.values())):
            return self.whole()
        for before, after in itertools.pairwise(self.links):
            if not flags[before.name][1].repeat_interleave(after.features)[inputs[after.name]].all():
                return self.whole()
        return Left(inputs, units)

    def used(self, masks: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Return by layer which inputs it has weights from, and which units it has weights to: boolean, on the CPU.

        ``masks``: where weights may be other than 0, ``[n_out, n_in, ...]`` of the whole network or of a smaller one.
        The channels that a first convolution reads count as used, and so do the outputs of the last layer.
        """
        found = {}
        for link in self.links:
            mask = between(masks[link.name])
            inputs, units = mask.any(0), mask.any(1)
            if link is self.links[0] and not link.is_matrix:
                inputs = torch.ones_like(inputs)
            found[link.name] = inputs, torch.ones_like(units) if link is self.links[-1] else units
        return found

    def take(self, parameter: str, tensor: Tensor, left: Left) -> Tensor:
        """Return of a parameter's tensor, ``[n_out, n_in, ...]`` or ``[n_out]``, the part of what is left."""
        layer, _, part = parameter.rpartition(".")
        if layer not in left.units:
            return tensor
        rows = tensor.index_select(0, left.units[layer])
        return rows if part == "bias" else rows.index_select(1, left.inputs[layer])

    def selected(self, left: Left) -> dict[str, Tensor]:
        """Return by layer which of the inputs that reach it are read, where these are not all of them."""
        found = {}
        for number, link in enumerate(self.links):
            arriving = torch.arange(link.num_inputs)
            if number:
                arriving = _features(left.units[self.links[number - 1].name], link.features)
            if len(arriving) != len(left.inputs[link.name]):
                found[link.name] = torch.searchsorted(arriving, left.inputs[link.name])
        return found

    def dropout_index(self, left: Left) -> list[Tensor | None]:
        """Return for each dropout module which of its mask's values are used; None: all."""
        return [
            None if place.behind is None else _features(left.units[place.behind], place.features)
            for place in self.dropouts
        ]

    def size(self, inputs: Mapping[str, int], units: Mapping[str, int], measure: Measure) -> float:
        """Return the size of a network with these numbers of inputs and units by layer."""
        if measure == "units":
            first = self.links[0]
            return inputs[first.name] + sum(units[link.name] for link in self.links)
        return sum(self.cost(link, measure) * inputs[link.name] * units[link.name] for link in self.links)

    def size_of(self, left: Left, measure: Measure) -> float:
        """Return the size of what is left."""
        inputs = {name: len(index) for name, index in left.inputs.items()}
        return self.size(inputs, {name: len(index) for name, index in left.units.items()}, measure)

    def whole_size(self, measure: Measure) -> float:
        """Return the size of the whole network."""
        return self.size_of(self.whole(), measure)

    def smallest_size(self, measure: Measure) -> float:
        """Return the size where one unit of each layer is left, and one input of a first matrix."""
        first, last = self.links[0], self.links[-1]
        inputs = {link.name: 1 for link in self.links}
        inputs[first.name] = 1 if first.is_matrix else first.num_inputs
        return self.size(inputs, {link.name: link.num_units if link is last else 1 for link in self.links}, measure)

    @staticmethod
    def cost(link: Link, measure: Measure) -> int:
        """Return what one unit's reading of one input costs."""
        return link.kernel * link.positions if measure == "multiply_adds" else link.kernel


def no_chain(reason: str) -> ArgumentError:
    """Return the error of layers that are none."""
    return ArgumentError(
        f"{_NOT_WHILE_TRAINING}: its regularised layers are no chain, each alone reading what the one before puts out: "
        f"{reason}"
    )


def between(mask: Tensor) -> Tensor:
    """Return whether there is a weight between a unit and an input, ``[n_out, n_in]`` on the CPU.

    ``mask``: of weights, ``[n_out, n_in, ...]``.
    """
    return mask.cpu().reshape(*mask.shape[:2], -1).any(2)


def _features(units: Tensor, features: int) -> Tensor:
    return (units[:, None] * features + torch.arange(features)).flatten()


def find_chain(network: nn.Module, layers: Sequence[str], dropouts: Sequence[str], run: Callable[[], object]) -> Chain:
    """Return the chain that ``layers`` are, as seen while ``run()`` computes the outputs of ``network``.

    ArgumentError for layers that are none, and for networks with normalisation.
    """
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if isinstance(module, _NORMS):
            raise ArgumentError(f"{_NOT_WHILE_TRAINING}: module {name!r} is a {type(module).__name__}")
    with torch.no_grad(), noted_calls(network, (*layers, *dropouts)) as calls:
        run()
    if [call.name for call in calls if call.name in layers] != list(layers):
        raise no_chain("forward() uses them in another order, or not once each")
    links: list[Link] = []
    places: dict[str, _Dropout] = {}
    for name, read, out in calls:
        if name in layers:
            links.append(_link(name, modules[name], out.shape[1:], links[-1] if links else None))
        else:
            places[name] = _dropout(name, read.shape[1:], links[-1] if links else None)
    unused = _Dropout(None, 1)
    return Chain(tuple(links), tuple(places.get(name, unused) for name in dropouts))


def _link(name: str, layer: nn.Module, out: torch.Size, before: Link | None) -> Link:
    if isinstance(layer, nn.Conv2d):
        num_inputs, num_units, kernel = layer.in_channels, layer.out_channels, math.prod(layer.kernel_size)
    else:
        assert isinstance(layer, nn.Linear)
        num_inputs, num_units, kernel = layer.in_features, layer.out_features, 1
    is_matrix = isinstance(layer, nn.Linear)
    features = num_inputs // before.num_units if before else 1
    if len(out) != (1 if is_matrix else 3) or (before and features * before.num_units != num_inputs):
        raise ArgumentError(f"{_NOT_WHILE_TRAINING}: layer {name!r} does not read the units of the layer before")
    pads = isinstance(layer, nn.Conv2d) and _reads_zeros(layer)
    return Link(
        name, num_inputs, num_units, kernel, math.prod(out[1:]), features, is_matrix, pads, layer.bias is not None
    )


def _reads_zeros(layer: nn.Conv2d) -> bool:
    if layer.padding_mode != "zeros" or layer.padding == "valid":
        return False
    return max(layer.kernel_size) > 1 if isinstance(layer.padding, str) else any(layer.padding)


def _dropout(name: str, read: torch.Size, before: Link | None) -> _Dropout:
    if before is None:
        return _Dropout(None, 1)
    if read[0] % before.num_units:
        raise ArgumentError(f"{_NOT_WHILE_TRAINING}: dropout {name!r} is not of the units of layer {before.name!r}")
    return _Dropout(before.name, read[0] // before.num_units)
