"""Sparsity patterns, as the paper shows them."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tracking.figures import style
from tracking.figures.in_words import of_layers
from tracking.figures.kind import Kind
from tracking.figures.values import Trained
from tracking.store.masks import Mask, unfolded

CAPTION = (
    "Weights that are left (blue) and that are zero (white) in each regularised layer, {seeds}: inputs run "
    "down, outputs across, and the title gives the weights left in percent."
)

_FINE = 700  # more dots than a panel has

_MASK_COLORS = LinearSegmentedColormap.from_list("mask", ["white", style.BLUE], N=32)
_MASK_SHADES = PowerNorm(0.5, vmin=0, vmax=1)
"""Where a layer has more weights than the panel has dots, a dot's shade is the share that is left; a single
weight among many zeros must stay visible."""


@style.styled
def patterns(trained: Sequence[Trained]) -> Figure | None:
    """Draw the masks, methods down and layers across. None without a trained network."""
    if not trained:
        return None
    figure, grid = style.layer_panels(len(trained), len(trained[0].masks))
    for line, item in zip(grid, trained, strict=True):
        style.row_label(line[0], item.label)
        for axes, (name, mask) in zip(line, item.masks.items(), strict=True):
            _draw_mask(axes, mask)
            style.layer_title(axes, name, _percent(mask), len(line), _kernel(mask))
    return figure


def _draw_mask(axes: Axes, mask: Mask) -> None:
    matrix = unfolded(mask)
    n_out, n_in = matrix.shape
    picture = axes.imshow(_fine(matrix), cmap=_MASK_COLORS, norm=_MASK_SHADES, aspect="auto")
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


def _kernel(mask: Mask) -> str:
    """The size of a convolution's kernels: the weights of one stand below each other, channel by channel."""
    return f" ({'×'.join(map(str, mask.shape[2:]))})" if mask.ndim > 2 else ""


def _percent(mask: Mask) -> str:
    return f"{100 * float(mask.mean()):.3g} %"


def _in_words(trained: Sequence[Trained]) -> Iterator[str]:
    for item in trained:
        yield of_layers(item.label, (f"{name} {_percent(mask)}" for name, mask in item.masks.items()))


KIND = Kind(
    "patterns",
    "Sparsity patterns",
    CAPTION,
    lambda data: patterns(data.trained),
    lambda data: _in_words(data.trained),
)
