"""Figures of a sweep: what each shows, in one list. To add one: a file beside these, and one entry below.

``evidence`` reads what they show from the store; every other module here draws, and knows no store.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from tracking.figures import coefficients, curves, digits, network, neurons, pareto, sparsity, tradeoff
from tracking.figures.evidence import Evidence, gather
from tracking.figures.style import MAX_BYTES, as_png

__all__ = ["FIGURES", "MAX_BYTES", "Drawn", "Evidence", "as_png", "draw", "gather"]


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


FIGURES: tuple[Kind, ...] = (
    Kind(
        "tradeoff",
        "Density against score",
        "The share of weights that pruning leaves against the test score of the pruned network: small points are "
        "seeds, large ones the mean of a configuration (of densities and errors the geometric mean).",
        lambda evidence: tradeoff.tradeoff(evidence.manifest, evidence.methods),
    ),
    Kind(
        "pareto",
        "What is left at equal score",
        "Each point is a configuration at a pruning threshold, mean over seeds. Lines join those that no other of the "
        "method beats on validation data in both what is left and the score; they, and bands of one standard "
        "deviation over seeds, show test data.",
        lambda evidence: pareto.pareto(evidence.manifest, evidence.points()),
    ),
    Kind(
        "neurons",
        "Neurons left per layer",
        "Neurons on a path of non-zero weights from an input to an output: mean and standard deviation over seeds. "
        "Where there is a published count, a line gives ours by the same rule.",
        lambda evidence: neurons.neurons(evidence.manifest, evidence.methods),
    ),
    Kind(
        "network",
        "The network before and after dropping",
        "What pruning leaves, {seeds}. Filled: neurons on a path from an input to an output; lines, or the share "
        "between two layers: weights that are left.",
        lambda evidence: network.networks(evidence.trained),
    ),
    Kind(
        "patterns",
        "Sparsity patterns",
        "Weights that are left (blue) and that are zero (white) in each regularised layer, {seeds}: inputs run "
        "down, outputs across, and the title gives the density.",
        lambda evidence: sparsity.patterns(evidence.trained),
    ),
    Kind(
        "pixels",
        "Input pixels that are left",
        "How many weights leave each pixel of the input image, {seeds}; a white pixel is dropped.",
        lambda evidence: sparsity.pixels(evidence.trained),
    ),
    Kind(
        "reconstructions",
        "Reconstructions",
        "Test images and what each pruned network makes of them, {seeds}.",
        lambda evidence: digits.reconstructions(evidence.pictures),
    ),
    Kind(
        "encodings",
        "Encodings",
        "The code that each pruned network gives to these images, one square a unit, dark is 1, {seeds}.",
        lambda evidence: digits.encodings(evidence.pictures),
    ),
    Kind(
        "coefficients",
        "Estimated coefficients",
        "The product of a pruned network's weight matrices is the coefficient vector that it estimates, here over "
        "the coefficients that made its data, {seeds}.",
        lambda evidence: coefficients.estimates(evidence.manifest, evidence.estimates),
    ),
    Kind(
        "training",
        "Training",
        "Validation score before pruning, and the weights and alive neurons that pruning would leave, after each "
        "epoch: mean over seeds, and the middle nine tenths of them; on a logarithmic axis the median, and the middle "
        "half.",
        lambda evidence: curves.training(evidence.manifest, evidence.histories),
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
