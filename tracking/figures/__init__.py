"""The figures of a sweep: ``gather`` reads from the store what they show, ``draw`` draws those that apply.

To add one: a file beside these with its ``KIND`` (name, heading, caption, drawing), and its place in ``FIGURES``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tracking.figures.plain_matplotlib import Figure  # isort: skip - before anything of matplotlib
from tracking.figures import (
    coefficients,
    encodings,
    network,
    neurons,
    pareto,
    patterns,
    pixels,
    reconstructions,
    tradeoff,
    training,
    weights,
)
from tracking.figures.collect import gather
from tracking.figures.kind import Kind
from tracking.figures.style import MAX_BYTES, as_png, as_svg
from tracking.figures.values import FigureData

__all__ = ["FIGURES", "MAX_BYTES", "Drawn", "FigureData", "Kind", "as_png", "as_svg", "draw", "gather"]

FIGURES: tuple[Kind, ...] = (
    tradeoff.KIND,
    pareto.KIND,
    neurons.KIND,
    network.KIND,
    patterns.KIND,
    weights.KIND,
    pixels.KIND,
    reconstructions.KIND,
    encodings.KIND,
    coefficients.KIND,
    training.KIND,
)
"""In the order of a report."""


@dataclass(frozen=True)
class Drawn:
    """A figure that applies, as a report shows it."""

    name: str
    heading: str
    caption: str
    figure: Figure
    in_words: tuple[str, ...]
    """What it shows of each method."""


def draw(data: FigureData) -> Iterator[Drawn]:
    """Yield the figures that apply, in the order of a report."""
    seeds = _seeds(data)
    for kind in FIGURES:
        figure = kind.draw(data)
        if figure is not None:
            caption = kind.caption.format(seeds=seeds)
            yield Drawn(kind.name, kind.heading, caption, figure, tuple(kind.in_words(data)))


def _seeds(data: FigureData) -> str:
    by_label = {item.label: item.seed for item in data.trained}
    different = set(by_label.values())
    if len(different) == 1:
        return f"seed {different.pop()}"
    return "first finished seed (" + ", ".join(f"{label}: {seed}" for label, seed in by_label.items()) + ")"
