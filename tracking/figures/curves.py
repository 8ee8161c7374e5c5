"""Training curves: the validation score, and what pruning would leave, after each epoch."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tracking import schema
from tracking.figures import style
from tracking.manifest import Manifest
from tracking.reader import History


@dataclass(frozen=True)
class _Quantity:
    """What a panel shows."""

    metric: str
    title: str
    text: Callable[[float], str]
    from_zero: bool = False


@style.styled
def training(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> Figure | None:
    """Draw the mean over seeds with its range, a line per method. None where no epoch was logged."""
    quantities = (
        _score(manifest.score),
        _Quantity(schema.NUM_NONZERO, "weights left", _thousands, from_zero=True),
        _Quantity(schema.NEURONS_ALIVE, "neurons alive", _thousands, from_zero=True),
    )
    logged = {name for each in histories.values() for history in each for name, points in history.items() if points}
    if logged.isdisjoint(quantity.metric for quantity in quantities):
        return None
    looks = style.looks(method.label for method in manifest.methods)
    figure = style.new_figure(3.7)
    for axes, quantity in zip(figure.subplots(1, len(quantities)), quantities, strict=True):
        values = [_draw(axes, each, quantity.metric, looks[label]) for label, each in histories.items()]
        _axes(axes, quantity, [value for part in values for value in part])
    entries = {label: Line2D([], [], color=looks[label].color, ls=looks[label].line, lw=2) for label in histories}
    style.legend_above(figure, entries)
    return figure


def _score(name: str) -> _Quantity:
    if name == "accuracy":
        return _Quantity(f"validation/{name}", f"validation {name} (%)", lambda value: f"{100 * value:g}")
    return _Quantity(f"validation/{name}", f"validation {name}", lambda value: f"{value:g}")


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _draw(axes: Axes, histories: Sequence[History], metric: str, look: style.Look) -> list[float]:
    """Draw a method's line and band, and return every value of it."""
    points: dict[int, list[float]] = {}
    for history in histories:
        for epoch, value in history.get(metric, {}).items():
            points.setdefault(epoch, []).append(value)
    epochs = sorted(points)
    # A mean over what is no number is none: the line has a gap there.
    values = [points[epoch] if all(map(style.is_number, points[epoch])) else [math.nan] for epoch in epochs]
    axes.fill_between(epochs, [min(v) for v in values], [max(v) for v in values], color=look.color, alpha=0.18, lw=0)
    marker = "." if len(epochs) == 1 else ""
    axes.plot(epochs, [statistics.fmean(v) for v in values], look.line, color=look.color, lw=1.8, marker=marker)
    return [value for group in values for value in group]


def _axes(axes: Axes, quantity: _Quantity, values: Sequence[float]) -> None:
    axes.set(xlabel="epoch", title=quantity.title)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if style.is_wide(values):
        style.log_axis(axes, "y", values, quantity.text)
        return
    axes.yaxis.set_major_formatter(lambda value, _: quantity.text(value))
    if quantity.from_zero:
        axes.set_ylim(bottom=0)
