"""What a smaller network has lost, layer by layer."""

from collections import Counter
from dataclasses import dataclass, replace

from torch import nn

from dn_distributed.compaction.liveness import Liveness


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
class Dropped:
    """What was dropped. Printed, a table."""

    layers: tuple[DroppedLayer, ...]
    """In the order in which the network uses them; a layer that went altogether has no outputs."""
    stayed: dict[str, int]
    """Units that no weight enters and that had to stay all the same: how many, by the reason."""

    @property
    def weights_before(self) -> int:
        """Weights of all layers before."""
        return sum(layer.weights_before for layer in self.layers)

    @property
    def weights(self) -> int:
        """Weights of all layers after: the dense size."""
        return sum(layer.weights for layer in self.layers)

    def __str__(self) -> str:
        """Return the table, and a line for each reason that units stayed for."""
        width = max((len(layer.name) for layer in self.layers), default=0)
        lines = [
            f"{layer.name:{width}}  {layer.inputs_before} → {layer.inputs} inputs, "
            f"{layer.outputs_before} → {layer.outputs} units, {layer.weights_before} → {layer.weights} weights"
            for layer in self.layers
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


def describe(before: tuple[DroppedLayer, ...], small: nn.Module, liveness: Liveness) -> Dropped:
    """Return what was dropped. ``before``: as ``sizes`` gave."""
    modules = dict(small.named_modules())
    layers = tuple(_after(layer, modules.get(layer.name)) for layer in before)
    return Dropped(layers, _stayed(liveness, {layer.name for layer in layers if layer.outputs}))


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
