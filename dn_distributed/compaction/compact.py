"""From a network with zeros to the smaller one."""

import torch
from torch import Tensor, fx, nn

from dn_distributed.compaction import dropped
from dn_distributed.compaction.channels import analyse
from dn_distributed.compaction.graph import check_example, copied, trace
from dn_distributed.compaction.liveness import find_live
from dn_distributed.compaction.proof import NotEqualError, prove
from dn_distributed.compaction.shrink import shrink
from dn_distributed.errors import ArgumentError
from dn_distributed.text import first_line
from dn_distributed.torch_internals import set_for_copies_too


@torch.inference_mode(False)  # parameters that can be trained, and tensors that count what changes them
def compact(net: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """Return a smaller network that gives the same outputs as ``net`` in evaluation mode, but for rounding.

    A unit (neuron or filter) goes where no non-zero weights lead from it to an output. One that emits the same for
    every input goes too, and the biases that follow take up what it emitted, where that is exact. Of inputs and
    features that are not read an index of those that are read remains. ``net`` is left as it is; prune it first
    (``dn.prune``): only exact zeros count.

    The smaller network's attribute ``dropped`` says what was dropped, layer by layer.

    ``example_input`` is a batch ``[B, ...]`` of inputs, on which the two are compared (see ``prove``).
    ArgumentError for a network that cannot be followed (``torch.fx``) or depends on its number of channels in a way
    that is not seen; NotEqualError where the outputs differ.
    """
    check_example(example_input)
    for dtype in (torch.float16, torch.bfloat16):  # too coarse for a proof
        if {parameter.dtype for parameter in net.parameters()} == {dtype}:
            example = example_input.float() if example_input.is_floating_point() else example_input
            return compact(copied(net).float(), example).to(dtype=dtype)
    graph = trace(net, example_input)
    liveness = find_live(analyse(graph))
    before, others = dropped.sizes(liveness), dropped.other_weights(liveness.structure)
    small = shrink(liveness)
    set_for_copies_too(small, "dropped", dropped.describe(before, others, small, liveness))
    try:
        example = torch.cat([example_input, _noise_like(example_input)])
        prove(net, small, example, batch_size=len(example_input))
    except NotEqualError:
        raise
    except Exception as error:  # forward() counts on sizes that are no longer there, or does not run in float64
        raise ArgumentError(
            f"{type(net).__name__} cannot be made smaller, its forward() counts on its sizes or its precision: "
            f"{first_line(error)}"
        ) from error
    return small


def _noise_like(example: Tensor) -> Tensor:
    """Inputs of the example's spread, but unlike it in every place."""
    if not example.is_floating_point():
        return example
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    spread = example.std(correction=0)
    return noise * (spread if spread > 0 else 1) + example.mean()
