"""What a figure leaves out, in sentences under it: nothing is left out without a word."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tracking.figures import style
from tracking.results.cells import CellResult, MethodResult

_FEW = 5  # seeds that are named
_LETTERS = 30  # of a label


class Count(NamedTuple):
    """Of how many of a method's networks, points or seeds something is so."""

    label: str
    """Of the method."""
    number: int
    of: int
    which: str = ""
    """Which they are, where they are few."""


def so_many(what: str, counts: Iterable[Count]) -> list[str]:
    """Return the sentence that something is so of some of the methods; none where it is so of no method."""
    return _sentence(what, (count for count in counts if count.number))


def not_all(what: str, counts: Iterable[Count]) -> list[str]:
    """Return the sentence that something is not so of all that it should be; none where it is."""
    return _sentence(what, (count for count in counts if count.number < count.of))


def _sentence(what: str, counts: Iterable[Count]) -> list[str]:
    parts = [
        f"{style.short(label, _LETTERS)} {number} of {whole}{f' ({which})' * bool(which)}"
        for label, number, whole, which in counts
    ]
    return [f"{what}: {', '.join(parts)}."] if parts else []


def seeds(found: Sequence[int]) -> str:
    """Return which seeds they are, where they are few; else nothing."""
    return f"seed{'s' * (len(found) > 1)} {', '.join(map(str, sorted(found)))}" if 0 < len(found) <= _FEW else ""


def not_finished(shown: Mapping[str, Sequence[CellResult]]) -> list[str]:
    """Return which methods lack networks that the sweep asks for, and why. ``shown``: by label."""
    return not_all("Only finished networks are shown", (_finished(*item) for item in shown.items()))


def chosen(methods: Iterable[MethodResult]) -> dict[str, list[CellResult]]:
    """Return by label the networks that stand for a method, for ``not_finished``."""
    return {m.label: [m.chosen] for m in methods if m.chosen is not None and m.chosen.cell.baseline is None}


def _finished(label: str, results: Sequence[CellResult]) -> Count:
    """How many networks are finished, and what became of the others."""
    expected, finished = sum(result.num_expected for result in results), sum(len(result.rows) for result in results)
    ended = [item for result in results for item in result.ended]
    states = Counter[str](item.state for item in ended)
    states["missing"] = expected - finished - len(ended)
    failed = [item.seed for item in ended if item.state == "failed"] if len(results) == 1 else []
    parts = [f"{count} {state}" for state, count in states.items() if count > 0]
    return Count(label, finished, expected, ", ".join([*parts, *filter(None, [seeds(failed)])]))
