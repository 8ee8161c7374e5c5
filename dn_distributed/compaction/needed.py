"""What a network needs of its layers, as numbers: what ``compact`` would leave of them."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dn_distributed import sparsity
from dn_distributed.chains import is_followed_chain, read_otherwise
from dn_distributed.compaction.channels import analyse
from dn_distributed.compaction.graph import module_of, trace
from dn_distributed.compaction.liveness import find_live
from dn_distributed.compaction.shrink import shrink
from dn_distributed.compaction.units import Conv, LayerUse, Structure, reads_zeros
from dn_distributed.errors import ArgumentError


def count_needed(net: nn.Module, example_input: Tensor, layers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return by layer how many of its outputs and of its inputs the network needs (see ``compact``).

    Of a layer whose inputs cannot be followed these are all of them, and of one whose weights are read otherwise than
    by a layer of torch all of its outputs too: ``compact`` keeps it whole. Of a layer that it takes out altogether,
    as in a branch that emits nothing but constants, these are none.

    ArgumentError for a network that cannot be followed, and for a layer that is used elsewhere than once in it.
    """
    liveness = find_live(analyse(trace(net, example_input)))
    found, whole = {}, read_otherwise(net, layers)
    for layer in whole:
        num_outputs, num_inputs = net.get_submodule(layer).get_parameter("weight").shape[:2]
        found[layer] = num_outputs, num_inputs
    for use in _uses(liveness.structure, [layer for layer in layers if layer not in whole]):
        num_inputs = use.reads.shape[1] if use.inputs is None else int(liveness.reads(use).sum())
        found[str(use.node.target)] = int(liveness.is_live(use.outputs).sum()), num_inputs
    stay = dict(shrink(liveness).named_modules())
    return {layer: counts if layer in stay else (0, 0) for layer, counts in found.items()}


def count_needed_of_chain(
    net: nn.Module, example_input: Tensor, masks: Mapping[str, Tensor]
) -> dict[str, tuple[int, int]] | None:
    """Return as ``count_needed`` does where a chain needs units that lie on no path; None where it does not.

    ``net``: pruned. ``masks``: by layer of the chain where it has weights.
    """
    if not may_need_units_off_paths(net, masks):
        return None
    try:
        return count_needed(net, example_input, tuple(masks))
    except ArgumentError:  # of a class that derives from torch's: then paths tell
        return None


def may_need_units_off_paths(net: nn.Module, masks: Mapping[str, Tensor]) -> bool:
    """Return whether a convolution of a chain that pads with zeros reads a unit that no path leads to."""
    return any(reads_zeros(net.get_submodule(name)) for name in sparsity.reads_unreached(masks))


def is_shown_chain(net: nn.Module, example_input: Tensor, layers: Sequence[str]) -> bool:
    """Return whether a network is seen to be a chain of these layers: each alone reads the units of the one before.

    Units are followed as ``compact`` does, with the shapes that ``example_input`` ``[B, ...]`` has; where that cannot
    be, as for layers of a class that derives from torch's, ``forward`` without shapes tells. Numbers of weights do not
    matter, and one layer is a chain, if none but itself reads its weights. Mind the threads of ``layers.graph_of``.
    """
    if len(layers) == 1:
        return not read_otherwise(net, layers)
    try:
        structure = analyse(trace(net, example_input))
        uses = _uses(structure, layers)
    except ArgumentError:
        return is_followed_chain(net, layers)
    return all(_leads_alone(structure, before, after) for before, after in itertools.pairwise(uses))


def _uses(structure: Structure, layers: Sequence[str]) -> list[LayerUse]:
    uses = {str(use.node.target): use for use in structure.layers}
    if missing := [layer for layer in layers if layer not in uses]:
        raise ArgumentError(f"the units of layer {missing[0]!r} cannot be followed")
    return [uses[layer] for layer in layers]


def _leads_alone(structure: Structure, before: LayerUse, after: LayerUse) -> bool:
    """Whether a layer reads the units of another, those of each side by side, and nothing else is done to them."""
    units, roots = before.outputs.units, structure.units.roots(before.outputs.units)
    if after.inputs is None or len(after.inputs.units) % len(units):
        return False
    if not torch.equal(after.inputs.units, units.repeat_interleave(len(after.inputs.units) // len(units))):
        return False
    others = [pinned for pinned, _ in structure.pinned]
    for use in structure.layers:
        if use is not after and use.inputs is not None:
            others.append(use.inputs.units)
        if use is not before:
            others.append(use.outputs.units)
    for node, channels in structure.channels.items():  # a convolution of each channel by itself
        if channels is not None and isinstance(module_of(node), Conv) and node not in (before.node, after.node):
            others.append(channels.units)
    apart = len(set(roots.tolist())) == len(units)
    return apart and not torch.isin(roots, structure.units.roots(torch.cat(others))).any()
