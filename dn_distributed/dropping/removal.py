"""Takes units out of a small network for good, and lets the biases behind them stand in for their means."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dn_distributed import pruning
from dn_distributed.config import Drop
from dn_distributed.dropping import scores
from dn_distributed.dropping.chain import Chain, Link, between
from dn_distributed.dropping.choice import Alive, Flags, choose
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.dropping.second_order import SecondOrder

_SAME = 1e-4
"""How far values may lie apart that are the same but for rounding, relative to the largest."""


def alive_in(replica: NarrowReplica, chain: Chain, structure: Tensor | None) -> Alive:
    """Return what of a small network is there. ``structure``: what may be other than 0, ``[1, p]``; None: all."""
    owners = {link.name: scores.owners(replica, link, chain).numpy() for link in chain.links}
    masks = replica.parameters.views(torch.ones_like(replica.values) if structure is None else structure)
    used = chain.used({link.name: masks[f"{link.name}.weight"][0] != 0 for link in chain.links})
    inputs = {name: of_inputs.numpy() for name, (of_inputs, _) in used.items()}
    return Alive(inputs, {name: of_units.numpy() for name, (_, of_units) in used.items()}, owners)


def drop_units_(
    replica: NarrowReplica,
    chain: Chain,
    alive: Alive,
    drop: Drop,
    goal: float,
    samples: tuple[Tensor, Tensor],
    *,
    last: bool,
) -> Alive:
    """Remove units until no more is left than ``goal``, and return what there is then; weights of others stand in.

    ``samples``: inputs and targets of training samples, ``[S, ...]``. ``last``: reach the goal in any case.
    """
    left = alive.copy()
    if drop.score == "obs":
        second_order = SecondOrder(replica, chain, alive, samples)
        choose(chain, left, second_order.worth, goal, drop.of, last=last, removed=second_order.compensate)
        second_order.write_back()
        return left
    if drop.score == "norm":
        reads, found = replica.reads(samples[0]), scores.by_norm(replica, chain)
    else:
        signals = replica.signals(*samples, of_outputs=False)
        reads, found = {name: read for name, (read, _) in signals.items()}, scores.by_taylor(replica, chain, signals)
    worth = {
        name: (item.inputs.double().cpu().numpy(), item.units.double().cpu().numpy()) for name, item in found.items()
    }
    choose(chain, left, worth, goal, drop.of, last=last)
    fold_means_(replica, chain, alive, left, reads)
    return left


def drop_what_pruning_leaves_dead_(
    replica: NarrowReplica,
    chain: Chain,
    alive: Alive,
    threshold: pruning.Cut,
    samples: Tensor,
    structure: Tensor | None,
) -> Tensor:
    """Prune the weights, remove what then lies on no path, and return what may be other than 0 from now on, ``[1, p]``.

    See ``drop_what_is_dead_``. Where biases cannot take up exactly what dead units give, as at the border of images
    that are padded with zeros or in a layer without bias, all units stay: pruned, the network is what it was.
    ``structure``: what may be other than 0 until now; None: all.
    """
    weights = {link.name: replica.parameters.by_name[f"{link.name}.weight"] for link in chain.links}
    masks = pruning.masks(weights, threshold, num_weights=chain.num_weights)
    for name, weight in weights.items():
        weight.mul_(masks[name])
        bias = replica.parameters.by_name.get(f"{name}.bias")
        if weight.ndim > 3 and bias is not None:  # as pruning.drop_filters: a filter without weights puts out 0
            bias.mul_(masks[name].flatten(2).any(2))
    left = _without_dead(replica, chain, alive)
    reads = replica.reads(samples) if left.differs_from(alive) else {}
    if not reads or _is_taken_up(replica, chain.links, alive, left, reads):
        fold_means_(replica, chain, alive, left, reads)
        stays = structure_of(replica, chain, left)
    else:
        stays = torch.ones_like(replica.values, dtype=torch.bool) if structure is None else structure.bool()
    views = replica.parameters.views(stays)
    for name, mask in masks.items():
        views[f"{name}.weight"] &= mask
        if mask.ndim > 3 and f"{name}.bias" in views:
            views[f"{name}.bias"] &= mask.flatten(2).any(2)
    return stays


def drop_what_is_dead_(replica: NarrowReplica, chain: Chain, alive: Alive, samples: Tensor) -> Alive:
    """Remove what lies on no path of weights other than 0 from an input to an output, and return what there is then.

    What such a unit gives is the same for all samples: it goes into the biases behind it. Where a layer without bias
    reads it, nothing goes. ``samples``: inputs of the network, ``[S, ...]``.
    """
    left = _without_dead(replica, chain, alive)
    if not left.differs_from(alive):
        return left
    reads = replica.reads(samples)
    without_bias = [link for link in chain.links if not link.has_bias]
    if not _is_taken_up(replica, without_bias, alive, left, reads):
        return alive
    fold_means_(replica, chain, alive, left, reads)
    return left


def _without_dead(replica: NarrowReplica, chain: Chain, alive: Alive) -> Alive:
    weights = {link.name: replica.parameters.by_name[f"{link.name}.weight"][0] for link in chain.links}
    return _on_paths(chain, alive, {name: between(weight != 0).numpy() for name, weight in weights.items()})


def _is_taken_up(
    replica: NarrowReplica, links: Sequence[Link], before: Alive, after: Alive, reads: dict[str, Tensor]
) -> bool:
    """Whether biases can stand in exactly for the inputs of these layers that go; see ``fold_means_``."""
    parameters = replica.parameters.by_name
    for link in links:
        gone = torch.from_numpy(before.inputs[link.name] & ~after.inputs[link.name])
        weight = between(parameters[f"{link.name}.weight"][0] != 0)
        read = gone & weight[torch.from_numpy(after.units[link.name])].any(0)
        values = reads[link.name].transpose(0, 1).flatten(1)[read.to(replica.values.device)]
        if values.numel() == 0:
            continue
        low, high = values.amin(1), values.amax(1)
        largest = torch.maximum(low.abs(), high.abs())
        has_to_be_zero = link.pads or not link.has_bias
        if not bool((high - low <= _SAME * largest).all()) or (has_to_be_zero and bool((largest > 0).any())):
            return False
    return True


def _on_paths(chain: Chain, alive: Alive, masks: dict[str, Flags]) -> Alive:
    """What lies on a path of weights from an input to an output. A first convolution's channels stay.

    ``masks``: ``[n_out, n_in]`` by layer.
    """
    left = alive.copy()
    arriving = alive.inputs[chain.links[0].name]
    for link in chain.links:
        mask, owner = masks[link.name], alive.owners[link.name]
        arriving = np.asarray((mask & arriving[owner]).any(1))
        if link is not chain.links[-1]:
            left.units[link.name] &= arriving
    for link in reversed(chain.links):
        before, owner = chain.before(link), alive.owners[link.name]
        if before is not None or link.is_matrix:
            left.inputs[link.name] &= (masks[link.name] & left.units[link.name][:, None]).any(0)
        if before is not None:
            left.units[before.name] &= np.isin(np.arange(len(left.units[before.name])), owner[left.inputs[link.name]])
            left.inputs[link.name] &= left.units[before.name][owner]
    return left


def fold_means_(replica: NarrowReplica, chain: Chain, before: Alive, after: Alive, reads: dict[str, Tensor]) -> None:
    """Add to the biases what the inputs that go have given on average: exact where an input is constant.

    For a convolution that pads, exact but at the border. A layer without bias is left as it is. ``reads``: what each
    layer reads, ``[S, n, ...]``.
    """
    parameters = replica.parameters.by_name
    for link in chain.links:
        gone = torch.from_numpy(before.inputs[link.name] & ~after.inputs[link.name])
        if link.has_bias and bool(gone.any()):
            weight = parameters[f"{link.name}.weight"][0]
            mean = scores.means(reads[link.name]).where(gone.to(weight.device), 0)
            parameters[f"{link.name}.bias"][0] += weight.flatten(2).sum(2) @ mean if weight.ndim > 2 else weight @ mean


def structure_of(replica: NarrowReplica, chain: Chain, alive: Alive) -> Tensor:
    """Return where a parameter of what is alive stands, ``[1, p]``; parameters of other layers stay."""
    structure = torch.ones_like(replica.values, dtype=torch.bool)
    views = replica.parameters.views(structure)
    for link in chain.links:
        units = torch.from_numpy(alive.units[link.name]).to(structure.device)
        inputs = torch.from_numpy(alive.inputs[link.name]).to(structure.device)
        weight = views[f"{link.name}.weight"][0]
        weight[~units] = False
        weight[:, ~inputs] = False
        if f"{link.name}.bias" in views:
            views[f"{link.name}.bias"][0, ~units] = False
    return structure
