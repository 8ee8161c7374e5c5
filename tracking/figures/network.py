"""The network before and after dropping: small nets neuron by neuron, large ones as layers with counts."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dn_distributed import sparsity
from tracking.figures import style
from tracking.figures.in_words import of_layers
from tracking.figures.kind import Kind
from tracking.figures.values import Trained
from tracking.store.masks import Mask

Masks = Mapping[str, Mask]

CAPTION = (
    "What pruning leaves, {seeds}. Filled: neurons on a path from an input to an output; lines, or the share "
    "between two layers: weights that are left."
)

_MOST_DRAWN = 40  # neurons of a layer; more have no room of their own


@style.styled
def networks(trained: Sequence[Trained]) -> Figure | None:
    """Draw what pruning leaves of each network, beside all of it. None without a network whose layers are a chain."""
    trained = [item for item in trained if item.has_paths]
    if not trained:
        return None
    whole = {name: np.ones_like(mask) for name, mask in trained[0].masks.items()}
    shown: list[tuple[str, Masks]] = [("before dropping", whole), *((item.label, item.masks) for item in trained)]
    names = ["input", *trained[0].masks]
    small = max(_sizes(whole)) <= _MOST_DRAWN
    figure, panels = style.panels(len(shown), most=4 if small else 2, height=3.0 if small else 2.3)
    for axes, (label, masks) in zip(panels, shown, strict=True):
        (_draw_small if small else _draw_layers)(axes, masks)
        axes.set_title(style.short(label, 30 if small else 60))
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.tick_params(axis="x", length=0)
        axes.set(yticks=[], xlim=(-0.5, len(names) - 0.5))
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _sizes(masks: Masks) -> list[int]:
    matrices = sparsity.unit_matrices(masks)
    return [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]


def _heights(size: int) -> list[float]:
    """Evenly spread in (-1, 1), the first on top."""
    return [1 - (2 * index + 1) / size for index in range(size)]


def _draw_small(axes: Axes, masks: Masks) -> None:
    """A line for every weight or kernel that is left, a filled dot for every neuron on a path from input to output."""
    heights = [_heights(size) for size in _sizes(masks)]
    for place, matrix in enumerate(sparsity.unit_matrices(masks)):
        ends = [
            [(place, heights[place][source]), (place + 1, heights[place + 1][target])]
            for target, source in np.argwhere(matrix).tolist()
        ]
        axes.add_collection(LineCollection(ends, colors=style.BLUE, linewidths=0.7, alpha=0.75))
    for place, (column, alive) in enumerate(zip(heights, sparsity.alive_units(masks), strict=True)):
        faces = [style.BLUE if living else "white" for living in alive.tolist()]
        axes.scatter([place] * len(column), column, s=22, c=faces, edgecolors=style.MUTED, linewidths=0.8, zorder=3)
    axes.set_ylim(-1.05, 1.05)


def _draw_layers(axes: Axes, masks: Masks) -> None:
    """A bar for every layer, as high as the square root of its size; filled to the share that is alive."""
    sizes = _sizes(masks)
    for place, (size, alive) in enumerate(zip(sizes, sparsity.alive_units(masks), strict=True)):
        left = int(alive.sum())
        height = (size / max(sizes)) ** 0.5
        axes.add_patch(Rectangle((place - 0.2, -height), 0.4, 2 * height, fc="none", ec=style.MUTED, lw=0.8))
        share = height * left / size
        axes.add_patch(Rectangle((place - 0.2, -share), 0.4, 2 * share, fc=style.BLUE, lw=0))
        axes.text(place, height + 0.05, f"{left} of {size}", ha="center", va="bottom", fontsize=8)
    for place, mask in enumerate(masks.values()):
        axes.text(place + 0.5, 0, f"{100 * float(mask.mean()):.3g} %", ha="center", va="center", fontsize=8)
    axes.set_ylim(-1.05, 1.25)


def _in_words(trained: Sequence[Trained]) -> Iterator[str]:
    for item in trained:
        if item.has_paths:
            layers = zip(["input", *item.masks], sparsity.alive_units(item.masks), strict=True)
            parts = (f"{name} {int(alive.sum())} of {alive.size}" for name, alive in layers)
            yield f"{of_layers(item.label, parts)} neurons, seed {item.seed}"


KIND = Kind(
    "network",
    "The network before and after dropping",
    CAPTION,
    lambda data: networks(data.trained),
    lambda data: _in_words(data.trained),
)
