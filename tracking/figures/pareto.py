"""Fronts of what is left against the score: at equal score, which method leaves fewer weights, which fewer neurons?"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dn_distributed import score_names
from tracking.figures import omissions, score_axis, style
from tracking.figures.in_words import number
from tracking.figures.kind import Kind
from tracking.figures.method_styles import MethodStyle, method_styles
from tracking.figures.omissions import Count
from tracking.manifest import Manifest
from tracking.results import fronts
from tracking.results.cells import MethodResult
from tracking.results.fronts import Point, Size
from tracking.results.rows import Row

CAPTION = (
    "Each point is a configuration at a pruning threshold, mean over seeds. Above, validation data: the steps are each "
    "method's front, the best score to be had with so much left or less; hollow points are beaten by another of the "
    "same method. Below, test data: the points of the same fronts, which were not chosen by it, with one standard "
    "deviation over seeds both ways; a point may be worse there than one that leaves less, and no line joins them. "
    "Errors, and what is left, stand on logarithmic axes; what is far worse than the rest is counted in a corner. A "
    "latency is that of the smaller networks of `dn compact`, of configurations at their own threshold alone."
)

Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("validation", "test")
_RING = style.sign("o", 12)
_MOST_SHOWN = 2.5  # from the best to the worst, in distances from the best to the middle


@dataclass(frozen=True)
class ShownMethod:
    """What is drawn of a method."""

    label: str
    marks: MethodStyle
    by_size: Mapping[Size, tuple[Point, ...]]
    """The points of each panel."""
    rows: tuple[Row, ...]
    """Of what stands for the method, at the threshold of the sweep."""
    score: str
    published: tuple[float, float] | None
    """Density and test score."""

    @property
    def points(self) -> list[Point]:
        """Those of all panels."""
        return list({id(point): point for points in self.by_size.values() for point in points}.values())

    def place(self, size: Size, split: Split) -> tuple[float, float] | None:
        """Return where what stands for the method stands; None where it has no place."""
        if not self.rows:
            return None
        if size == "latency":
            left = statistics.fmean(row.metrics.get(fronts.LATENCY, math.nan) for row in self.rows)
        else:
            left = statistics.fmean(getattr(row.counts, size) for row in self.rows)
        name = score_names.final(split, self.score)
        score = statistics.fmean(row.metrics.get(name, math.nan) for row in self.rows)
        return (left, score) if left > 0 and math.isfinite(score) else None


@style.styled
def pareto(manifest: Manifest, methods: Sequence[MethodResult], points: Mapping[str, Sequence[Point]]) -> Figure | None:
    """Draw each method's front on validation data over the same points on test data.

    ``points``: at the thresholds of the curves; without any, those with a latency. None where there are neither.
    """
    shown = shown_methods(manifest, methods, points)
    if not shown:
        return None
    figure = style.new_figure(7.6)
    _draw(figure, manifest, shown)
    style.legend_above(figure, _legend(manifest, shown))
    measured = points if any(points.values()) else _compacted(manifest, methods)
    found = {label: tuple(filter(_has_a_place, some)) for label, some in measured.items()}
    timings = fronts.unlike_timings(methods) if any(item.by_size["latency"] for item in shown) else []
    style.note(figure, [*timings, *_notes(methods, measured, found)])
    return figure


def shown_methods(
    manifest: Manifest, methods: Sequence[MethodResult], points: Mapping[str, Sequence[Point]]
) -> list[ShownMethod]:
    """Return what there is to show of each method that has a point; ``points`` as ``pareto`` takes them."""
    styles = method_styles(manifest.methods)
    compacted = _compacted(manifest, methods)
    if not any(points.values()):
        points = compacted
    sizes = fronts.sizes([point for found in points.values() for point in found])
    found = {method.label: tuple(filter(_has_a_place, points.get(method.label, ()))) for method in methods}
    timed = {label: tuple(filter(_has_a_place, some)) for label, some in compacted.items()}
    by_size = {
        method.label: {**dict.fromkeys(sizes, found[method.label]), "latency": timed[method.label]}
        for method in methods
    }
    return [_shown(manifest, m, styles[m.label], by_size[m.label]) for m in methods if any(by_size[m.label].values())]


def _compacted(manifest: Manifest, methods: Sequence[MethodResult]) -> dict[str, list[Point]]:
    return {method.label: fronts.compacted_points(manifest, method) for method in methods}


def _has_a_place(point: Point) -> bool:
    return all(fronts.has_a_place(point, size) for size in point.left)


def _shown(
    manifest: Manifest, method: MethodResult, marks: MethodStyle, by_size: Mapping[Size, tuple[Point, ...]]
) -> ShownMethod:
    rows = method.chosen.rows if method.chosen is not None else ()
    return ShownMethod(
        method.label, marks, by_size, rows, manifest.score, score_axis.published_point(manifest.task, method)
    )


def _draw(figure: Figure, manifest: Manifest, shown: Sequence[ShownMethod]) -> None:
    every = [point for item in shown for point in item.points]
    sizes = [size for size in fronts.SIZES if any(item.by_size.get(size) for item in shown)]
    values = [score for point in every for score in (point.validation, point.test)]
    ends = score_range(manifest, shown)
    within = [p for p in every if any(ends[0] <= score <= ends[1] for score in (p.validation, p.test))]
    grid = figure.subplots(2, len(sizes), sharex="col", sharey=True, squeeze=False)
    no_error = score_axis.axis(grid[0][0], manifest, [score for score in values if ends[0] <= score <= ends[1]])
    if not score_axis.is_logarithmic(manifest, values):
        grid[0][0].set_ylim(ends)
    for line, split in zip(grid, SPLITS, strict=True):
        for axes, size in zip(line, sizes, strict=True):
            _draw_panel(axes, manifest, shown, size, split, no_error)
        line[0].set_ylabel(score_axis.title(manifest, f"{split} {{}}"))
        _count_outside(line[0], manifest, [getattr(point, split) for point in every], ends)
    for axes, size in zip(grid[1], sizes, strict=True):
        text = {"density": style.percent, "dense_size": style.abbreviated}.get(size, style.number)
        style.log_axis(axes, "x", [point.left[size] for point in within if size in point.left], text)
        axes.set_xlabel("weights left (%)" if size == "density" else fronts.SIZES[size])


def score_range(manifest: Manifest, shown: Sequence[ShownMethod]) -> tuple[float, float]:
    """Return the scores between which the axis runs: networks pruned to chance would flatten the part that matters.

    Every method is there with its best point, and with what stands for it.
    """
    values = [score for item in shown for point in item.points for score in (point.validation, point.test)]
    logarithmic = score_axis.is_logarithmic(manifest, values)
    if logarithmic and min(values) == 0:
        return 0.0, max(values)
    sign = -1.0 if manifest.score_higher_is_better else 1.0

    def loss(score: float) -> float:
        """As far down (or up) the axis as the score is worse."""
        return math.log(score) if logarithmic else sign * score

    losses = [loss(value) for value in values]
    best = min(losses)
    usual = statistics.median(losses) - best
    needed = [min(loss(getattr(point, split)) for point in item.points) for item in shown for split in SPLITS]
    needed += [loss(place[1]) for item in shown for split in SPLITS if (place := item.place("density", split))]
    worst = max(losses) if max(losses) <= best + _MOST_SHOWN * usual else max(best + 1.6 * usual, *needed)
    margin = 0.05 * (worst - best) or 0.001
    ends = sorted(math.exp(end) if logarithmic else sign * end for end in (best - 2 * margin, worst + margin))
    return ends[0], ends[1]


def _draw_panel(
    axes: Axes, manifest: Manifest, shown: Sequence[ShownMethod], size: Size, split: Split, no_error: float
) -> None:
    for item in shown:
        marks = item.marks
        points = item.by_size.get(size)
        if not points:
            continue
        best = fronts.front(points, size, higher_is_better=manifest.score_higher_is_better)
        left, all_left = ([point.left[size] for point in some] for some in (best, points))
        score, all_scores = (
            style.at_least((getattr(point, split) for point in some), no_error) for some in (best, points)
        )
        axes.plot(all_left, all_scores, "o", color=marks.color, ms=3, mfc="none", mew=0.6)
        if split == "validation":
            axes.step(left, score, marks.line, where="post", color=marks.color, lw=1.6, marker=marks.marker, ms=4)
        else:
            wide, high = [point.left_std[size] or 0.0 for point in best], [point.test_std or 0.0 for point in best]
            axes.errorbar(left, score, xerr=wide, yerr=high, ls="none", color=marks.color, lw=0.7)
            axes.plot(left, score, marks.marker, ms=4, color=marks.color)
        place = item.place(size, split)
        if place is not None:
            axes.plot(*place, marks.marker, ms=4, color=marks.color)
            axes.plot(*place, zorder=3, **_RING)
    if split == "test" and size == "density":
        _draw_published(axes, shown)
    axes.grid(visible=True)


def _draw_published(axes: Axes, shown: Sequence[ShownMethod]) -> None:
    colors: dict[tuple[float, float], list[str]] = {}
    for item in shown:
        if item.published is not None:
            colors.setdefault(item.published, []).append(item.marks.color)
    for place, of_methods in colors.items():
        face = of_methods[0] if len(of_methods) == 1 else "white"
        axes.plot(*place, zorder=4, **style.sign("*", 12, face=face))


def _count_outside(axes: Axes, manifest: Manifest, values: Sequence[float], ends: tuple[float, float]) -> None:
    """Say in a corner how many points are worse than the axis shows."""
    higher = manifest.score_higher_is_better
    outside = sum(value < ends[0] if higher else value > ends[1] for value in values)
    if outside:
        axes.text(
            *(0.98, 0.02 if higher else 0.98),
            f"{outside} of {len(values)} points lie {'below' if higher else 'above'}",
            ha="right", va="bottom" if higher else "top", fontsize=8, color=style.MUTED, transform=axes.transAxes,
            zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )  # fmt: skip


def _legend(manifest: Manifest, shown: Sequence[ShownMethod]) -> list[tuple[str, Artist]]:
    entries: list[tuple[str, Artist]] = [
        (item.label, Line2D([], [], color=item.marks.color, ls=item.marks.line, marker=item.marks.marker, ms=5, lw=1.6))
        for item in shown
    ]
    chosen = "chosen" * (manifest.selection is not None)
    entries.append((f"{chosen} at the sweep's threshold".strip(), Line2D([], [], **_RING)))
    if any(item.published for item in shown):
        entries.append(("published", Line2D([], [], **style.sign("*", 12, face="white"))))
    return entries


def _notes(
    methods: Sequence[MethodResult], measured: Mapping[str, Sequence[Point]], shown: Mapping[str, Sequence[Point]]
) -> list[str]:
    left_out, nothing, no_score = [], [], []
    for method in methods:
        label, points = method.label, measured.get(method.label, ())
        curved = [result.cell.key for result in method.tried if result.cell.pruning.curve and not result.cell.baseline]
        left_out.append(Count(label, len({*curved} - {point.cell_key for point in points}), len(curved)))
        empty = sum(1 for point in points if not all(point.left.values()))
        nothing.append(Count(label, empty, len(points)))
        no_score.append(Count(label, len(points) - empty - len(shown.get(label, ())), len(points)))
    return [
        *omissions.so_many("Configurations that are not complete, and not shown", left_out),
        *omissions.so_many("Points that leave nothing, and are not shown", nothing),
        *omissions.so_many("Points without a finite score, and not shown", no_score),
    ]


def _in_words(
    manifest: Manifest, methods: Sequence[MethodResult], points: Mapping[str, Sequence[Point]]
) -> Iterator[str]:
    """The ends of each front in weights."""
    scale, unit = score_axis.scale(manifest), " %" * (score_axis.scale(manifest) != 1)
    for item in shown_methods(manifest, methods, points):
        found = item.by_size.get("density") or ()
        best = fronts.front(found, "density", higher_is_better=manifest.score_higher_is_better)
        if best:
            first, last = (
                f"{number(100 * point.left['density'])} % of the weights left at validation {manifest.score} "
                f"{number(scale * point.validation)}{unit}"
                for point in (best[0], best[-1])
            )
            others = f" to {last}" * (len(best) > 1)
            yield f"{item.label}: {len(best)} of {len(found)} points on its front, {first}{others}"


KIND = Kind(
    "pareto",
    "What is left at equal score",
    CAPTION,
    lambda data: pareto(data.manifest, data.methods, data.points()),
    lambda data: _in_words(data.manifest, data.methods, data.points()),
    of_rows=True,
)
