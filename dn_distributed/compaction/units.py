"""Units, the channels that they emit, and the layers whose units can be dropped.

A unit is a neuron of a linear layer or a filter of a convolution. Units whose channels are added, multiplied or
normalised together are united: they live and die together.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor, fx, nn

Conv: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d


class Units:
    """Numbers of units, some of them united (union-find)."""

    def __init__(self) -> None:
        self._parents = torch.empty(0, dtype=torch.int64)

    def new(self, count: int) -> Tensor:
        """Return the numbers of ``count`` new units."""
        start = len(self._parents)
        numbers = torch.arange(start, start + count)
        self._parents = torch.cat([self._parents, numbers])
        return numbers

    def roots(self, units: Tensor) -> Tensor:
        """Return for each unit the one that stands for all it is united with."""
        roots = self._parents[units]
        while not torch.equal(roots, self._parents[roots]):
            roots = self._parents[roots]
        return roots

    def unite(self, ones: Tensor, others: Tensor) -> None:
        """Unite pair by pair."""
        ones, others = self.roots(ones), self.roots(others)
        while not torch.equal(ones, others):
            low, high = torch.minimum(ones, others), torch.maximum(ones, others)
            self._parents.scatter_reduce_(0, high, low, "amin")
            ones, others = self.roots(ones), self.roots(others)

    def __len__(self) -> int:
        return len(self._parents)


@dataclass(frozen=True)
class Channels:
    """The channels of a value, which lie along one dimension of it."""

    dim: int
    units: Tensor
    """By channel the unit that emits it, int64 ``[C]``."""
    constants: Tensor
    """By channel its value where that is the same for every input and place, float64 ``[C]``; NaN where it is not."""

    @property
    def known(self) -> Tensor:
        """By channel whether it is constant."""
        return ~self.constants.isnan()

    def repeated(self, times: int) -> "Channels":
        """Return as many channels in place of each."""
        return Channels(self.dim, self.units.repeat_interleave(times), self.constants.repeat_interleave(times))


@dataclass(frozen=True)
class LayerUse:
    """A layer whose units can be dropped: ``nn.Linear``, or a convolution without groups."""

    node: fx.Node
    module: nn.Linear | Conv
    inputs: Channels | None
    """None where what enters is not known by channels: then all of it is read."""
    outputs: Channels

    @cached_property
    def reads(self) -> Tensor:
        """Whether an output has a non-zero weight from an input, boolean ``[outputs, inputs]``."""
        return (self.module.weight.detach() != 0).flatten(1).view(*self.module.weight.shape[:2], -1).any(2).cpu()

    def sums(self) -> Tensor:
        """Return the weights, those of a convolution added up over its kernel, float64 ``[outputs, inputs]``."""
        weight = self.module.weight.detach().double().cpu()
        return weight.flatten(2).sum(2) if weight.ndim > 2 else weight

    def folds(self) -> Tensor:
        """By input channel whether it is a constant that an output's bias takes up exactly.

        A convolution that pads with zeros sees another value at the border, except for the constant 0.
        """
        assert self.inputs is not None
        return self.inputs.known & ((not reads_zeros(self.module)) | (self.inputs.constants == 0))


@dataclass
class Structure:
    """What was found of a network: see ``analyse``."""

    graph: fx.GraphModule
    units: Units = field(default_factory=Units)
    channels: dict[fx.Node, Channels | None] = field(default_factory=dict)
    """By node the channels of its value; None where they are not known."""
    layers: list[LayerUse] = field(default_factory=list)
    pinned: list[tuple[Tensor, str]] = field(default_factory=list)
    """Units that must stay, and why."""
    coupled: list[tuple[Tensor, str]] = field(default_factory=list)
    """Units that were united with others, and what is said of these: "of units that they are added to"."""

    @cached_property
    def used_once(self) -> set[str]:
        """The names of the modules that one node alone uses, with parameters that nothing else uses."""
        uses = Counter(str(node.target) for node in self.graph.graph.nodes if node.op in ("call_module", "get_attr"))
        names: defaultdict[int, list[str]] = defaultdict(list)
        for name, parameter in self.graph.named_parameters(remove_duplicate=False):
            names[id(parameter)].append(name)
        shared = {name.rpartition(".")[0] for same in names.values() for name in same if len(same) > 1 or uses[name]}
        return {name for name, count in uses.items() if count == 1} - shared


def reads_zeros(module: nn.Module) -> bool:
    """Return whether a layer is a convolution that reads zeros around an image."""
    if not isinstance(module, Conv) or module.padding_mode != "zeros":
        return False
    padding = module.padding
    if isinstance(padding, str):
        return padding != "valid" and set(module.kernel_size) != {1}
    return any(padding)


def folded(use: LayerUse) -> Tensor:
    """Return what the constant inputs of a layer that fold add to each output, float64 ``[outputs]``."""
    if use.inputs is None or not use.folds().any():
        return torch.zeros(use.module.weight.shape[0], dtype=torch.float64)
    return use.sums() @ use.inputs.constants.where(use.folds(), 0.0)


def bias_of(module: nn.Linear | Conv) -> Tensor:
    """Return the bias of a layer, zeros where it has none, float64 ``[outputs]``."""
    if module.bias is None:
        return torch.zeros(module.weight.shape[0], dtype=torch.float64)
    return module.bias.detach().double().cpu()
