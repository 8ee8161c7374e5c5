"""Any ``nn.Module`` in any training loop: its penalty, pruning in place, and what pruning leaves of it.

All are of the module's fully connected layers (``nn.Linear``), or of the layers that are named.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dn_distributed import pruning, random_weights, regularizers, sparsity
from dn_distributed.chains import forward_order, is_chain
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import check_groups, parts_of_filters, select
from dn_distributed.regularizers.base import as_number
from dn_distributed.regularizers.dropout import NAMES as DROPOUTS


def penalty(
    module: nn.Module,
    /,
    *,
    layers: Sequence[str] | None = None,
    dn: float = 0.0,
    dn_incoming: float = 0.0,
    dn_outgoing: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    **others: float,
) -> Tensor:
    """Return the sum of the penalties with these coefficients, to be added to the loss: one differentiable number.

    The gradient is finite for finite weights, where rows, columns or whole layers are exactly zero too.

    - ``layers`` names the layers that are penalised, ``nn.Linear`` or ``nn.Conv2d``; None: every ``nn.Linear``.
    - ``dn`` sets ``dn_incoming`` and ``dn_outgoing``.
    - ``dn_incoming`` is multiplied by the Euclidean norms of the weights that enter each neuron (paper, dropping
      principle 2), ``dn_outgoing`` by those of the weights that leave it (principle 3).
    - ``l1`` is multiplied by the sum of the absolute weights and biases, ``l2`` by half the sum of their squares.
    - ``others`` are coefficients of other penalties by their names, as of those that ``register_penalty`` was given.

    ArgumentError for an unknown penalty or layer, and for a coefficient that is no number, negative or infinite.
    """
    named = {"dn": dn, "dn_incoming": dn_incoming, "dn_outgoing": dn_outgoing, "l1": l1, "l2": l2, **others}
    if not named.keys().isdisjoint(DROPOUTS):
        raise ArgumentError("dropout is no penalty: put nn.Dropout into the network")
    if random := {"l0", *random_weights.COEFFICIENTS} & named.keys():
        raise ArgumentError(f"{min(random)} is no penalty of weights as they are: it makes them random, in sweeps")
    numbers = {name: as_number(name, value) for name, value in named.items()}
    chosen = regularizers.resolve({name: value for name, value in numbers.items() if value or name in others})
    terms = [term(module, layers) for term in regularizers.build_penalties(chosen)]
    return torch.stack(terms).sum() if terms else next(iter(select(module, layers).values())).weight.new_zeros(())


def masks(module: nn.Module, threshold: float, *, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return by layer a boolean tensor, as its weight's shape, of the weights that pruning at ``threshold`` leaves.

    Left are those with ``|w| >= threshold`` that are not 0 (paper, dropping principle 1). ``layers`` as for
    ``penalty``. ArgumentError for a threshold that is no number ≥ 0, and for weights that are not finite.
    """
    return pruning.masks(_weights(module, layers), threshold)


def prune(module: nn.Module, threshold: float, *, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Set weights below ``threshold`` to 0 in place and return the masks of those that are left: see ``masks``.

    A filter of which no weight is left emits 0: its bias goes with it, and gain and shift of the normalisation that
    directly follows, where ``forward`` can be followed. A module that is trained further moves all of them away from 0
    again.
    """
    left = masks(module, threshold, layers=layers)
    chosen, parameters = select(module, layers), dict(module.named_parameters())
    with torch.no_grad():
        for name, layer in chosen.items():
            layer.weight.masked_fill_(~left[name], 0)
        for name, value in pruning.drop_filters(parameters, left, parts_of_filters(module, tuple(chosen))).items():
            parameters[name].copy_(value)
    return left


def count(
    module: nn.Module,
    threshold: float = 0.0,
    *,
    layers: Sequence[str] | None = None,
    example_input: Tensor | None = None,
) -> sparsity.NetworkCounts:
    """Return what pruning at ``threshold`` leaves of a chain of layers, as ``dn measure`` does.

    ``layers`` names them in forward order, ``nn.Linear`` or ``nn.Conv2d``; None: every ``nn.Linear``, in the order that
    ``forward`` shows. It is then run once on a copy of the module, without numbers: meanwhile no other thread may run a
    network. Layers that are named and no chain, as of a residual network or where a normalisation of all units together
    stands between two, are counted each for itself: alive is what has a weight. Where ``forward`` cannot be followed,
    naming fully connected layers says that they are a chain; with a convolution among them sizes tell.

    With ``example_input``, a batch ``[B, ...]``, alive of layers that are no chain is what ``compact`` would leave:
    units that are added to one another live and die together, and the network's outputs all stay. Of a chain those
    units are alive too whose constant ends at the border of a convolution that pads with zeros.

    ArgumentError where the order cannot be known, where layers do not fit one another, where the network cannot be
    followed on the example, and as ``masks``.
    """
    names = forward_order(module) or None if layers is None else layers
    chosen = select(module, names)
    check_groups(chosen)
    left = masks(module, threshold, layers=names)
    if example_input is None:
        return sparsity.count(left, chain=is_chain(module, tuple(chosen)))
    return _count_with_example(module, threshold, left, example_input)


def _count_with_example(
    module: nn.Module, threshold: float, left: dict[str, Tensor], example_input: Tensor
) -> sparsity.NetworkCounts:
    from dn_distributed.compaction.graph import copied
    from dn_distributed.compaction.needed import count_needed, count_needed_of_chain, is_shown_chain

    layers, pruned = tuple(left), copied(module)
    prune(pruned, threshold, layers=layers)
    if is_shown_chain(module, example_input, layers):
        return sparsity.count(left, needed=count_needed_of_chain(pruned, example_input, left))
    return sparsity.count(left, chain=False, needed=count_needed(pruned, example_input, layers))


def _weights(module: nn.Module, layers: Sequence[str] | None) -> dict[str, Tensor]:
    weights = {name: layer.weight.detach() for name, layer in select(module, layers).items()}
    pruning.check_finite(weights)
    return weights
