"""The values of the weights that are left, as the paper shows them, beside the masks of ``patterns``."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from tracking.figures import style
from tracking.figures.in_words import number, of_layers
from tracking.figures.kind import Kind
from tracking.figures.values import Floats, Trained
from tracking.store.masks import unfolded

CAPTION = (
    "Values of the weights that are left, {seeds}: blue is positive, orange negative, white alone is zero. Inputs run "
    "down, outputs across. The deepest colour stands for the value in the title, or more: 99 in 100 weights that are "
    "left are within it, of all methods together. A dot is the largest of the weights that it stands for."
)

_DOTS = 200  # of a panel, at most, in either direction
_WITHIN = 0.99
_NEGATIVE, _POSITIVE = ("#692500", "#d07a35"), ("#6d96cc", "#0f3368")
"""From the left of the scale to its middle, and on. However small a weight is, it is told from white."""
_SHADES = np.linspace(0, 1, 32)
_COLORS = ListedColormap(
    [color for ends in (_NEGATIVE, _POSITIVE) for color in LinearSegmentedColormap.from_list("", ends)(_SHADES)]
)


@style.styled
def weights(trained: Sequence[Trained]) -> Figure | None:
    """Draw the pruned weights, methods down and layers across. None without a trained network."""
    if not trained:
        return None
    pruned = {item.label: {name: _matrix(values) for name, values in item.pruned_weights().items()} for item in trained}
    limits = _limits(pruned)
    figure, grid = style.layer_panels(len(trained), len(trained[0].masks))
    for line, (label, layers) in zip(grid, pruned.items(), strict=True):
        style.row_label(line[0], label)
        for axes, (name, values) in zip(line, layers.items(), strict=True):
            _draw(axes, values, limits[name])
            style.layer_title(axes, name, f"±{limits[name]:.2g}", len(line))
    return figure


def _matrix(values: Floats) -> Floats:
    """Inputs down, outputs across."""
    matrix: Floats = unfolded(values).T
    return matrix


def _limits(pruned: Mapping[str, Mapping[str, Floats]]) -> dict[str, float]:
    """By layer what nearly all of its weights that are left lie within; 1 where none is left."""
    return {name: _limit([layers[name] for layers in pruned.values()]) for name in next(iter(pruned.values()))}


def _limit(layers: Sequence[Floats]) -> float:
    left = np.concatenate([np.abs(values[values != 0]) for values in layers])
    left = left[np.isfinite(left)]
    return float(np.quantile(left, _WITHIN)) if left.size else 1.0


def _draw(axes: Axes, values: Floats, limit: float) -> None:
    n_in, n_out = values.shape
    shown = np.ma.masked_equal(_largest(values).astype(np.float64), 0)
    picture = axes.imshow(shown, cmap=_COLORS, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    picture.set_extent((0, n_out, n_in, 0))
    style.picture_frame(axes, style.MUTED)
    axes.set(xticks=[0, n_out], yticks=[0, n_in], box_aspect=1)


def _largest(values: Floats) -> Floats:
    """Return the weight of the largest size of each block, so that a single one among zeros stays visible."""
    for axis in (0, 1):
        blocks = list(_blocks(values, axis))
        values = np.stack(blocks, axis=axis)
    return values


def _blocks(values: Floats, axis: int) -> Iterator[Floats]:
    size = math.ceil(values.shape[axis] / _DOTS)
    for start in range(0, values.shape[axis], size):
        block = values.take(range(start, min(start + size, values.shape[axis])), axis=axis)
        places = np.abs(block).argmax(axis=axis)
        yield np.take_along_axis(block, np.expand_dims(places, axis), axis=axis).squeeze(axis)


def _in_words(trained: Sequence[Trained]) -> Iterator[str]:
    for item in trained:
        yield of_layers(item.label, (f"{name} {_range(values)}" for name, values in item.pruned_weights().items()))


def _range(values: Floats) -> str:
    """How many weights are left, and between what they lie."""
    left = values[values != 0]
    ends = f" from {number(float(left.min()))} to {number(float(left.max()))}" if left.size else ""
    return f"{left.size} of {values.size}{ends}"


KIND = Kind(
    "weights",
    "Weights that are left",
    CAPTION,
    lambda data: weights(data.trained),
    lambda data: _in_words(data.trained),
)
