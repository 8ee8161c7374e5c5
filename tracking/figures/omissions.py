"""What a figure does not show, in sentences under it: nothing is left out without a word."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tracking.figures import style
from tracking.results.cells import CellResult, MethodResult

_FEW = 5  # seeds that are named
_LETTERS = 30  # of a label


def sentence(what: str, counts: Iterable[tuple[str, int, int, str]]) -> list[str]:
    """Return the sentence that something is so of some of the methods: by label the count, of how many, which.

    No sentence where it is so of none.
    """
    parts = [
        f"{style.short(label, _LETTERS)} {count} of {whole}{f' ({which})' * bool(which)}"
        for label, count, whole, which in counts
    ]
    return [f"{what}: {', '.join(parts)}."] if parts else []


def seeds(found: Sequence[int]) -> str:
    """Return seeds by name where they are few."""
    return f"seed{'s' * (len(found) > 1)} {', '.join(map(str, sorted(found)))}" if 0 < len(found) <= _FEW else ""


def not_finished(shown: Mapping[str, Sequence[CellResult]]) -> list[str]:
    """Tell which methods lack networks that the sweep asks for, and why."""
    counted = [(label, *_finished(results)) for label, results in shown.items()]
    return sentence("Only finished networks are shown", [item for item in counted if item[1] < item[2]])


def chosen(methods: Iterable[MethodResult]) -> dict[str, list[CellResult]]:
    """Return by label the networks that stand for a method, for ``not_finished``."""
    return {m.label: [m.chosen] for m in methods if m.chosen is not None and m.chosen.cell.baseline is None}


def _finished(results: Sequence[CellResult]) -> tuple[int, int, str]:
    """How many networks are finished, of how many, and what became of the others."""
    expected, finished = sum(result.num_expected for result in results), sum(len(result.rows) for result in results)
    ended = [item for result in results for item in result.ended]
    states = Counter[str](item.state for item in ended)
    states["missing"] = expected - finished - len(ended)
    failed = [item.seed for item in ended if item.state == "failed"] if len(results) == 1 else []
    parts = [f"{count} {state}" for state, count in states.items() if count > 0]
    return finished, expected, ", ".join([*parts, *filter(None, [seeds(failed)])])
