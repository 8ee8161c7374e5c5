"""Figures of a sweep: what each shows, in one list. To add one: a file beside these, and one entry below.

``evidence`` reads what they show from the store, and asks ``rerun`` what networks put out; the others draw it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracking.figures.plain_matplotlib import Figure  # isort: skip - before anything of matplotlib
from tracking.figures import coefficients, curves, digits, network, neurons, pareto, sparsity, tradeoff
from tracking.figures.evidence import Evidence, gather
from tracking.figures.style import MAX_BYTES, as_png

__all__ = ["FIGURES", "MAX_BYTES", "Drawn", "Evidence", "Kind", "as_png", "draw", "gather"]


@dataclass(frozen=True)
class Kind:
    """One figure of a report."""

    name: str
    """Of its file."""
    heading: str
    caption: str
    """A sentence; ``{seeds}`` stands for the seeds whose networks are shown."""
    draw: Callable[[Evidence], Figure | None]
    """None where the figure does not apply."""
    of_rows: bool = False
    """Whether rows and threshold curves are enough for it; the others need the store."""


FIGURES: tuple[Kind, ...] = (
    Kind(
        "tradeoff",
        "Density against score",
        tradeoff.CAPTION,
        lambda evidence: tradeoff.tradeoff(evidence.manifest, evidence.methods),
        of_rows=True,
    ),
    Kind(
        "pareto",
        "What is left at equal score",
        pareto.CAPTION,
        lambda evidence: pareto.pareto(evidence.manifest, evidence.methods, evidence.points()),
        of_rows=True,
    ),
    Kind(
        "neurons",
        "Neurons left per layer",
        neurons.CAPTION,
        lambda evidence: neurons.neurons(evidence.manifest, evidence.methods),
        of_rows=True,
    ),
    Kind(
        "network",
        "The network before and after dropping",
        network.CAPTION,
        lambda evidence: network.networks(evidence.trained),
    ),
    Kind("patterns", "Sparsity patterns", sparsity.PATTERNS, lambda evidence: sparsity.patterns(evidence.trained)),
    Kind("pixels", "Input pixels that are left", sparsity.PIXELS, lambda evidence: sparsity.pixels(evidence.trained)),
    Kind(
        "reconstructions",
        "Reconstructions",
        digits.RECONSTRUCTIONS,
        lambda evidence: digits.reconstructions(evidence.pictures),
    ),
    Kind("encodings", "Encodings", digits.ENCODINGS, lambda evidence: digits.encodings(evidence.pictures)),
    Kind(
        "coefficients",
        "Estimated coefficients",
        coefficients.CAPTION,
        lambda evidence: coefficients.estimates(evidence.manifest, evidence.estimates),
    ),
    Kind(
        "training", "Training", curves.CAPTION, lambda evidence: curves.training(evidence.manifest, evidence.histories)
    ),
)


@dataclass(frozen=True)
class Drawn:
    """A figure that applies, as a report shows it."""

    name: str
    heading: str
    caption: str
    figure: Figure


def draw(evidence: Evidence) -> Iterator[Drawn]:
    """Yield the figures that apply, in the order of a report."""
    seeds = _seeds(evidence)
    for kind in FIGURES:
        figure = kind.draw(evidence)
        if figure is not None:
            yield Drawn(kind.name, kind.heading, kind.caption.format(seeds=seeds), figure)


def _seeds(evidence: Evidence) -> str:
    by_label = {item.label: item.seed for item in evidence.trained}
    different = set(by_label.values())
    if len(different) == 1:
        return f"seed {different.pop()}"
    return "first finished seed (" + ", ".join(f"{label}: {seed}" for label, seed in by_label.items()) + ")"
