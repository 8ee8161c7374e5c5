"""Training curves: the validation score, and what pruning would leave, after each epoch."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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
    """Draw the mean over seeds and the middle nine tenths, a line per method; on a logarithmic axis median and half.

    None where no epoch was logged.
    """
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
        by_label = {label: _by_epoch(each, quantity.metric) for label, each in histories.items()}
        values = [value for points in by_label.values() for group in points.values() for value in group]
        is_wide = style.is_wide(values)
        for label, points in by_label.items():
            _draw(axes, points, looks[label], is_wide=is_wide)
        _axes(axes, quantity)
        if is_wide:
            style.log_axis(axes, "y", values, quantity.text)
        elif quantity.from_zero:
            axes.set_ylim(bottom=0)
        else:
            _without_the_start(axes, list(by_label.values()))
    entries = {label: Line2D([], [], color=looks[label].color, ls=looks[label].line, lw=2) for label in histories}
    style.legend_above(figure, entries)
    return figure


def _score(name: str) -> _Quantity:
    if name == "accuracy":
        return _Quantity(f"validation/{name}", f"validation {name} (%)", lambda value: f"{100 * value:g}")
    return _Quantity(f"validation/{name}", f"validation {name}", lambda value: f"{value:g}")


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


_ByEpoch = Mapping[int, Sequence[float]]
"""The values of the seeds."""


def _by_epoch(histories: Sequence[History], metric: str) -> _ByEpoch:
    points: dict[int, list[float]] = {}
    for history in histories:
        for epoch, value in history.get(metric, {}).items():
            points.setdefault(epoch, []).append(value)
    return points


def _draw(axes: Axes, points: _ByEpoch, look: style.Look, *, is_wide: bool) -> None:
    """Draw a method's line and band."""
    epochs = sorted(points)
    # A mean over what is no number is none: the line has a gap there.
    values = [points[epoch] if all(map(style.is_number, points[epoch])) else [math.nan] for epoch in epochs]
    low, high = (0.25, 0.75) if is_wide else (0.05, 0.95)
    lows, highs = ([float(np.quantile(group, share)) for group in values] for share in (low, high))
    axes.fill_between(epochs, lows, highs, color=look.color, alpha=0.18, lw=0)
    marker = "." if len(epochs) == 1 else ""
    middle = statistics.median if is_wide else statistics.fmean
    axes.plot(epochs, [middle(v) for v in values], look.line, color=look.color, lw=1.8, marker=marker)


def _axes(axes: Axes, quantity: _Quantity) -> None:
    axes.set(xlabel="epoch", title=quantity.title)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: quantity.text(value))


def _without_the_start(axes: Axes, by_label: Sequence[_ByEpoch]) -> None:
    """Limit the axis to what is reached after the first quarter: the first epochs would flatten the rest."""
    last = max((epoch for points in by_label for epoch in points), default=0)
    later = [
        value for points in by_label for epoch, group in points.items() if epoch > last / 4
        for value in group if style.is_number(value)
    ]  # fmt: skip
    if later and min(later) < max(later):
        margin = 0.05 * (max(later) - min(later))
        axes.set_ylim(min(later) - margin, max(later) + margin)
