"""One look for all figures: size, type, colours, and how a figure becomes a small file."""

import io
import itertools
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from PIL import Image

P = ParamSpec("P")
T = TypeVar("T")
Layout = Literal["constrained", "compressed"]
"""Panels fill the figure, or stand close together because each keeps its own shape."""

WIDTH = 10.0
"""Inches; a page shows them at about a hundred pixels each."""
MAX_BYTES = 300_000
"""A figure's file stays below this."""
INK, MUTED, FAINT = "#1f2328", "#59636e", "#d1d9e0"
BLUE = "#1f57a4"
"""Of a weight that is not zero, as in ``patterns.save_pattern``."""

_FINEST, _COARSEST = 150, 50  # dots per inch
_FEW_COLORS = 48
_LOG_FROM = 20.0  # a range of more than this factor is drawn on a logarithmic axis
_LOG_TICKS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (8, (1, 1.5, 2, 3, 4, 5, 7)),
    (300, (1, 2, 5)),
    (math.inf, (1,)),
)
"""Ticks in each power of ten of a logarithmic axis, by the factor that it spans."""
_LEGEND_LETTERS = 124  # in one line, with eight for each sign and the room around it

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, safe for colour-blind readers, without its yellow: that is too pale on white."""
_LINES = ("-", "--", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a method may have a dollar sign in its label
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
}


def sign(marker: str, size: float, face: str = "none") -> dict[str, Any]:
    """Return the properties of a point with a dark edge: what stands for no method."""
    return {"ls": "none", "marker": marker, "ms": size, "mec": INK, "mew": 1.0, "mfc": face}


class Look(NamedTuple):
    """How a method is drawn, the same in every figure."""

    color: str
    marker: str
    line: str


_USUAL: tuple[frozenset[str], ...] = tuple(
    frozenset(parts.split("+")) for parts in ("ℓ1+DN", "ℓ1+DO", "DO", "ℓ1", "", "DN", "L2")
)
"""Methods by their parts, pruning aside, that look the same wherever they are the first of these parts."""


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return a look per method: the usual one of its parts where that is free, else the first that is.

    Rows "as scripted" have no usual look: in one figure no two methods may share a colour.
    """
    shown = list(dict.fromkeys(labels))
    places: dict[str, int] = {}
    for label in shown:
        parts = frozenset(label.split("+")) - {"P"} or frozenset({""})
        if parts in _USUAL and _USUAL.index(parts) not in places.values():
            places[label] = _USUAL.index(parts)
    free = (place for place in itertools.count() if place not in places.values())
    for label in shown:
        if label not in places:
            places[label] = next(free)
    return {label: _look(places[label]) for label in shown}


def _look(place: int) -> Look:
    line = _LINES[place // len(_COLORS) % len(_LINES)]
    return Look(_COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)], line)


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Make a function draw in this style, and leave matplotlib's own settings as they are."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    return wrapped


def new_figure(height: float, layout: Layout = "constrained") -> Figure:
    """Return an empty figure of the page's width, ``height`` inches high."""
    return Figure(figsize=(WIDTH, height), layout=layout)


def panels(count: int, most: int, height: float, layout: Layout = "constrained") -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels, at most ``most`` of them in a line of ``height`` inches."""
    across = min(count, most)
    down = math.ceil(count / across)
    figure = new_figure(height * down, layout)
    grid = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def picture_frame(axes: Axes, color: str = FAINT) -> None:
    """Give a picture a thin frame and no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(color)


def row_label(axes: Axes, label: str, width: int = 14) -> None:
    """Write a method's label left of a line of panels."""
    text = textwrap.fill(label, width)
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=10, fontweight="bold")


def is_number(value: float) -> bool:
    """Return whether a stored value is finite: an SQL store keeps infinity as the largest float."""
    return abs(value) < sys.float_info.max


def is_wide(values: Sequence[float]) -> bool:
    """Return whether values are positive and too far apart for a linear axis."""
    numbers = [value for value in values if is_number(value)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_FROM


def log_axis(axes: Axes, which: Literal["x", "y"], values: Sequence[float], text: Callable[[float], str]) -> None:
    """Make an axis logarithmic, with round ticks that ``text`` writes."""
    positive = [value for value in values if is_number(value) and value > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    margin = max((high / low) ** 0.05, 1.1)
    low, high = min(low / margin, high / 2), high * margin
    steps = next(steps for limit, steps in _LOG_TICKS if high / low < limit)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter(lambda value, _: text(value))
    axis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, entries: Mapping[str, Artist]) -> None:
    """Put a legend over the panels, in as few lines as the width allows."""
    lengths = [len(label) + 8 for label in entries]
    columns = len(lengths) if sum(lengths) <= _LEGEND_LETTERS else max(1, _LEGEND_LETTERS // max(lengths))
    figure.legend(list(entries.values()), list(entries), loc="outside upper left", ncols=columns)


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG below ``MAX_BYTES``: with fewer colours, and coarser, where it must be."""
    resolution = _FINEST
    while True:
        image = _rasterize(figure, resolution)
        for version in (image, image.quantize(_FEW_COLORS, dither=Image.Dither.NONE)):
            data = _encode(version)
            if len(data) < MAX_BYTES or resolution <= _COARSEST:
                return data
        too_large = len(data) / MAX_BYTES
        resolution = max(_COARSEST, int(resolution * min(0.9, too_large**-0.5)))


def _rasterize(figure: Figure, resolution: int) -> Image.Image:
    with mpl.rc_context(_RC):
        figure.set_dpi(resolution)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(pixels).convert("RGB")


def _encode(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=7)
    return out.getvalue()
