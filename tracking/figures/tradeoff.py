"""Density against score: what a method pays for the weights that it saves."""

import math
from collections.abc import Sequence
from statistics import fmean, geometric_mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracking import columns, published
from tracking.cells import MethodResult
from tracking.figures import style
from tracking.manifest import Manifest
from tracking.reader import Row

_Point = tuple[float, float]


@style.styled
def tradeoff(manifest: Manifest, methods: Sequence[MethodResult]) -> Figure | None:
    """Draw every finished network by density and test score. None without one."""
    looks = style.looks(method.label for method in methods)
    shown = [method for method in methods if any(r.rows and r.cell.baseline is None for r in method.tried)]
    if not shown:
        return None
    figure = style.new_figure(4.6)
    axes = figure.subplots()
    drawn: list[_Point] = []
    for method in shown:
        drawn += _draw_method(axes, manifest, method, looks[method.label])
    _axes(axes, manifest, drawn)
    style.legend_above(figure, _legend(manifest, shown, looks))
    return figure


def _draw_method(axes: Axes, manifest: Manifest, method: MethodResult, look: style.Look) -> list[_Point]:
    """Draw a method's cells, and return every point that the axes must hold."""
    shown = [(result, [_point(manifest, row) for row in result.rows]) for result in method.tried if result.rows]
    drawn = [point for _, points in shown for point in points]
    if drawn:  # a line for all of them: one a cell would take seconds where there are a thousand
        means = [_mean(manifest, points) for _, points in shown]
        axes.plot(*zip(*means, strict=True), look.marker, ms=9, mec=look.color, mew=1.3, mfc=(look.color, 0.25))
        axes.plot(*zip(*drawn, strict=True), look.marker, ms=3, color=look.color, mew=0)
    if manifest.selection is not None and method.chosen is not None and method.chosen.rows:
        axes.plot(*_mean(manifest, [_point(manifest, row) for row in method.chosen.rows]), **style.sign("o", 18))
    star = _published_point(manifest, method)
    if star is not None:
        axes.plot(*star, zorder=3, **style.sign("*", 15, face=look.color))
        drawn.append(star)
    return drawn


def _point(manifest: Manifest, row: Row) -> _Point:
    counts = row.counts
    # A network without a weight has no place on a logarithmic axis: it stands where half a weight would.
    density = max(counts.num_nonzero, 0.5) / counts.num_weights
    score = row.metrics.get(f"test/{manifest.score}/after_pruning", math.nan)
    return density, score if style.is_number(score) else math.nan


def _mean(manifest: Manifest, points: Sequence[_Point]) -> _Point:
    """The middle of the points as the axes show it: the geometric mean of densities, and of errors."""
    densities, scores = zip(*points, strict=True)
    is_error = not manifest.score_higher_is_better and all(score > 0 for score in scores)
    return geometric_mean(densities), geometric_mean(scores) if is_error else fmean(scores)


def _published_point(manifest: Manifest, method: MethodResult) -> _Point | None:
    rows = [result.published for result in method.tried if result.published]
    if not rows:
        return None
    given = published.figures(manifest.task, rows[0])
    score = given.get(columns.SCORE_AFTER)
    return None if score is None else (given[columns.DENSITY], score)


def _axes(axes: Axes, manifest: Manifest, drawn: Sequence[_Point]) -> None:
    densities, scores = zip(*drawn, strict=True)
    style.log_axis(axes, "x", densities, lambda value: f"{100 * value:g}")
    if not manifest.score_higher_is_better and style.is_wide(scores):
        style.log_axis(axes, "y", scores, lambda value: f"{value:g}")
    elif manifest.score == "accuracy":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    unit = " (%)" if manifest.score == "accuracy" else ""
    axes.set(xlabel="weights left (%)", ylabel=f"test {manifest.score} after pruning{unit}")
    axes.grid(visible=True)


def _legend(manifest: Manifest, shown: Sequence[MethodResult], looks: dict[str, style.Look]) -> dict[str, Line2D]:
    entries = {
        method.label: Line2D([], [], color=looks[method.label].color, marker=looks[method.label].marker, ls="none")
        for method in shown
    }
    if manifest.selection is not None:
        entries["chosen"] = Line2D([], [], **style.sign("o", 11))
    if any(_published_point(manifest, method) for method in shown):
        entries["published"] = Line2D([], [], **style.sign("*", 12, face="white"))
    return entries
