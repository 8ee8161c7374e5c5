"""The input pixels that are left."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from tracking.figures import style
from tracking.figures.kind import Kind
from tracking.figures.values import Trained

CAPTION = "How many weights leave each pixel of the input image, {seeds}; a white pixel is dropped."

_SHAPE = (28, 28)
_ACROSS = 4  # panels in a line
_WEIGHTS_LEFT = LinearSegmentedColormap.from_list("left", ["#cfe0f3", style.BLUE, "#0a2342"])


@style.styled
def pixels(trained: Sequence[Trained]) -> Figure | None:
    """Draw how many weights leave each input pixel, per method. None where no such layer reads pixels."""
    shown = [item for item in trained if item.reads_pixels]
    if not shown:
        return None
    figure, panels = style.panels(len(shown), most=_ACROSS, height=2.9, layout="compressed")
    lines = math.ceil(len(shown) / _ACROSS)
    counts = [next(iter(item.masks.values())).sum(0) for item in shown]
    most = max(1, *(int(count.max()) for count in counts))
    for axes, item, count in zip(panels, shown, counts, strict=True):
        left = np.where(count > 0, count, np.nan).reshape(_SHAPE)
        picture = axes.imshow(left, cmap=_WEIGHTS_LEFT, vmin=1, vmax=max(most, 2))
        style.picture_frame(axes, style.MUTED)
        axes.set_title(f"{style.short(item.label, 28)}\n{int((count > 0).sum())} of {count.size} pixels left")
    figure.colorbar(picture, ax=panels, label="weights left (white: none)", shrink=0.8 / lines, aspect=20)
    return figure


KIND = Kind("pixels", "Input pixels that are left", CAPTION, lambda data: pixels(data.trained))
