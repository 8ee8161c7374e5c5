"""What each channel of each value in a network is: which unit emits it, and whether it depends on the input at all.

The coupling is not taken from torch-pruning: its 1.6.1 silently joins the wrong inputs of a linear layer that reads a
flattened concatenation (``benchmarks/coupling.py`` shows it).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from dn_distributed.compaction.graph import cat_arguments, is_flatten, module_of, shape, target_name
from dn_distributed.compaction.units import Channels, Conv, LayerUse, Structure, bias_of, folded
from dn_distributed.operations import (
    NO_OPERATION,
    NO_OPERATION_MODULES,
    PAIRS,
    POOLING,
    POOLING_MODULES,
    UNITWISE_FUNCTIONS,
    UNITWISE_MODULES,
)

Norm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PRODUCTS = {"mul", "mul_", "imul"}
_MIXING = {"softmax", "log_softmax", "layer_norm", "group_norm"}
_MIXING_MODULES = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.LayerNorm)


def analyse(graph: fx.GraphModule) -> Structure:
    """Follow the channels through a graph that ``graph.trace`` made, with the weights that it now has."""
    structure = Structure(graph)
    for node in graph.graph.nodes:
        structure.channels[node] = _Follower(structure, node).follow()
    return structure


class _Follower:
    """Follows the channels through one node."""

    def __init__(self, structure: Structure, node: fx.Node) -> None:
        self._structure, self._node = structure, node
        self._module = module_of(node)
        self._shape = shape(node)
        self._label = str(node.target) if node.op == "call_module" else target_name(node)

    def follow(self) -> Channels | None:
        """Return the channels that the node hands on; None where that is not known, and what enters must stay."""
        node, module, name = self._node, self._module, target_name(self._node)
        if node.op == "placeholder":
            return self._input()
        if node.op == "output":
            return self._pin("they are outputs of the network")
        if module is not None and (module._forward_hooks or module._forward_pre_hooks):
            return self._pin(f"{self._label!r} has a hook")
        if self._is_layer(module):
            return self._layer(module)  # type: ignore[arg-type]
        if self._shape is None:  # a size, or a tuple
            return None if self._asks_for_other_sizes() else self._pin(f"{self._label!r} takes them apart")
        for follows, rule in self._rules(module, name):
            if follows:
                return rule() or self._pin(f"{self._label!r} {_why_not_followed(module)}")
        return self._pin(f"{self._label!r} may mix them")

    def _rules(self, module: nn.Module | None, name: str) -> Iterator[tuple[bool, Callable[[], Channels | None]]]:
        yield is_flatten(self._node), self._flatten
        yield type(module) in _CONVS and self._is_own(), self._depthwise
        yield isinstance(module, _NORMS) and self._is_own(), self._norm
        yield isinstance(module, nn.GroupNorm) and self._is_own(), self._group_norm
        yield isinstance(module, nn.PReLU) and self._is_own(), self._prelu
        yield isinstance(module, _MIXING_MODULES) or name in _MIXING, self._mixing
        yield type(module) in POOLING_MODULES or name in POOLING, self._pooling
        yield name == "interpolate" or isinstance(module, nn.Upsample), self._resized
        yield name == "mean", self._mean
        yield name in ("getitem", "unsqueeze") and self._changes_places_only(), self._only_input
        yield cat_arguments(self._node) is not None, self._cat
        yield is_pair(self._node), self._pair
        unitwise = _is_unitwise(module) if module else name in UNITWISE_FUNCTIONS | NO_OPERATION
        yield unitwise and len(self._node.all_input_nodes) == 1, self._unitwise

    # What enters

    @property
    def _inputs(self) -> list[Channels | None]:
        return [self._structure.channels[node] for node in self._node.all_input_nodes]

    def _only_input(self) -> Channels | None:
        return self._inputs[0] if len(self._inputs) == 1 else None

    def _asks_for_other_sizes(self) -> bool:
        """Whether the node is a size that is not the number of channels, or no size but a device and the like."""
        inputs, name = self._only_input(), target_name(self._node)
        if name not in ("size", "getattr"):
            return False
        if inputs is None or (name == "getattr" and self._node.args[1] != "shape"):
            return True
        sizes = [self._node] if self._node.args[1:] and name == "size" else list(self._node.users)
        asked = [size.args[1] if target_name(size) in ("size", "getitem") else None for size in sizes]
        before = shape(self._node.all_input_nodes[0])
        assert before is not None
        return all(isinstance(dim, int) and dim % len(before) != inputs.dim for dim in asked)

    def _pin(self, why: str) -> Channels | None:
        """All that enters must stay; what comes out is not known."""
        for channels in self._inputs:
            if channels is not None:
                self._structure.pinned.append((channels.units, why))
        return None

    def _fresh(self, dim: int, constants: Tensor | None) -> Channels:
        assert self._shape is not None
        count = self._shape[dim]
        unknown = torch.full((count,), torch.nan, dtype=torch.float64)
        return Channels(dim, self._structure.units.new(count), unknown if constants is None else constants)

    def _is_own(self) -> bool:
        """Whether the module is used here only, with parameters that are of no other."""
        return str(self._node.target) in self._structure.used_once

    def _input(self) -> Channels | None:
        if self._shape is None or len(self._shape) < 2:
            return None
        channels = self._fresh(1, None)
        self._structure.pinned.append((channels.units, "they are inputs of the network"))
        return channels

    # Layers

    def _is_layer(self, module: nn.Module | None) -> bool:
        if type(module) not in (nn.Linear, *_CONVS) or self._shape is None or not self._is_own():
            return False
        return type(module) is nn.Linear or (_is_batched(module, self._shape) and module.groups == 1)  # type: ignore

    def _layer(self, module: nn.Linear | Conv) -> Channels:
        assert self._shape is not None
        dim = len(self._shape) - 1 if isinstance(module, nn.Linear) else 1
        inputs = self._only_input()
        if inputs is not None and inputs.dim != dim:
            self._pin(f"layer {self._label!r} reads them along another dimension")
            inputs = None
        use = LayerUse(self._node, module, inputs, self._fresh(dim, None))
        use = replace(use, outputs=replace(use.outputs, constants=_emitted(use)))
        self._structure.layers.append(use)
        return use.outputs

    # Operations that leave each channel by itself

    def _flatten(self) -> Channels | None:
        inputs, before = self._only_input(), shape(self._node.all_input_nodes[0])
        if inputs is None or inputs.dim != 1:
            return None
        assert before is not None
        return inputs.repeated(before[2:].numel())

    def _depthwise(self) -> Channels | None:
        """A convolution of each channel by itself; of several filters for each, all go with their channel or none."""
        inputs, conv = self._only_input(), self._module
        assert isinstance(conv, _CONVS)
        assert self._shape is not None
        by_itself = conv.groups == conv.in_channels
        if inputs is None or inputs.dim != 1 or not by_itself or not _is_batched(conv, self._shape):
            return None
        channels = inputs.repeated(conv.out_channels // conv.in_channels)
        use = LayerUse(self._node, conv, channels, channels)
        reads = use.reads[:, 0]
        values = torch.where(reads, use.sums()[:, 0] * channels.constants, 0) + bias_of(conv)
        return replace(channels, constants=values.where(~reads | use.folds(), torch.nan))

    def _norm(self) -> Channels | None:
        inputs, norm = self._only_input(), self._module
        assert isinstance(norm, _NORMS)
        if inputs is None or inputs.dim != 1:
            return None
        if norm.running_mean is None or norm.running_var is None:
            return replace(inputs, constants=_shift_where_gain_is_zero(norm, len(inputs.units)))
        scale = (norm.running_var.double().cpu() + norm.eps).rsqrt()
        gain, shift = _gain_and_shift(norm, len(scale))
        values = (inputs.constants - norm.running_mean.double().cpu()) * scale * gain + shift
        return replace(inputs, constants=values.where(gain != 0, shift))

    def _group_norm(self) -> Channels | None:
        """A group's statistics count every channel of it: whole groups stay or go, and are constant or not."""
        inputs, norm = self._only_input(), self._module
        assert isinstance(norm, nn.GroupNorm)
        if inputs is None or inputs.dim != 1:
            return None
        groups = inputs.units.view(norm.num_groups, -1)
        if groups.shape[1] > 1:
            self._structure.units.unite(groups[:, :-1].flatten(), groups[:, 1:].flatten())
            self._structure.coupled.append((inputs.units, "of the whole group that is normalised with them"))
        constants = inputs.constants.view(groups.shape)  # a group is constant where all of it is
        centred = constants - constants.mean(1, keepdim=True)
        scaled = centred * (centred.square().mean(1, keepdim=True) + norm.eps).rsqrt()
        gain, shift = _gain_and_shift(norm, len(inputs.units))
        return replace(inputs, constants=(scaled.flatten() * gain + shift).where(gain != 0, shift))

    def _prelu(self) -> Channels | None:
        inputs, prelu = self._only_input(), self._module
        assert isinstance(prelu, nn.PReLU)
        if inputs is None or (inputs.dim != 1 and prelu.num_parameters > 1):
            return None
        slope, values = prelu.weight.detach().double().cpu(), inputs.constants
        return replace(inputs, constants=values.where(values > 0, values * slope))

    def _mixing(self) -> Channels | None:
        inputs = self._only_input()
        self._pin(f"{self._label!r} mixes them all")
        return None if inputs is None else replace(inputs, constants=torch.full_like(inputs.constants, torch.nan))

    def _pooling(self) -> Channels | None:
        inputs = self._only_input()
        num_dims = POOLING.get(target_name(self._node)) or POOLING_MODULES.get(type(self._module))
        if inputs is None or inputs.dim != 1 or self._shape is None or len(self._shape) != num_dims:
            return None
        return inputs if self._pools_evenly() else replace(inputs, constants=_zero_or_unknown(inputs.constants))

    def _pools_evenly(self) -> bool:
        """Whether a constant stays as it is: not where an average counts padding or divides by a number of its own."""
        name = target_name(self._node) or type(self._module).__name__.lower()
        if "avg" not in name or "adaptive" in name:
            return True
        if self._module is None:
            return len(self._node.args) <= 3 and self._node.kwargs.keys() <= {"input", "kernel_size", "stride"}
        padding, divisor = self._module.padding, getattr(self._module, "divisor_override", None)
        return divisor is None and (padding in (0, (0,), (0, 0), (0, 0, 0)) or not self._module.count_include_pad)

    def _resized(self) -> Channels | None:
        inputs = self._only_input()
        return inputs if inputs is not None and inputs.dim == 1 else None

    def _mean(self) -> Channels | None:
        """A mean over places."""
        inputs, before = self._only_input(), shape(self._node.all_input_nodes[0])
        given = self._node.kwargs.get("dim", self._node.args[1] if len(self._node.args) > 1 else None)
        if inputs is None or before is None or inputs.dim != 1 or given is None:
            return None
        dims = {int(d) % len(before) for d in (given if isinstance(given, list | tuple) else [given])}  # type: ignore
        return inputs if dims and min(dims) > 1 else None

    def _changes_places_only(self) -> bool:
        """Whether an index or a new dimension leaves those of the batch and of the channels where they are."""
        inputs, before, args = self._only_input(), shape(self._node.all_input_nodes[0]), self._node.args
        if inputs is None or inputs.dim != 1 or before is None or len(args) != 2:
            return False
        if target_name(self._node) == "unsqueeze":
            return isinstance(args[1], int) and args[1] % (len(before) + 1) > 1
        index = args[1] if isinstance(args[1], tuple) else ()
        return index[:2] == (slice(None), slice(None)) and not any(isinstance(part, list) for part in index)

    def _unitwise(self) -> Channels | None:
        inputs = self._only_input()
        if inputs is None or self._shape != shape(self._node.all_input_nodes[0]):
            return None
        return replace(inputs, constants=self._computed([inputs]))

    # Operations on several values

    def _pair(self) -> Channels | None:
        one, other = self._inputs
        if one is None or other is None or one.dim != other.dim or len(one.units) != len(other.units):
            return None
        dimensions = {len(found) for node in self._node.all_input_nodes if (found := shape(node)) is not None}
        if len(dimensions) != 1:
            return None
        self._structure.units.unite(one.units, other.units)
        is_product = target_name(self._node) in _PRODUCTS
        how = "multiplied with" if is_product else "added to"
        self._structure.coupled.append((one.units, f"of units that they are {how}"))
        constants = self._computed([one, other])
        if is_product:
            constants = torch.where((one.constants == 0) | (other.constants == 0), 0.0, constants)
        return replace(one, constants=constants)

    def _cat(self) -> Channels | None:
        arguments = cat_arguments(self._node)
        assert arguments is not None
        assert self._shape is not None
        nodes, dim = arguments
        dim %= len(self._shape)
        parts = [self._structure.channels[node] for node in nodes]
        known = [part for part in parts if part is not None and part.dim == dim]
        if len(known) != len(nodes):
            return None
        return Channels(dim, torch.cat([part.units for part in known]), torch.cat([part.constants for part in known]))

    def _computed(self, inputs: list[Channels]) -> Tensor:
        """What the operation makes of constants: itself, applied to them; NaN where one of them is not known."""
        known = torch.stack([channels.known for channels in inputs]).all(0)
        values = {}
        for node, channels in zip(self._node.all_input_nodes, inputs, strict=True):
            size = [1] * len(shape(node) or ())
            size[channels.dim] = -1
            values[node] = channels.constants.where(channels.known, 0.0).view(size)
        args = fx.node.map_arg(self._node.args, values.__getitem__)
        kwargs = fx.node.map_arg(self._node.kwargs, values.__getitem__)
        with torch.no_grad():
            if self._module is not None:
                result: Any = self._module(*args, **kwargs)
            elif isinstance(self._node.target, str):
                result = getattr(args[0], self._node.target)(*args[1:], **kwargs)
            else:
                result = self._node.target(*args, **kwargs)
        return torch.as_tensor(result, dtype=torch.float64).flatten().where(known, torch.nan)


