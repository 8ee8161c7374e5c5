"""What a smaller network has lost, layer by layer."""

from collections import Counter
from dataclasses import dataclass, replace

from torch import fx, nn

from dn_distributed.compaction.liveness import Liveness
from dn_distributed.compaction.units import Conv, Structure


@dataclass(frozen=True)
class DroppedLayer:
    """One layer before and after. Units are neurons, filters or channels."""

    name: str
    inputs_before: int
    inputs: int
    outputs_before: int
    outputs: int
    weights_before: int
    weights: int


@dataclass(frozen=True)
class OtherWeights:
    """Weights of what has no units that are dropped for themselves, before and after."""

    name: str
    """Of the parameter."""
    weights_before: int
    weights: int
    why: str


@dataclass(frozen=True)
class Dropped:
    """What was dropped. Printed, a table."""

    layers: tuple[DroppedLayer, ...]
    """In the order in which the network uses them; a layer that went altogether has no outputs."""
    stayed: dict[str, int]
    """Units that no weight enters and that had to stay all the same: how many, by the reason."""
    others: tuple[OtherWeights, ...] = ()
    """Other parameters of more than one dimension."""

    @property
    def _parts(self) -> tuple[DroppedLayer | OtherWeights, ...]:
        return (*self.layers, *self.others)

    @property
    def weights_before(self) -> int:
        """Weights of the whole network before."""
        return sum(part.weights_before for part in self._parts)

    @property
    def weights(self) -> int:
        """Weights of the whole network after, those of constant outputs among them, which stay outputs."""
        return sum(part.weights for part in self._parts)

    def __str__(self) -> str:
        """Return the table, and a line for each reason that units stayed for."""
        width = max((len(part.name) for part in self._parts), default=0)
        lines = [
            f"{layer.name:{width}}  {layer.inputs_before} → {layer.inputs} inputs, "
            f"{layer.outputs_before} → {layer.outputs} units, {layer.weights_before} → {layer.weights} weights"
            for layer in self.layers
        ]
        lines += [
            f"{other.name:{width}}  {other.weights_before} → {other.weights} weights ({other.why})"
            for other in self.others
        ]
        lines.append(f"{'total':{width}}  {self.weights_before} → {self.weights} weights")
        lines += [f"{count} units that no weight enters stay: {why}" for why, count in self.stayed.items()]
        return "\n".join(lines)


def sizes(liveness: Liveness) -> tuple[DroppedLayer, ...]:
    """Return the layers as they are before ``shrink``."""
    layers = []
    for use in liveness.structure.layers:
        (num_outputs, num_inputs), size = use.module.weight.shape[:2], use.module.weight.numel()
        layers.append(DroppedLayer(str(use.node.target), *(num_inputs,) * 2, *(num_outputs,) * 2, *(size,) * 2))
    return tuple(layers)


def other_weights(structure: Structure) -> tuple[OtherWeights, ...]:
    """Return the other weights as they are before ``shrink``."""
    layers = {f"{use.node.target}.weight" for use in structure.layers}
    return tuple(
        OtherWeights(name, parameter.numel(), parameter.numel(), _why_other(structure, name))
        for name, parameter in structure.graph.named_parameters()
        if parameter.ndim > 1 and name not in layers
    )


def _why_other(structure: Structure, name: str) -> str:
    calls = {str(node.target): node for node in structure.graph.graph.nodes if node.op == "call_module"}
    home = name.rpartition(".")[0]
    while home and home not in calls:  # attention has layers of its own
        home = home.rpartition(".")[0]
    if home not in calls:
        return "it is the weight of no layer"
    module = structure.graph.get_submodule(home)
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has a hook"
    if home not in structure.used_once:
        return "it is used more than once, or shares its numbers"
    if not isinstance(module, Conv):
        return f"the units of {type(module).__name__} are not followed"
    return _why_convolution(structure, calls[home], module)


def _why_convolution(structure: Structure, node: fx.Node, conv: Conv) -> str:
    if conv.groups == conv.in_channels > 1 and structure.channels[node] is not None:
        return "its filters go with their channels"
    return (
        "the units of a convolution with groups are not followed" if conv.groups > 1 else "its units are not followed"
    )


def describe(
    before: tuple[DroppedLayer, ...], others: tuple[OtherWeights, ...], small: nn.Module, liveness: Liveness
) -> Dropped:
    """Return what was dropped. ``before`` and ``others``: as ``sizes`` and ``other_weights`` gave."""
    modules, parameters = dict(small.named_modules()), dict(small.named_parameters())
    layers = tuple(_after(layer, modules.get(layer.name)) for layer in before)
    sizes_after = {name: parameter.numel() for name, parameter in parameters.items()}
    left = tuple(replace(other, weights=sizes_after.get(other.name, 0)) for other in others)
    return Dropped(layers, _stayed(liveness, {layer.name for layer in layers if layer.outputs}), left)


def _after(layer: DroppedLayer, module: nn.Module | None) -> DroppedLayer:
    if module is None:
        return replace(layer, inputs=0, outputs=0, weights=0)
    weight = module.get_parameter("weight")
    return replace(layer, inputs=weight.shape[1], outputs=weight.shape[0], weights=weight.numel())


def _stayed(liveness: Liveness, layers: set[str]) -> dict[str, int]:
    units = liveness.structure.units
    counts: Counter[str] = Counter()
    for use in liveness.structure.layers:
        if str(use.node.target) in layers:
            roots = units.roots(use.outputs.units)
            idle = roots[use.outputs.known & liveness.live[roots]]
            counts.update(liveness.causes[root] for root in idle.tolist())
    return dict(counts)
