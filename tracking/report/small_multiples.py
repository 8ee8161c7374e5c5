"""A small scatter of each sweep for the page over all: score against weights left, a mark a method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracking.figures.method_styles import MethodStyle, method_styles
from tracking.manifest import Manifest

WIDTH, HEIGHT = 240, 130
"""Of the picture, in its own units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 14, 226, 14, 116
_SHAPES = {
    "o": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "s": "M-4.5,-4.5H4.5V4.5H-4.5Z",
    "^": "M0,-5.5L5.5,4.5H-5.5Z",
    "D": "M0,-6L6,0L0,6L-6,0Z",
    "v": "M0,5.5L5.5,-4.5H-5.5Z",
    "P": "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "X": "M-6,-3.5L-3.5,-6L0,-2.5L3.5,-6L6,-3.5L2.5,0L6,3.5L3.5,6L0,2.5L-3.5,6L-6,3.5L-2.5,0Z",
    "<": "M-5.5,0L4.5,-5.5V5.5Z",
    ">": "M5.5,0L-4.5,-5.5V5.5Z",
}
"""Paths by the names that ``method_styles`` has for markers."""


@dataclass(frozen=True)
class Measured:
    """What is shown of a method: its figures, and how they read."""

    label: str
    score: float
    left: float
    score_text: str
    left_text: str


@dataclass(frozen=True)
class Mark:
    """A method in a picture, and in the list below it."""

    label: str
    text: str
    x: float
    y: float
    color: str
    path: str


@dataclass(frozen=True)
class Scatter:
    """The picture of a sweep. Higher is a higher score, further right is more left."""

    marks: tuple[Mark, ...]
    score: str
    """From the lowest to the highest, in words."""
    left: str
    """From the least to the most, in words."""


def scatter(manifest: Manifest, measured: Sequence[Measured]) -> Scatter | None:
    """Return the picture of a sweep; None where no method has both figures."""
    shown = [item for item in measured if math.isfinite(item.score) and math.isfinite(item.left)]
    if not shown:
        return None
    styles = method_styles(manifest.methods)
    is_error = not manifest.score_higher_is_better
    across = _places([item.left for item in shown], _LEFT, _RIGHT, logarithmic=True)
    up = _places([item.score for item in shown], _BOTTOM, _TOP, logarithmic=is_error)
    places = zip(shown, across, up, strict=True)
    marks = tuple(_mark(manifest, item, styles[item.label], x, y) for item, x, y in places)
    by_score, by_left = (sorted(shown, key=key) for key in (lambda item: item.score, lambda item: item.left))
    return Scatter(
        marks,
        _range(by_score[0].score_text, by_score[-1].score_text),
        _range(by_left[0].left_text, by_left[-1].left_text),
    )


def _mark(manifest: Manifest, item: Measured, marks: MethodStyle, x: float, y: float) -> Mark:
    text = f"{item.label}: {manifest.score} {item.score_text}, {item.left_text} % of the weights left"
    return Mark(item.label, text, round(x, 1), round(y, 1), marks.color, _SHAPES[marks.marker])


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _places(values: Sequence[float], start: float, end: float, *, logarithmic: bool) -> list[float]:
    """Where values stand between two ends; those without a logarithm at the start."""
    positive = [value for value in values if value > 0]
    if logarithmic and positive:
        values = [math.log(max(value, min(positive))) for value in values]
    low, high = min(values), max(values)
    return [start + (end - start) * ((value - low) / (high - low) if high > low else 0.5) for value in values]