def _why_not_followed(module: nn.Module | None) -> str:
    if isinstance(module, _CONVS) and module.groups > 1:
        return "is a convolution with groups, which is kept whole"
    return "reads them in a way that is not known"


def _is_unitwise(module: nn.Module) -> bool:
    known = type(module) in (*UNITWISE_MODULES, *NO_OPERATION_MODULES)
    return known and not isinstance(module, nn.BatchNorm1d) and not any(True for _ in module.parameters())


def _is_batched(conv: nn.Module, output_shape: torch.Size) -> bool:
    return isinstance(conv, _CONVS) and len(output_shape) == len(conv.kernel_size) + 2


def _emitted(use: LayerUse) -> Tensor:
    """What each output of a layer emits where that does not depend on the network's input, else NaN."""
    varies = use.reads if use.inputs is None else use.reads & ~use.folds()
    return (bias_of(use.module) + folded(use)).where(~varies.any(1), torch.nan)


def _gain_and_shift(norm: Norm | nn.GroupNorm, count: int) -> tuple[Tensor, Tensor]:
    parameters = dict(norm.named_parameters())
    gain, shift = (parameters.get(name) for name in ("weight", "bias"))
    return (
        torch.ones(count, dtype=torch.float64) if gain is None else gain.detach().double().cpu(),
        torch.zeros(count, dtype=torch.float64) if shift is None else shift.detach().double().cpu(),
    )


def _shift_where_gain_is_zero(norm: Norm | nn.GroupNorm, count: int) -> Tensor:
    gain, shift = _gain_and_shift(norm, count)
    return shift.where(gain == 0, torch.nan)


def _zero_or_unknown(constants: Tensor) -> Tensor:
    return constants.where(constants == 0, torch.nan)


def is_pair(node: fx.Node) -> bool:
    """Return whether a node adds, subtracts or multiplies two values."""
    return target_name(node) in PAIRS and len(node.all_input_nodes) == 2
