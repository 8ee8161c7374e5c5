"""Which units go next: those that are worth least for what they cost, until the network is as small as it is to be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dn_distributed.dropping.chain import Chain, Link, Measure

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

_OVERSHOOT = 0.02
"""A removal that makes a network smaller than it is to be by more than this share waits for the next time: if cheaper
ones went instead, large units would stay to the end."""


@dataclass
class Alive:
    """Which inputs of each layer, and which of its units, are there; of a layer without features these are one."""

    inputs: dict[str, Flags]
    units: dict[str, Flags]
    owners: Mapping[str, Indices]
    """By layer which unit of the layer before each input comes from."""

    def copy(self) -> "Alive":
        """Return the same, to be changed."""
        inputs = {name: flags.copy() for name, flags in self.inputs.items()}
        return Alive(inputs, {name: flags.copy() for name, flags in self.units.items()}, self.owners)

    def differs_from(self, other: "Alive") -> bool:
        """Return whether anything is there that is not there in another one, or the other way round."""
        pairs = ((self.inputs, other.inputs), (self.units, other.units))
        return any(not np.array_equal(mine[name], others[name]) for mine, others in pairs for name in mine)

    def size(self, chain: Chain, measure: Measure) -> float:
        """Return how large the network is."""
        inputs = {name: int(flags.sum()) for name, flags in self.inputs.items()}
        return chain.size(inputs, {name: int(flags.sum()) for name, flags in self.units.items()}, measure)

    def remove_input(self, link: Link, number: int, before: Link | None) -> None:
        """Take away one input of a layer; the unit that sends it goes with its last input."""
        self.inputs[link.name][number] = False
        if before is not None:
            owner = self.owners[link.name][number]
            if not self.inputs[link.name][self.owners[link.name] == owner].any():
                self.units[before.name][owner] = False

    def remove_unit(self, link: Link, number: int, before: Link) -> None:
        """Take away a unit of the layer before, with all inputs that come from it."""
        self.units[before.name][number] = False
        self.inputs[link.name][self.owners[link.name] == number] = False


@dataclass(frozen=True)
class _Candidates:
    """Inputs of a layer, or units of the layer before."""

    link: Link
    before: Link | None
    are_units: bool
    worth: Numbers = field(compare=False)
    """Changed by whoever compensates for what has gone."""

    def there(self, alive: Alive) -> Flags:
        if self.are_units:
            assert self.before is not None
            return alive.units[self.before.name]
        return alive.inputs[self.link.name]

    def savings(self, alive: Alive, chain: Chain, measure: Measure) -> Numbers:
        """What the network gets smaller by without each of them."""
        inputs, units = alive.inputs[self.link.name], alive.units[self.link.name]
        here = chain.cost(self.link, measure) * float(units.sum())
        if not self.are_units:
            return np.full(len(self.worth), 1.0 if measure == "units" else here)
        assert self.before is not None
        if measure == "units":
            return np.ones(len(self.worth))
        read = np.bincount(alive.owners[self.link.name][inputs], minlength=len(self.worth))
        entering = chain.cost(self.before, measure) * float(alive.inputs[self.before.name].sum())
        return np.asarray(entering + here * read, dtype=np.float64)


def choose(
    chain: Chain,
    alive: Alive,
    worth: Mapping[str, tuple[Numbers, Numbers]],
    goal: float,
    measure: Measure,
    *,
    last: bool,
    removed: Callable[[Link, int], None] = lambda _link, _number: None,
) -> None:
    """Take from ``alive`` until the network is no larger than ``goal``. The last unit of a layer stays.

    ``worth``: by layer of its inputs, and of the units of the layer before. ``last``: reach the goal even where that
    means to be far below it. ``removed`` is called after each removal, with the layer and the input, and may change
    ``worth``.
    """
    candidates = _candidates(chain, worth, measure)
    size = alive.size(chain, measure)
    while size > goal:
        most = size - goal * (1 - _OVERSHOOT)
        options = [_Option(group, group.there(alive), group.savings(alive, chain, measure)) for group in candidates]
        best = _best(options, np.inf)
        if best is None or (best.saving > most and not last):
            return
        if best.saving > most:
            best = _best(options, most) or _best(options, np.inf, by_saving=True)
        assert best is not None
        group, number = best.group, best.number
        if group.are_units:
            assert group.before is not None
            alive.remove_unit(group.link, number, group.before)
        else:
            alive.remove_input(group.link, number, group.before)
        removed(group.link, number)
        size = alive.size(chain, measure)


@dataclass(frozen=True)
class _Option:
    group: _Candidates
    there: Flags
    savings: Numbers


@dataclass(frozen=True)
class _Best:
    rank: float
    group: _Candidates
    number: int
    saving: float


def _best(options: Sequence[_Option], most: float, *, by_saving: bool = False) -> _Best | None:
    """What is worth least for what it saves, or saves least, and saves ``most`` at most; None where all must stay."""
    found: _Best | None = None
    for option in options:
        allowed = option.there & (option.savings > 0) & (option.savings <= most)
        if option.there.sum() <= 1 or not allowed.any():
            continue
        ranks = option.savings if by_saving else option.group.worth / np.maximum(option.savings, 1e-300)
        # among those allowed alone: what they are worth may be infinite, or no number, in a replicate that diverges
        number = int(np.flatnonzero(allowed)[ranks[allowed].argmin()])
        if found is None or ranks[number] < found.rank:
            found = _Best(float(ranks[number]), option.group, number, float(option.savings[number]))
    return found


def _candidates(chain: Chain, worth: Mapping[str, tuple[Numbers, Numbers]], measure: Measure) -> list[_Candidates]:
    found = []
    for link in chain.links:
        before = chain.before(link)
        of_inputs, of_units = worth[link.name]
        if before is not None:
            found.append(_Candidates(link, before, True, of_units))
        has_own_inputs = link.is_matrix and (before is None or link.features > 1)
        if has_own_inputs and not (measure == "units" and before is not None):
            found.append(_Candidates(link, before, False, of_inputs))
    return found
