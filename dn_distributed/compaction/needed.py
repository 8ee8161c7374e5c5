"""What a network needs of its layers, as numbers: what ``compact`` would leave of them."""

from collections.abc import Sequence

from torch import Tensor, nn

from dn_distributed.compaction.channels import analyse
from dn_distributed.compaction.graph import trace
from dn_distributed.compaction.liveness import find_live
from dn_distributed.errors import ArgumentError


def count_needed(net: nn.Module, example_input: Tensor, layers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return by layer how many of its outputs and of its inputs the network needs (see ``compact``).

    Of a layer whose inputs cannot be followed these are all of them.

    ArgumentError for a network that cannot be followed, and for a layer that is used elsewhere than once in it.
    """
    liveness = find_live(analyse(trace(net, example_input)))
    uses = {str(use.node.target): use for use in liveness.structure.layers}
    if missing := [layer for layer in layers if layer not in uses]:
        raise ArgumentError(f"the units of layer {missing[0]!r} cannot be followed")
    found = {}
    for layer in layers:
        use = uses[layer]
        num_inputs = use.reads.shape[1] if use.inputs is None else int(liveness.reads(use).sum())
        found[layer] = int(liveness.is_live(use.outputs).sum()), num_inputs
    return found
