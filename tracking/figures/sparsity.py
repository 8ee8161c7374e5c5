"""Sparsity patterns as the paper shows them, and the input pixels that are left."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tracking.figures import style
from tracking.figures.evidence import Trained
from tracking.store.masks import Mask

PATTERNS = (
    "Weights that are left (blue) and that are zero (white) in each regularised layer, {seeds}: inputs run "
    "down, outputs across, and the title gives the density."
)
PIXELS = "How many weights leave each pixel of the input image, {seeds}; a white pixel is dropped."

_PIXELS = (28, 28)
_PIXEL_PANELS = 4  # in a line
_FINE = 700  # more dots than a panel has

_MASK_COLORS = LinearSegmentedColormap.from_list("mask", ["white", style.BLUE], N=32)
_MASK_SHADES = PowerNorm(0.5, vmin=0, vmax=1)
"""Where a layer has more weights than the panel has dots, a dot's shade is the share that is left; a single
weight among many zeros must stay visible."""
_WEIGHTS_LEFT = LinearSegmentedColormap.from_list("left", ["#cfe0f3", style.BLUE, "#0a2342"])


@style.styled
def patterns(trained: Sequence[Trained]) -> Figure | None:
    """Draw the masks, methods down and layers across. None without a trained network."""
    if not trained:
        return None
    num_layers = len(trained[0].masks)
    panel = min(2.3, 8.8 / num_layers)
    figure = style.new_figure((panel + 0.1) * len(trained), layout="compressed")
    grid = figure.subplots(len(trained), num_layers, squeeze=False)
    for line, item in zip(grid, trained, strict=True):
        style.row_label(line[0], item.label)
        for axes, (name, mask) in zip(line, item.masks.items(), strict=True):
            _draw_mask(axes, mask)
            axes.set_title(f"{name}: {_percent(mask)}")
    return figure


def _draw_mask(axes: Axes, mask: Mask) -> None:
    n_out, n_in = mask.shape
    picture = axes.imshow(_fine(mask), cmap=_MASK_COLORS, norm=_MASK_SHADES, aspect="auto")
    picture.set_interpolation_stage("data")  # average zeros and ones, not their colours
    picture.set_extent((0, n_out, n_in, 0))
    style.picture_frame(axes, style.MUTED)
    axes.set(xticks=[0, n_out], yticks=[0, n_in], box_aspect=1)


def _fine(mask: Mask) -> NDArray[np.float32]:
    """Inputs down, outputs across, each weight repeated so that a panel only ever shrinks it: edges stay sharp."""
    image = mask.T.astype(np.float32)
    for dimension, size in enumerate(image.shape):
        image = image.repeat(math.ceil(_FINE / size), axis=dimension)
    return image


def _percent(mask: Mask) -> str:
    return f"{100 * float(mask.mean()):.3g} %"


@style.styled
def pixels(trained: Sequence[Trained]) -> Figure | None:
    """Draw how many weights leave each input pixel, per method. None where no such layer reads pixels."""
    shown = [item for item in trained if item.reads_pixels]
    if not shown:
        return None
    figure, panels = style.panels(len(shown), most=_PIXEL_PANELS, height=2.9, layout="compressed")
    lines = math.ceil(len(shown) / _PIXEL_PANELS)
    counts = [next(iter(item.masks.values())).sum(0) for item in shown]
    most = max(1, *(int(count.max()) for count in counts))
    for axes, item, count in zip(panels, shown, counts, strict=True):
        left = np.where(count > 0, count, np.nan).reshape(_PIXELS)
        picture = axes.imshow(left, cmap=_WEIGHTS_LEFT, vmin=1, vmax=max(most, 2))
        style.picture_frame(axes, style.MUTED)
        axes.set_title(f"{style.short(item.label, 28)}\n{int((count > 0).sum())} of {count.size} pixels left")
    figure.colorbar(picture, ax=panels, label="weights left (white: none)", shrink=0.8 / lines, aspect=20)
    return figure
