"""Training curves: the validation score, and what pruning would leave, after each epoch."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dn_distributed import score_names
from tracking import schema
from tracking.figures import omissions, score_axis, style
from tracking.figures.in_words import number
from tracking.figures.kind import Kind
from tracking.figures.method_styles import MethodStyle, method_styles
from tracking.figures.omissions import Count
from tracking.manifest import Manifest
from tracking.results.rows import History, by_epoch

CAPTION = (
    "Validation score before pruning, and the weights and alive neurons that pruning would leave, after each epoch: "
    "mean over seeds, and the middle nine tenths of them; on a logarithmic axis, which errors have, the median and the "
    "middle half. A line has a gap where a seed has no value."
)


@dataclass(frozen=True)
class Quantity:
    """What a panel shows."""

    metric: str
    title: str
    is_score: bool = False
    """Else it is a count."""


@style.styled
def training(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> Figure | None:
    """Draw the mean over seeds and the middle nine tenths, a line per method; on a logarithmic axis median and half.

    None where no epoch was logged.
    """
    shown = logged_quantities(manifest, histories)
    if not shown:
        return None
    styles = method_styles(manifest.methods)
    figure = style.new_figure(3.9)
    for axes, quantity in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        by_label = {label: by_epoch(each, quantity.metric) for label, each in histories.items()}
        _draw_panel(axes, manifest, quantity, by_label, styles)
    drawn = [(label, styles[label]) for label in histories]
    entries = [(label, Line2D([], [], color=marks.color, ls=marks.line, lw=2)) for label, marks in drawn]
    style.legend_above(figure, entries)
    style.note(figure, _notes(manifest, histories))
    return figure


def logged_quantities(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> list[Quantity]:
    """Return what has a value at some epoch."""
    score = score_names.of_split("validation", manifest.score)
    quantities = (
        Quantity(score, score_axis.title(manifest, "validation {}"), is_score=True),
        Quantity(schema.NUM_NONZERO, "weights left"),
        Quantity(schema.NEURONS_ALIVE, "neurons alive"),
    )
    logged = {name for each in histories.values() for history in each for name, points in history.items() if points}
    return [quantity for quantity in quantities if quantity.metric in logged]


def is_logarithmic(manifest: Manifest, quantity: Quantity, values: Sequence[float]) -> bool:
    """Return whether these values of a quantity stand on a logarithmic axis."""
    return score_axis.is_logarithmic(manifest, values) if quantity.is_score else style.is_wide(values)


def _draw_panel(
    axes: Axes,
    manifest: Manifest,
    quantity: Quantity,
    by_label: Mapping[str, "ByEpoch"],
    styles: Mapping[str, MethodStyle],
) -> None:
    values = [value for points in by_label.values() for group in points.values() for value in group]
    axes.set(xlabel="epoch", title=quantity.title)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    logarithmic, zero = is_logarithmic(manifest, quantity, values), 0.0
    if quantity.is_score:
        zero = score_axis.axis(axes, manifest, values)
    else:
        axes.yaxis.set_major_formatter(lambda value, _: _thousands(value))
        if logarithmic:
            style.log_axis(axes, "y", values, _thousands)
    for label, points in by_label.items():
        _draw(axes, points, styles[label], is_logarithmic=logarithmic, zero=zero)
    if quantity.is_score and not logarithmic:
        ends = range_after_the_start(list(by_label.values()))
        axes.set_ylim(*(ends or (None, None)))
    elif not logarithmic:
        axes.set_ylim(bottom=0)


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _notes(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> list[str]:
    """What of the score is not there: seeds, values, epochs."""
    score = score_names.of_split("validation", manifest.score)
    seeds, broken, short = [], [], []
    for label, each in histories.items():
        curves = [history.get(score, {}) for history in each]
        last = max((epoch for curve in curves for epoch in curve), default=0)
        seeds.append(Count(label, len(each), len(manifest.seeds)))
        gaps = sum(1 for curve in curves if not all(map(math.isfinite, curve.values())))
        broken.append(Count(label, gaps, len(each)))
        short.append(Count(label, sum(1 for curve in curves if max(curve, default=0) < last), len(each)))
    return [
        *omissions.not_all("Only finished seeds are shown", seeds),
        *omissions.so_many(f"Seeds with a {manifest.score} that is no number", broken),
        *omissions.so_many("Seeds without the last epochs", short),
    ]


ByEpoch = Mapping[int, Sequence[float]]
"""The values of the seeds."""


def _draw(axes: Axes, points: ByEpoch, marks: MethodStyle, *, is_logarithmic: bool, zero: float) -> None:
    """Draw a method's line and band."""
    epochs = sorted(points)
    whole = max(map(len, points.values()), default=0)
    # A mean over what is no number, or not there, is none: the line has a gap there.
    complete = [len(points[epoch]) == whole and all(map(math.isfinite, points[epoch])) for epoch in epochs]
    values = [
        style.at_least(points[epoch], zero) if there else [math.nan]
        for epoch, there in zip(epochs, complete, strict=True)
    ]
    low, high = (0.25, 0.75) if is_logarithmic else (0.05, 0.95)
    lows, highs = ([float(np.quantile(group, share)) for group in values] for share in (low, high))
    axes.fill_between(epochs, lows, highs, color=marks.color, alpha=0.18, lw=0)
    marker = "." if len(epochs) == 1 else ""
    middle = statistics.median if is_logarithmic else statistics.fmean
    axes.plot(epochs, [middle(v) for v in values], marks.line, color=marks.color, lw=1.8, marker=marker)


def range_after_the_start(by_label: Sequence[ByEpoch]) -> tuple[float, float] | None:
    """Return between what the values lie after the first quarter: the first epochs would flatten the rest."""
    last = max((epoch for points in by_label for epoch in points), default=0)
    later = [
        value for points in by_label for epoch, group in points.items() if epoch > last / 4
        for value in group if math.isfinite(value)
    ]  # fmt: skip
    if not later or min(later) == max(later):
        return None
    margin = 0.05 * (max(later) - min(later))
    return min(later) - margin, max(later) + margin


def _in_words(manifest: Manifest, histories: Mapping[str, Sequence[History]]) -> Iterator[str]:
    """Each quantity of a method after the first epoch and after the last that every seed has."""
    for label, each in histories.items():
        parts = [_ends(manifest, quantity, each) for quantity in logged_quantities(manifest, histories)]
        yield f"{label}: medians of {', '.join(filter(None, parts))}"


def _ends(manifest: Manifest, quantity: Quantity, each: Sequence[History]) -> str:
    points = sorted(by_epoch(each, quantity.metric).items())
    medians = [statistics.median(values) for _, values in points if len(values) == len(each)]
    scale, text = (score_axis.scale(manifest), number) if quantity.is_score else (1.0, _thousands)
    ends = " to ".join(text(scale * medians[place]) for place in (0, -1)) if medians else ""
    return f"{quantity.title} {ends}" if ends else ""


KIND = Kind(
    "training",
    "Training",
    CAPTION,
    lambda data: training(data.manifest, data.histories),
    lambda data: _in_words(data.manifest, data.histories),
)
