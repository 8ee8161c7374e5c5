"""How methods are drawn: the same one the same way in every figure, and mostly in every sweep."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dn_distributed.labels import SHORTHANDS
from tracking.manifest import ManifestMethod


class MethodStyle(NamedTuple):
    """How a method is drawn."""

    color: str
    marker: str
    line: str
    hatch: str
    """Of bars, which have no marker."""


_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c38600", "#4a9dcd", "#000000")
"""Okabe and Ito's palette, safe for colour-blind readers, without its yellow, and with a darker orange and sky blue:
each has a contrast of 3 or more to white (WCAG 2, 1.4.11: graphics)."""
_LINES = ("-", "--", ":")
_HATCHES = ("", "///", "...")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

_PART = {part: short for short, parts in SHORTHANDS.items() for part in parts} | {"l2": "l2_as_scripted"}
_USUAL: tuple[frozenset[str], ...] = tuple(
    map(frozenset, (("l1", "dn"), ("l1", "dropout"), ("dropout",), ("l1",), (), ("dn",), ("l2_as_scripted",)))
)
"""What a method regularises with, by the place in the palette that it has wherever that is free."""


def method_styles(methods: Sequence[ManifestMethod]) -> Mapping[str, MethodStyle]:
    """Return how each method is drawn of a sweep, by label; no two have the same.

    What a method regularises with decides, whatever it is called: methods as the paper describes them choose first,
    then those that do as a published script does; the others, and classical baselines, take what is left in order.
    """
    places: dict[str, int] = {}
    for method in sorted(methods, key=lambda method: bool(method.fault)):
        kind = _kind(method)
        if kind in _USUAL and _USUAL.index(kind) not in places.values():
            places[method.label] = _USUAL.index(kind)
    free = (place for place in itertools.count() if place not in places.values())
    return {method.label: _style(places[method.label] if method.label in places else next(free)) for method in methods}


def _kind(method: ManifestMethod) -> frozenset[str] | None:
    """What a network is regularised with; None for a classical baseline."""
    if any(cell.baseline is not None for cell in method.cells):
        return None
    return frozenset(_PART.get(name, name) for cell in method.cells for name in cell.regularization)


def _style(place: int) -> MethodStyle:
    row = place // len(_COLORS) % len(_LINES)
    return MethodStyle(_COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)], _LINES[row], _HATCHES[row])
