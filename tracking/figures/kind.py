"""A kind of figure, as each file of this package describes the one that it draws."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from matplotlib.figure import Figure

from tracking.figures.values import FigureData


@dataclass(frozen=True)
class Kind:
    """One figure of a report."""

    name: str
    """Of its file."""
    heading: str
    caption: str
    """A sentence; ``{seeds}`` stands for the seeds whose networks are shown."""
    draw: Callable[[FigureData], Figure | None]
    """None where the figure does not apply."""
    in_words: Callable[[FigureData], Iterable[str]]
    """Of each method, in a few words with numbers, what the figure shows: its alternative text."""
    of_rows: bool = False
    """Whether rows and threshold curves are enough for it; the others need the store."""
