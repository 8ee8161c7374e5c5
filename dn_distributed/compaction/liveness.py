"""Which units a network needs: those that are read on the way to an output and do not emit a constant."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from dn_distributed.compaction.units import Channels, LayerUse, Structure


@dataclass(frozen=True)
class Liveness:
    """What stays of a network. All tensors are boolean."""

    structure: Structure
    live: Tensor
    """By root unit: whether a live unit or an output reads it."""
    kept: Tensor
    """By root unit: whether it stays. Besides the live ones those that keep a layer from having no unit at all."""
    causes: dict[int, str]
    """By root unit why it is live: what is said of it where no weight enters it."""

    def keeps(self, channels: Channels) -> Tensor:
        """Return by channel whether it stays."""
        return self.kept[self.structure.units.roots(channels.units)]

    def is_live(self, channels: Channels) -> Tensor:
        """Return by channel whether it is live."""
        return self.live[self.structure.units.roots(channels.units)]

    def reads(self, use: LayerUse) -> Tensor:
        """Return by input of a layer whether a live output of it reads it, ``[inputs]``."""
        return _reads(self.structure, use, self.live)


def find_live(structure: Structure) -> Liveness:
    """Return the fewest units that give the same outputs.

    Begins with what must stay, and adds what that reads until nothing is added: units that only read one another,
    as along a residual stream, are not live.
    """
    live = torch.zeros(len(structure.units), dtype=torch.bool)
    causes: dict[int, str] = {}
    for units, why in structure.pinned:
        _revive(structure, live, causes, units, why)
    changed = True
    while changed:
        changed = False
        for use in reversed(structure.layers):
            if use.inputs is not None:
                reads, known, name = _reads(structure, use, live), use.inputs.known, str(use.node.target)
                for units, why in _why_read(structure, name, use.inputs.units[reads & ~known]):
                    changed |= _revive(structure, live, causes, units, why)
                border = f"{name!r} pads with zeros, so that the constant that they emit ends at the border"
                changed |= _revive(structure, live, causes, use.inputs.units[reads & known], border)
    return Liveness(structure, live, _without_empty_layers(structure, live), causes)


def _why_read(structure: Structure, name: str, units: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Yield units that a layer reads, and why they stay where no weight enters them: by what they are united with."""
    roots, parts = structure.units.roots, defaultdict[str, list[Tensor]](list)
    for others, what in structure.coupled:
        parts[what].append(others)
    is_with = {what: torch.isin(roots(units), roots(torch.cat(others))) for what, others in parts.items()}
    for chosen in itertools.product((False, True), repeat=len(is_with)):
        among = torch.ones(len(units), dtype=torch.bool)
        for is_chosen, found in zip(chosen, is_with.values(), strict=True):
            among &= found == is_chosen
        of = ["of them", *itertools.compress(is_with, chosen)]
        yield units[among], f"what {name!r} reads {', or '.join(of)}{',' * (len(of) > 1)} is not constant"


def _revive(structure: Structure, live: Tensor, causes: dict[int, str], units: Tensor, why: str) -> bool:
    roots = structure.units.roots(units)
    new = torch.unique(roots[~live[roots]])
    live[new] = True
    causes.update(dict.fromkeys(new.tolist(), why))
    return bool(len(new))


def _reads(structure: Structure, use: LayerUse, live: Tensor) -> Tensor:
    assert use.inputs is not None
    rows = live[structure.units.roots(use.outputs.units)]
    return use.reads[rows].any(0) & ~use.folds()


def _without_empty_layers(structure: Structure, live: Tensor) -> Tensor:
    """The live units, and one unit where a layer that stays would read none: torch has no layer of no inputs."""
    kept = live.clone()
    roots = structure.units.roots
    for use in reversed(structure.layers):
        stays = bool(kept[roots(use.outputs.units)].any())
        if use.inputs is not None and stays and not kept[roots(use.inputs.units)].any():
            kept[roots(use.inputs.units[:1])] = True
    return kept


def is_constant(channels: Channels | None) -> bool:
    """Return whether a whole value is constant."""
    return channels is not None and bool(channels.known.all())


def constant_terms(structure: Structure, node: fx.Node) -> list[fx.Node]:
    """Return what a sum or product of two takes that is wholly constant, where the other is not."""
    constant = [other for other in node.all_input_nodes if is_constant(structure.channels[other])]
    return constant if len(constant) == 1 else []
