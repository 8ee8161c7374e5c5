"""Training curves: the validation score, and the weights that pruning would leave, after each epoch."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tracking import schema
from tracking.figures import style
from tracking.figures.evidence import History
from tracking.manifest import Manifest

_Text = Callable[[float], str]


@style.styled
def training(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> Figure | None:
    """Draw the mean over seeds with its range, a line per method. None where no epoch was logged."""
    percent = manifest.score == "accuracy"
    quantities: list[tuple[str, str, _Text]] = [
        (
            f"validation/{manifest.score}",
            f"validation {manifest.score}" + " (%)" * percent,
            _percent if percent else _plain,
        ),
        (schema.NUM_NONZERO, "weights left", _thousands),
    ]
    if not any(history.get(name) for name, _, _ in quantities for each in histories.values() for history in each):
        return None
    looks = style.looks(method.label for method in manifest.methods)
    figure = style.new_figure(3.7)
    for axes, (name, title, text) in zip(figure.subplots(1, 2), quantities, strict=True):
        values = [_draw(axes, each, name, looks[label].color) for label, each in histories.items()]
        _axes(axes, title, [value for part in values for value in part], text)
    style.legend_above(figure, {label: Line2D([], [], color=looks[label].color, lw=2) for label in histories})
    return figure


def _draw(axes: Axes, histories: Sequence[History], name: str, color: str) -> list[float]:
    """Draw a method's line and band, and return every value of it."""
    points: dict[int, list[float]] = {}
    for history in histories:
        for epoch, value in history.get(name, {}).items():
            points.setdefault(epoch, []).append(value)
    epochs = sorted(points)
    values = [points[epoch] for epoch in epochs]
    axes.fill_between(epochs, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.18, lw=0)
    few = "." if len(epochs) < 3 else ""
    axes.plot(epochs, [statistics.fmean(v) for v in values], color=color, lw=1.8, marker=few)
    return [value for group in values for value in group]


def _axes(axes: Axes, title: str, values: Sequence[float], text: _Text) -> None:
    axes.set(xlabel="epoch", title=title)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if style.wide_range(values):
        style.log_axis(axes, "y", values, text)
    else:
        axes.yaxis.set_major_formatter(lambda value, _: text(value))
        if text is _thousands and any(map(math.isfinite, values)):
            axes.set_ylim(bottom=0)


def _percent(value: float) -> str:
    return f"{100 * value:g}"


def _plain(value: float) -> str:
    return f"{value:g}"


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
