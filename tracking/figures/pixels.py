"""The pixels that are left: of the input image, and of an image that a network puts out."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from dn_distributed import sparsity
from tracking.figures import style
from tracking.figures.kind import Kind
from tracking.figures.values import Trained

CAPTION = (
    "How many weights leave each pixel of the input image, {seeds}; a white pixel is dropped. Below, where the network "
    "puts out an image, how many weights enter each pixel of it from neurons on a path from an input; a white one is "
    "constant: the same for every image."
)

Counts = NDArray[np.int_]
"""Of weights, by pixel."""

_SHAPE = (28, 28)
_ACROSS = 4  # panels in a line
_HEIGHT = 2.9  # inches, of a line
_WEIGHTS_LEFT = LinearSegmentedColormap.from_list("left", ["#6d96cc", style.BLUE, "#0a2342"])


@style.styled
def pixels(trained: Sequence[Trained]) -> Figure | None:
    """Draw how many weights leave each input pixel, and enter each output pixel, per method.

    None where no such layer reads pixels.
    """
    shown = [item for item in trained if item.reads_pixels]
    if not shown:
        return None
    lines = list(_lines(shown))
    across = min(len(shown), _ACROSS)
    figure = style.new_figure(_HEIGHT * len(lines), layout="compressed")
    grid = figure.subplots(len(lines), across, squeeze=False)
    most = max(2, *(int(count.max()) for line in lines for _, count in line))
    used: list[Axes] = []
    for axes_line, line in zip(grid, lines, strict=True):
        for axes in axes_line[len(line) :]:
            axes.remove()
        for axes, (title, count) in zip(axes_line, line, strict=False):
            picture = _draw(axes, title, count, most)
            used.append(axes)
    figure.colorbar(picture, ax=used, label="weights left (white: none)", shrink=0.8 / len(lines), aspect=20)
    return figure


def inputs_left(item: Trained) -> Counts:
    """Return how many weights leave each input pixel."""
    counts: Counts = next(iter(item.masks.values())).sum(0)
    return counts


def outputs_left(item: Trained) -> Counts | None:
    """Return how many weights enter each output pixel from neurons on a path; None where the output is no image.

    Where none do, the output is constant.
    """
    if not (item.is_chain and item.has_paths and item.sizes[1] == item.sizes[0]):
        return None
    *_, before, _ = sparsity.alive_units(item.masks)
    counts: Counts = (list(item.masks.values())[-1] & before).sum(1)
    return counts


def _lines(shown: Sequence[Trained]) -> Iterator[list[tuple[str, Counts]]]:
    """Panels by line, each with its title: a few methods, and below the inputs of these their outputs."""
    for start in range(0, len(shown), _ACROSS):
        some = shown[start : start + _ACROSS]
        yield [(_title(item, count, "pixels left"), count) for item in some for count in [inputs_left(item)]]
        outputs = [(item, count) for item in some if (count := outputs_left(item)) is not None]
        if outputs:
            yield [(_title(item, count, "outputs left"), count) for item, count in outputs]


def _title(item: Trained, count: Counts, what: str) -> str:
    return f"{style.short(item.label, 28)}\n{int((count > 0).sum())} of {count.size} {what}"


def _draw(axes: Axes, title: str, count: Counts, most: int) -> AxesImage:
    left = np.where(count > 0, count, np.nan).reshape(_SHAPE)
    picture = axes.imshow(left, cmap=_WEIGHTS_LEFT, vmin=1, vmax=most)
    style.picture_frame(axes, style.MUTED)
    axes.set_title(title)
    return picture


def _in_words(trained: Sequence[Trained]) -> Iterator[str]:
    for item in trained:
        if item.reads_pixels:
            found = {"input": inputs_left(item), "output": outputs_left(item)}
            counts = {name: count for name, count in found.items() if count is not None}
            parts = (f"{int((count > 0).sum())} of {count.size} {name} pixels" for name, count in counts.items())
            yield f"{item.label}: {', '.join(parts)}"


KIND = Kind(
    "pixels",
    "Pixels that are left",
    CAPTION,
    lambda data: pixels(data.trained),
    lambda data: _in_words(data.trained),
)
