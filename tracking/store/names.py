"""Names of the user's that become parts of stored names: none may be taken for another, be cut, or lead elsewhere."""

import re
from collections.abc import Sequence

from dn_distributed.text import quoted
from tracking import schema

LAYER = r"[\w-]+(?:\.[\w-]+)*"
"""The name of a layer, which is also that of a file: nothing in it leads to another folder."""
LONGEST_LAYER, LONGEST_SCORE = 160, 100
"""Bytes, so that no name that is made with it is longer than a store or a file system keeps."""
_SCORE = re.compile(r"[\w :-][\w. :-]*")
_OF_OURS = ("loss",)


def check_layer(name: str) -> str:
    """Return the name of a regularised layer. ValueError where its figures could not be kept apart from others."""
    if name == schema.INPUT:
        raise ValueError(
            f"layer {name!r} has the name under which figures of the network's inputs are stored: rename it"
        )
    _check_length("layer", name, LONGEST_LAYER)
    if re.fullmatch(LAYER, name) is None:
        raise ValueError(f"layer {quoted(name)}: a stored name has letters, digits, '_', '-' and '.' alone: rename it")
    return name


def check_scores(names: Sequence[str]) -> None:
    """ValueError where the scores of a task could not be stored side by side, each under its name."""
    for place, name in enumerate(names):
        if name in _OF_OURS or name in names[:place]:
            taken = "the name of what is trained on" if name in _OF_OURS else "the name of another score"
            raise ValueError(f"score {quoted(name)} has {taken}, and would be stored in its place: rename it")
        _check_length("score", name, LONGEST_SCORE)
        if _SCORE.fullmatch(name) is None:
            raise ValueError(f"score {quoted(name)}: a stored name has letters, digits, '_', '-' and '.': rename it")


def _check_length(what: str, name: str, longest: int) -> None:
    if len(name.encode()) > longest:
        raise ValueError(f"{what} {quoted(name)}: its name is longer than {longest} bytes: rename it")
