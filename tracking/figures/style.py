"""What all figures have in common: size, type, colours, axes, and how a figure becomes a small file."""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from PIL import Image

from tracking.figures.plain_matplotlib import settings

P = ParamSpec("P")
T = TypeVar("T")
Layout = Literal["constrained", "compressed"]
"""Panels fill the figure, or stand close together because each keeps its own shape."""

WIDTH = 10.0
"""Inches; a page shows them at about a hundred pixels each."""
MAX_BYTES = 300_000
"""A figure's PNG file stays below this."""
MAX_SVG_BYTES = 500_000
"""A figure that would have a larger SVG file, as one of very many marks, has none."""
INK, MUTED, FAINT = "#1f2328", "#59636e", "#d1d9e0"
BLUE = "#1f57a4"
"""Of a weight that is not zero, as in ``patterns.save_pattern``."""

_FINEST, _COARSEST = 150, 50  # dots per inch
_FEW_COLORS = 128
_LOG_FROM = 20.0  # a range of more than this factor is drawn on a logarithmic axis
_LOG_TICKS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (8, (1, 1.5, 2, 3, 4, 5, 7)),
    (300, (1, 2, 5)),
    (math.inf, (1,)),
)
"""Ticks in each power of ten of a logarithmic axis, by the factor that it spans."""
_MOST_DECADES = 8  # with a tick each
_MOST_LAYERS = 6  # in a line
_WIDE_LAYERS, _LONGEST_LAYER = 4, 16  # panels with room for a title in one line; letters of a name in the others
_LONGEST_LABEL = 60  # letters of it that a legend shows
_NOTE_LETTERS, _NOTE_LINES = 150, 6
_LINE = 0.2  # inches, of text
_LEGEND_LETTERS = 124  # in one line, with eight for each sign and the room around it

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


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Make a function draw in this style, whatever matplotlib's settings are, and leave them as they are."""

    @wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with settings(_RC):
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


def layer_panels(methods: int, layers: int) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with square panels, and for each method those of its layers: across, in lines of a few."""
    across = min(layers, _MOST_LAYERS)
    down = math.ceil(layers / across)
    panel = min(2.3, 8.8 / across)
    figure = new_figure((panel + 0.1) * methods * down, layout="compressed")
    grid = figure.subplots(methods * down, across, squeeze=False).reshape(methods, down * across)
    for line in grid:
        for axes in line[layers:]:
            axes.remove()
    return figure, [list(line[:layers]) for line in grid]


def layer_title(axes: Axes, name: str, text: str, layers: int, kernel: str = "") -> None:
    """Write over a panel of ``layer_panels`` which layer it shows: in two lines where the panels are narrow."""
    if layers <= _WIDE_LAYERS:
        axes.set_title(f"{name}{kernel}: {text}")
    else:
        axes.set_title(f"{short(name, _LONGEST_LAYER)}\n{text}{kernel}")


def picture_frame(axes: Axes, color: str = FAINT) -> None:
    """Give a picture a thin frame and no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(color)


def short(label: str, letters: int) -> str:
    """Return a label of at most so many letters: of a longer one both ends."""
    if len(label) <= letters:
        return label
    head = letters // 2
    return f"{label[:head]}…{label[len(label) - (letters - head - 1) :]}"


def row_label(axes: Axes, label: str, width: int = 14, lines: int = 4) -> None:
    """Write a method's label left of a line of panels."""
    text = textwrap.fill(short(label, (width - 2) * lines), width)
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=10, fontweight="bold")


def is_wide(values: Sequence[float]) -> bool:
    """Return whether values are positive and too far apart for a linear axis."""
    numbers = [value for value in values if math.isfinite(value)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) > _LOG_FROM


def number(value: float) -> str:
    """Return a number as ticks have it."""
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")


def percent(value: float) -> str:
    """Return a share in percent, as ticks have it."""
    return number(100 * value)


