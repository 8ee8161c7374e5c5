"""What is left against score: what a method pays for the weights that it saves, sparse or cut out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle

from dn_distributed import score_names
from dn_distributed.config import Cell
from tracking.figures import omissions, score_axis, style
from tracking.figures.in_words import number
from tracking.figures.kind import Kind
from tracking.figures.method_styles import MethodStyle, method_styles
from tracking.figures.omissions import Count
from tracking.manifest import Manifest
from tracking.results import fronts
from tracking.results.cells import MethodResult
from tracking.results.fronts import LATENCY, SIZES
from tracking.results.rows import Row

CAPTION = (
    "What pruning leaves against the test score of the pruned network (networks only; errors on a logarithmic axis): "
    "the share of weights, the weights of the dense network that remains when dead neurons are cut out, and, where "
    "every network was made smaller by `dn compact`, its latency. Small points are seeds, large ones the mean of all "
    "seeds of a configuration: of what is left and of errors the geometric mean, or where a seed has 0 of it the "
    "arithmetic one. Where a seed has no finite score, there is no mean."
)

_NOTHING = MarkerStyle((8, 2, 0))
"""Of a network without a weight: a star of eight lines."""


LeftSize = Literal["density", "dense_size", "latency"]
PANELS: tuple[tuple[LeftSize, str, Callable[[float], str]], ...] = (
    ("density", "weights left (%)", style.percent),
    ("dense_size", SIZES["dense_size"], style.abbreviated),
    ("latency", SIZES["latency"], style.number),
)
"""What each panel shows, its title and how its ticks are written. A latency is shown where every network has one."""


@dataclass(frozen=True)
class NetworkPoint:
    """A network, or the mean of some."""

    seed: int
    left: Mapping[LeftSize, float]
    """Of a published figure the density alone is known."""
    score: float
    run_id: str = ""
    """Of a network that the store holds."""


@dataclass(frozen=True)
class Configuration:
    """Networks that differ in the seed alone."""

    cell: Cell
    points: tuple[NetworkPoint, ...]
    means: Mapping[LeftSize, NetworkPoint]
    """Of all points; none where one has no finite score, and of no size that one lacks: nothing is averaged around."""
    is_chosen: bool


@dataclass(frozen=True)
class ShownMethod:
    """What is drawn of a method."""

    label: str
    marks: MethodStyle
    configurations: tuple[Configuration, ...]
    published: NetworkPoint | None

    def points(self) -> list[NetworkPoint]:
        """Every network that has a score."""
        return [p for made in self.configurations for p in made.points if math.isfinite(p.score)]


@style.styled
def tradeoff(manifest: Manifest, methods: Sequence[MethodResult]) -> Figure | None:
    """Draw every finished network by density and test score. None without one that has a score."""
    every = shown_methods(manifest, methods)
    shown = [item for item in every if item.points()]
    if not shown:
        return None
    figure = style.new_figure(4.6)
    measured = measured_panels(shown)
    panels = figure.subplots(1, len(measured), sharey=True)
    for axes, (size, title, text) in zip(panels, measured, strict=True):
        _draw(axes, manifest, shown, size, text)
        axes.set(xlabel=title)
    panels[0].set(ylabel=score_axis.title(manifest, "test {} after pruning"))
    style.legend_above(figure, _legend(manifest, shown))
    style.note(figure, notes(methods, every))
    return figure


def shown_methods(manifest: Manifest, methods: Sequence[MethodResult]) -> list[ShownMethod]:
    """Return what there is to show of each method that trains networks."""
    styles = method_styles(manifest.methods)
    networks = [method for method in methods if all(result.cell.baseline is None for result in method.tried)]
    logarithmic = score_axis.is_logarithmic(
        manifest, [_point(manifest, row).score for method in networks for result in method.tried for row in result.rows]
    )
    return [_shown(manifest, method, styles[method.label], logarithmic=logarithmic) for method in networks]


def measured_panels(shown: Sequence[ShownMethod]) -> list[tuple[LeftSize, str, Callable[[float], str]]]:
    """Return the panels whose size every network has."""
    return [panel for panel in PANELS if all(panel[0] in point.left for item in shown for point in item.points())]


def _shown(manifest: Manifest, method: MethodResult, marks: MethodStyle, *, logarithmic: bool) -> ShownMethod:
    made = []
    for result in method.tried:
        points = tuple(_point(manifest, row) for row in result.rows)
        is_chosen = manifest.selection is not None and result is method.chosen
        made.append(Configuration(result.cell, points, _means(points, logarithmic=logarithmic), is_chosen))
    star = score_axis.published_point(manifest.task, method)
    return ShownMethod(method.label, marks, tuple(made), star and NetworkPoint(-1, {"density": star[0]}, star[1]))


def _point(manifest: Manifest, row: Row) -> NetworkPoint:
    left: dict[LeftSize, float] = {"density": row.counts.density, "dense_size": row.counts.dense_size}
    if LATENCY in row.metrics:
        left["latency"] = row.metrics[LATENCY]
    score = row.metrics.get(score_names.final("test", manifest.score), math.nan)
    return NetworkPoint(row.seed, left, score, row.run_id)


def _means(points: Sequence[NetworkPoint], *, logarithmic: bool) -> dict[LeftSize, NetworkPoint]:
    """The middle of the points as the axes of each panel show it."""
    if not points or not all(math.isfinite(point.score) for point in points):
        return {}
    score = score_axis.middle([point.score for point in points], logarithmic=logarithmic)
    sizes = [size for size, _, _ in PANELS if all(size in point.left for point in points)]
    left = {size: score_axis.middle([point.left[size] for point in points], logarithmic=True) for size in sizes}
    return {size: NetworkPoint(-1, {size: value}, score) for size, value in left.items()}


def _draw(
    axes: Axes, manifest: Manifest, shown: Sequence[ShownMethod], size: LeftSize, text: Callable[[float], str]
) -> None:
    every = [point for item in shown for point in (*item.points(), *filter(None, [item.published]))]
    no_weight = style.log_axis(axes, "x", [point.left[size] for point in every if size in point.left], text)
    no_error = score_axis.axis(axes, manifest, [point.score for point in every])

    def place(points: Sequence[NetworkPoint]) -> tuple[list[float], list[float]]:
        sizes, found = [point.left[size] for point in points], [point.score for point in points]
        return style.at_least(sizes, no_weight), style.at_least(found, no_error)

    for item in shown:
        marks, points = item.marks, item.points()
        means = [made.means[size] for made in item.configurations if size in made.means]
        axes.plot(*place(means), marks.marker, ms=9, mec=marks.color, mew=1.3, mfc=(marks.color, 0.25))
        left, lost = ([p for p in points if (p.left[size] > 0) == some] for some in (True, False))
        axes.plot(*place(left), marks.marker, ms=3, color=marks.color, mew=0)
        axes.plot(*place(lost), ls="none", marker=_NOTHING, ms=8, color=marks.color, zorder=3)
        rings = [made.means[size] for made in item.configurations if made.is_chosen and size in made.means]
        axes.plot(*place(rings), **style.sign("o", 18))
        if item.published is not None and size in item.published.left:
            axes.plot(*place([item.published]), zorder=3, **style.sign("*", 15, face=marks.color))
    axes.grid(visible=True)


def _legend(manifest: Manifest, shown: Sequence[ShownMethod]) -> list[tuple[str, Line2D]]:
    entries = [
        (item.label, Line2D([], [], color=item.marks.color, marker=item.marks.marker, ls="none")) for item in shown
    ]
    if any(0 in point.left.values() for item in shown for point in item.points()):
        entries.append(("nothing left", Line2D([], [], color=style.INK, marker=_NOTHING, ms=8, ls="none")))
    if manifest.selection is not None:
        entries.append(("chosen", Line2D([], [], **style.sign("o", 11))))
    if any(item.published is not None for item in shown):
        entries.append(("published", Line2D([], [], **style.sign("*", 12, face="white"))))
    return entries


def notes(methods: Sequence[MethodResult], every: Sequence[ShownMethod]) -> list[str]:
    """Return in sentences what is not shown, or stands at 0, of ``every`` method that trains networks."""
    labels = {item.label for item in every}
    networks = [method for method in methods if method.label in labels]
    measured = measured_panels([item for item in every if item.points()])
    timings = fronts.unlike_timings(networks) if any(size == "latency" for size, *_ in measured) else []
    unfinished = omissions.not_finished({method.label: method.tried for method in networks})
    lost = [_counted(item, lambda point: point.left["density"] == 0) for item in every]
    cut = [_counted(item, lambda point: point.left["dense_size"] == 0 < point.left["density"]) for item in every]
    no_score = [_counted(item, lambda point: not math.isfinite(point.score)) for item in every]
    return [
        *timings,
        *unfinished,
        *omissions.so_many("Networks with nothing left", lost),
        *omissions.so_many("Networks with weights left, but no path from input to output", cut),
        *omissions.so_many("Without a finite score, and not shown", no_score),
    ]


def _counted(item: ShownMethod, is_so: Callable[[NetworkPoint], bool]) -> Count:
    points = [point for made in item.configurations for point in made.points]
    found = [point.seed for point in points if is_so(point)]
    which = omissions.seeds(found) if len(item.configurations) == 1 else ""
    return Count(item.label, len(found), len(points), which)


def _in_words(manifest: Manifest, methods: Sequence[MethodResult]) -> Iterator[str]:
    scale, unit = score_axis.scale(manifest), " %" * (score_axis.scale(manifest) != 1)
    for item in shown_methods(manifest, methods):
        tried = [made for made in item.configurations if made.means]
        made = next((made for made in tried if made.is_chosen), tried[0] if len(tried) == 1 else None)
        if made is not None:
            mean, lost = made.means["density"], sum(1 for point in made.points if point.left["density"] == 0)
            score = f"{manifest.score} {number(scale * mean.score)}{unit}"
            left = f"{number(100 * mean.left['density'])} % of the weights left, test {score}"
            yield f"{item.label}: {left}, mean of {len(made.points)}{f', {lost} with nothing left' * bool(lost)}"
        elif tried:
            lefts = [100 * made.means["density"].left["density"] for made in tried]
            ends = " to ".join(map(number, (min(lefts), max(lefts))))
            yield f"{item.label}: {len(tried)} configurations, {ends} % of the weights left"


KIND = Kind(
    "tradeoff",
    "What is left against score",
    CAPTION,
    lambda data: tradeoff(data.manifest, data.methods),
    lambda data: _in_words(data.manifest, data.methods),
    of_rows=True,
)
