"""Why the coupling of layers is our own: what it and torch-pruning's make of networks of torchvision.

``pip install torch-pruning``, then ``python -m benchmarks.coupling``. First, the inputs of ``fc`` that each takes for
those of the first filter of ``right``, where a linear layer reads a concatenation that is flattened: the right answer
is 128 to 143, before them come 8 filters of 16 values each. Then for each network how many layers there are whose
first unit both couple with the same outputs and inputs of layers; how many have one that is kept here, as something
reads it that is not followed (the last has the outputs); and how many differ. Then the weights that ``dn.compact``
leaves where a quarter of the units of each layer has lost its weights, and how far the outputs are apart.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

import dn_distributed as dn
from dn_distributed.compaction import Dropped, prove
from dn_distributed.compaction.channels import analyse
from dn_distributed.compaction.graph import trace
from dn_distributed.compaction.units import LayerUse, Structure

NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    "resnet18": (64, {}),
    "densenet121": (64, {}),
    "mobilenet_v3_small": (64, {}),
    "vgg11_bn": (32, {}),
    "googlenet": (64, {"aux_logits": False, "init_weights": False}),
    "vit_b_16": (32, {"image_size": 32}),
    "efficientnet_b0": (64, {}),
    "alexnet": (64, {}),
}
"""By name the size of the images, and options."""
SHARE = 0.25
"""Of the units of each layer, so many lose their weights."""
Coupled = set[tuple[str, str, int]]
"""Layer, "in" or "out", and place."""


class TwoSides(nn.Module):
    """Two convolutions side by side, which a linear layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.fc = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), nn.Linear(12 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, 3, 4, 4]`` to ``[B, 2]``."""
        return self.fc(torch.cat([self.left(x), self.right(x)], 1).flatten(1))  # type: ignore[no-any-return]


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network of torchvision in evaluation mode, with statistics of its own, and a batch for it."""
    torch.manual_seed(0)
    size, options = NETWORKS[name]
    net, example = models.get_model(name, weights=None, num_classes=10, **options), torch.randn(4, 3, size, size)
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():  # the outputs of a new ViT are all 0
            nn.init.normal_(layer.weight, std=0.1)
    net.train()(example)
    return net.eval(), example


def kill_units(net: nn.Module) -> None:
    """Take the weights of some units of each layer in place, but of the outputs: what normalises a filter goes too."""
    draw = torch.Generator().manual_seed(1)
    *hidden, _ = [
        (name, part)
        for name, part in net.named_modules()
        if (isinstance(part, nn.Conv2d) and part.groups == 1)
        or (isinstance(part, nn.Linear) and not name.endswith("out_proj"))
    ]
    with torch.no_grad():
        for _, layer in hidden:
            dead = torch.rand(len(layer.weight), generator=draw) < SHARE
            layer.weight[dead] = 0
            if layer.bias is not None:
                layer.bias[dead] = 0
    dn.prune(net, 0.0, layers=[name for name, _ in hidden])


def ours(structure: Structure, use: LayerUse) -> Coupled | None:
    """Return what is coupled with the first unit of a layer; None where it has to stay."""
    roots = structure.units.roots
    root = roots(use.outputs.units[:1])
    if any((roots(units) == root).any() for units, _ in structure.pinned):
        return None
    found: Coupled = set()
    for other in structure.layers:
        for side, channels in (("in", other.inputs), ("out", other.outputs)):
            if channels is not None:
                places = (roots(channels.units) == root).nonzero().flatten().tolist()
                found |= {(str(other.node.target), side, place) for place in places}
    return found


def theirs(graph: Any, names: dict[nn.Module, str], layer: nn.Module) -> Coupled:
    """Return the same of torch-pruning."""
    import torch_pruning

    is_linear = isinstance(layer, nn.Linear)
    cut = torch_pruning.prune_linear_out_channels if is_linear else torch_pruning.prune_conv_out_channels
    return {
        (names[item.target.module], "out" if graph.is_out_channel_pruning_fn(item.handler) else "in", int(place))
        for item, places in graph.get_pruning_group(layer, cut, [0])
        if item.target.module in names
        for place in places
    }


def compared(net: nn.Module, example: Tensor) -> Iterator[str]:
    """Yield how many layers there are, and how many of them are alike, kept here, and different."""
    import torch_pruning

    structure = analyse(trace(net, example))
    found = {str(use.node.target): ours(structure, use) for use in structure.layers}
    names = {net.get_submodule(name): name for name in found}
    graph = torch_pruning.DependencyGraph().build_dependency(net, example)
    other = {name: theirs(graph, names, layer) for layer, name in names.items()}
    kept = [name for name, coupled in found.items() if coupled is None]
    alike = [name for name, coupled in found.items() if coupled == other[name]]
    yield from map(str, (len(found), len(alike), len(kept), len(found) - len(alike) - len(kept)))


def compacted(net: nn.Module, example: Tensor) -> Iterator[str]:
    """Yield the weights before and after, and how far the outputs are apart in float64."""
    kill_units(net)
    small = dn.compact(net, example)
    assert isinstance(small.dropped, Dropped)
    proof = prove(net, small, example.flip(0, 3), classes=True)
    yield f"{small.dropped.weights_before} → {small.dropped.weights}"
    yield f"{proof.max_rel_float64:.0e}"


def main() -> None:
    """Print all answers."""
    import torch_pruning

    net, example = TwoSides(), torch.randn(2, 3, 4, 4)
    structure = analyse(trace(net, example))
    (right,) = (use for use in structure.layers if use.node.target == "right")
    names = {net.get_submodule(str(use.node.target)): str(use.node.target) for use in structure.layers}
    graph = torch_pruning.DependencyGraph().build_dependency(net, example)
    for who, coupled in (
        ("dn_distributed", ours(structure, right)),
        (f"torch-pruning {torch_pruning.__version__}", theirs(graph, names, net.right)),
    ):
        print(f"{who}: {sorted(place for name, _, place in coupled or () if name == 'fc')}")
    columns = ("network", "layers", "alike", "kept here", "differ", "weights", "apart in float64")
    print(f"\n| {' | '.join(columns)} |\n| :-- |{' --: |' * (len(columns) - 1)}")
    for name in NETWORKS:
        net_, example = network(name)
        print("|", " | ".join([name, *compared(net_, example), *compacted(net_, example)]), "|", flush=True)


if __name__ == "__main__":
    main()