def abbreviated(value: float) -> str:
    """Return a count as ticks have it where there is no room for its zeros: 200k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number(value / size)}{letter}"
    return number(value)


def log_axis(axes: Axes, which: Literal["x", "y"], values: Sequence[float], text: Callable[[float], str]) -> float:
    """Make an axis logarithmic, with round ticks that ``text`` writes.

    Zeros have no place on it: where there are any they get one at the low end, with the tick "0" behind a line.
    Return that place (0 where there is none), for ``at_least``.
    """
    positive = [value for value in values if math.isfinite(value) and value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    margin = max((high / low) ** 0.05, 1.1)
    low, high = min(low / margin, high / 2), high * margin
    zero = _zero(axes, which, low, high) if 0 in values else 0.0
    ticks = log_ticks(low, high)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (zero / margin if zero else low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator([zero] * bool(zero) + ticks))
    written = written_alike(ticks, text)
    axis.set_major_formatter(lambda value, _: "0" if value == zero else written(value))
    axis.set_minor_locator(NullLocator())
    return zero


def written_alike(ticks: Sequence[float], text: Callable[[float], str]) -> Callable[[float], str]:
    """Return how ``text`` writes ticks so that all are alike: with powers of ten where any of them has one."""
    if not any("e" in text(tick) for tick in ticks):
        return text
    return lambda value: _power(float(text(value)))


def _power(value: float) -> str:
    """0.002 as 2e-3, and 0 and 1 as they are."""
    if value in (0, 1):
        return f"{value:g}"
    digits, _, exponent = f"{value:.5e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between the ends of a logarithmic axis."""
    steps = next(steps for limit, steps in _LOG_TICKS if high / low < limit)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = math.ceil(len(decades) / _MOST_DECADES)
    ticks = [step * 10.0**decade for decade in decades if decade % every == 0 for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _zero(axes: Axes, which: Literal["x", "y"], low: float, high: float) -> float:
    """Part a place for zeros from the rest of an axis, and return it."""
    (axes.axvline if which == "x" else axes.axhline)(low, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    return float(low / (high / low) ** 0.06)


def at_least(values: Iterable[float], place: float) -> list[float]:
    """Return values as a logarithmic axis shows them: what is 0 stands in the place that ``log_axis`` gave it."""
    return [place if value == 0 else value for value in values]


def note(figure: Figure, sentences: Sequence[str]) -> None:
    """Write under the panels what the figure does not show."""
    if sentences:
        text = textwrap.fill(" ".join(sentences), _NOTE_LETTERS, max_lines=_NOTE_LINES, placeholder=" …")
        _grow(figure, text.count("\n") + 1)
        figure.supxlabel(text, x=0.01, ha="left", fontsize=8.5, color=MUTED)


def legend_above(figure: Figure, entries: Sequence[tuple[str, Artist]]) -> None:
    """Put a legend over the panels, in as few lines as the width allows; the figure grows by what it takes."""
    labels = [short(label, _LONGEST_LABEL) for label, _ in entries]
    lengths = [len(label) + 8 for label in labels]
    columns = len(lengths) if sum(lengths) <= _LEGEND_LETTERS else max(1, _LEGEND_LETTERS // max(lengths))
    _grow(figure, math.ceil(len(labels) / columns) - 1)
    figure.legend([artist for _, artist in entries], labels, loc="outside upper left", ncols=columns)


def _grow(figure: Figure, lines: int) -> None:
    figure.set_figheight(figure.get_figheight() + _LINE * lines)


def as_png(figure: Figure, most: int | None = None) -> bytes:
    """Return a figure as a PNG below so many bytes (``MAX_BYTES``): with fewer colours, coarser, where it must be."""
    most = MAX_BYTES if most is None else most
    resolution = _FINEST
    while True:
        image = _rasterize(figure, resolution)
        for version in (image, _with_few_colors(image)):
            data = _encode(version)
            if len(data) < most:
                return data
        if resolution <= _COARSEST:
            return data
        too_large = len(data) / most
        resolution = max(_COARSEST, int(resolution * min(0.9, too_large**-0.5)))


def as_svg(figure: Figure) -> bytes | None:
    """Return a figure as an SVG, the same bytes each time, its text as outlines; None from ``MAX_SVG_BYTES``."""
    out = io.BytesIO()
    # Ids are salted at random otherwise. The date would differ too, and the version of matplotlib.
    with settings({**_RC, "svg.hashsalt": "dn"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(out, format="svg", dpi=_FINEST, metadata={"Date": None, "Creator": None})
    data = out.getvalue()
    return data if len(data) < MAX_SVG_BYTES else None


def _rasterize(figure: Figure, resolution: int) -> Image.Image:
    with settings(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a label may have any: it shows as a box
        figure.set_dpi(resolution)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")  # it has its layout: drawn once more it keeps that, and takes half the time
    return Image.fromarray(pixels).convert("RGB")


def _with_few_colors(image: Image.Image) -> Image.Image:
    """By octree: the median cut would give small points of a method another colour."""
    return image.quantize(_FEW_COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _encode(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=7)
    return out.getvalue()
