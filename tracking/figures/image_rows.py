"""Lines of small pictures, one line a method: what reconstructions and encodings are drawn with."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tracking.figures import style
from tracking.figures.values import Floats


def image_rows(lines: Mapping[str, Floats]) -> Figure:
    """Draw lines of square pictures, by label ``[N, values]``, one picture per value vector; dark is 1."""
    across = max(len(values) for values in lines.values())
    figure = style.new_figure(0.92 * len(lines))
    grid = figure.subplots(len(lines), across, squeeze=False)
    for axes_line, (label, values) in zip(grid, lines.items(), strict=True):
        style.row_label(axes_line[0], label, width=12)
        for axes, picture in zip(axes_line, _squares(values), strict=True):
            axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            style.picture_frame(axes)
    return figure


def _squares(values: Floats) -> Floats:
    """``[N, n]`` to ``[N, side, side]``; NaN, which is drawn as nothing, fills up what is no square."""
    side = math.isqrt(values.shape[1] - 1) + 1
    padded = np.pad(values, [(0, 0), (0, side * side - values.shape[1])], constant_values=math.nan)
    return padded.reshape(len(values), side, side)
