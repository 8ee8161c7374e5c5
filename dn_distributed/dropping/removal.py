"""Takes units out of a small network for good, and lets the biases behind them stand in for their means."""

import torch
from torch import Tensor

from dn_distributed import pruning
from dn_distributed.config import Drop
from dn_distributed.dropping import scores
from dn_distributed.dropping.chain import Chain
from dn_distributed.dropping.choice import Alive, choose
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.dropping.second_order import SecondOrder


def alive_in(replica: NarrowReplica, chain: Chain, structure: Tensor | None) -> Alive:
    """Return what of a small network is there. ``structure``: what may be other than 0, ``[1, p]``; None: all."""
    owners = {link.name: scores.owners(replica, link, chain).numpy() for link in chain.links}
    inputs = {link.name: len(replica.left.inputs[link.name]) for link in chain.links}
    units = {link.name: len(replica.left.units[link.name]) for link in chain.links}
    alive = Alive(
        {name: torch.ones(n, dtype=torch.bool).numpy() for name, n in inputs.items()},
        {name: torch.ones(n, dtype=torch.bool).numpy() for name, n in units.items()},
        owners,
    )
    if structure is None:
        return alive
    masks = replica.parameters.views(structure.bool().cpu())
    for link in chain.links:
        mask = masks[f"{link.name}.weight"][0].reshape(units[link.name], inputs[link.name], -1).any(2)
        if link.is_matrix or chain.before(link) is not None:
            alive.inputs[link.name] &= mask.any(0).numpy()
        if link is not chain.links[-1]:
            alive.units[link.name] &= mask.any(1).numpy()
    return alive


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
    signals = replica.signals(*samples, of_outputs=False)
    found = scores.by_norm(replica, chain) if drop.score == "norm" else scores.by_taylor(replica, chain, signals)
    worth = {
        name: (item.inputs.double().cpu().numpy(), item.units.double().cpu().numpy()) for name, item in found.items()
    }
    choose(chain, left, worth, goal, drop.of, last=last)
    fold_means_(replica, chain, alive, left, {name: scores.means(values) for name, (values, _) in signals.items()})
    return left


def drop_what_pruning_leaves_dead_(
    replica: NarrowReplica, chain: Chain, alive: Alive, threshold: pruning.Cut, samples: tuple[Tensor, Tensor]
) -> Tensor:
    """Prune the weights, remove what then lies on no path, and return what may be other than 0 from now on, ``[1, p]``.

    What such a unit gives is the same for all samples: it goes into the biases behind it.
    """
    weights = {link.name: replica.parameters.by_name[f"{link.name}.weight"] for link in chain.links}
    masks = pruning.masks(weights, threshold, num_weights=chain.num_weights)
    for name, weight in weights.items():
        weight.mul_(masks[name])
        bias = replica.parameters.by_name.get(f"{name}.bias")
        if weight.ndim > 3 and bias is not None:  # as pruning.drop_filters: a filter without weights puts out 0
            bias.mul_(masks[name].flatten(2).any(2))
    matrices = {name: mask[0].reshape(*mask.shape[1:3], -1).any(2) for name, mask in masks.items()}
    left = _on_paths(chain, alive, matrices)
    signals = replica.signals(*samples, of_outputs=False)
    fold_means_(replica, chain, alive, left, {name: scores.means(values) for name, (values, _) in signals.items()})
    structure = structure_of(replica, chain, left)
    views = replica.parameters.views(structure)
    for name, mask in masks.items():
        views[f"{name}.weight"] &= mask
    return structure


def _on_paths(chain: Chain, alive: Alive, masks: dict[str, Tensor]) -> Alive:
    """What lies on a path of weights from an input to an output; the inputs of the first layer stay as they are.

    ``masks``: ``[n_out, n_in]`` by layer.
    """
    left = alive.copy()
    arriving: Tensor | None = None
    for link in chain.links:
        owner = torch.from_numpy(alive.owners[link.name])
        mask = masks[link.name].cpu()
        arriving = (mask if arriving is None else mask & arriving[owner]).any(1)
        if link is not chain.links[-1]:
            left.units[link.name] &= arriving.numpy()
    for link in reversed(chain.links):
        before = chain.before(link)
        if before is None:
            break
        owner = torch.from_numpy(alive.owners[link.name])
        read = (masks[link.name].cpu() & torch.from_numpy(left.units[link.name])[:, None]).any(0)
        useful = torch.zeros(len(left.units[before.name]), dtype=torch.bool)
        useful[owner[read]] = True
        left.units[before.name] &= useful.numpy()
        left.inputs[link.name] &= left.units[before.name][alive.owners[link.name]]
    return left


def fold_means_(replica: NarrowReplica, chain: Chain, before: Alive, after: Alive, means: dict[str, Tensor]) -> None:
    """Add to the biases what the inputs that go have given on average: exact where an input is constant.

    For a convolution that pads, exact but at the border. A layer without bias is left as it is. ``means``: ``[n]`` by
    layer.
    """
    parameters = replica.parameters.by_name
    for link in chain.links:
        gone = torch.from_numpy(before.inputs[link.name] & ~after.inputs[link.name])
        if f"{link.name}.bias" in parameters and bool(gone.any()):
            weight = parameters[f"{link.name}.weight"][0]
            mean = means[link.name].where(gone.to(weight.device), 0)
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
