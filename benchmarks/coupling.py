"""Why the coupling of layers is our own: what torch-pruning makes of a concatenation that is flattened.

``pip install torch-pruning``, then ``python -m benchmarks.coupling``. Prints the inputs of ``fc`` that each takes for
those of the first filter of ``right``. The right answer is 128 to 143: before them come 8 filters of 16 values each.
"""

import torch
from torch import Tensor, nn

from dn_distributed.compaction.channels import analyse
from dn_distributed.compaction.graph import trace


class TwoSides(nn.Module):
    """Two convolutions side by side, which a linear layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.fc = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), nn.Linear(12 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, 3, 4, 4]`` to ``[B, 2]``."""
        return self.fc(torch.cat([self.left(x), self.right(x)], 1).flatten(1))  # type: ignore[no-any-return]


def main() -> None:
    """Print both answers."""
    import torch_pruning

    net, example = TwoSides(), torch.randn(2, 3, 4, 4)
    structure = analyse(trace(net, example))
    layers = {use.node.target: use for use in structure.layers}
    first = structure.units.roots(layers["right"].outputs.units[:1])
    ours = (structure.units.roots(layers["fc"].inputs.units) == first).nonzero().flatten()  # type: ignore[union-attr]
    print(f"dn_distributed: {ours.tolist()}")
    graph = torch_pruning.DependencyGraph().build_dependency(net, example)
    group = graph.get_pruning_group(net.right, torch_pruning.prune_conv_out_channels, [0])
    theirs = [list(map(int, indices)) for item, indices in group if item.target.module is net.fc]
    print(f"torch-pruning {torch_pruning.__version__}: {theirs}")


if __name__ == "__main__":
    main()
