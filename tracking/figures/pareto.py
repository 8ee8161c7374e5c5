"""Fronts of what is left against the score: at equal score, which method leaves fewer weights, which fewer neurons?"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracking import fronts
from tracking.figures import style
from tracking.fronts import Point, Saving
from tracking.manifest import Manifest


@style.styled
def pareto(manifest: Manifest, points: Mapping[str, Sequence[Point]]) -> Figure | None:
    """Draw each method's front with a band of one standard deviation over seeds. None without curves."""
    shown = {label: found for label, found in points.items() if found}
    if not shown:
        return None
    looks = style.looks(method.label for method in manifest.methods)
    figure = style.new_figure(4.6)
    every = [point for found in shown.values() for point in found]
    savings = fronts.savings(every)
    for axes, saving in zip(figure.subplots(1, len(savings), sharey=True), savings, strict=True):
        for label, found in shown.items():
            _draw(axes, manifest, saving, found, looks[label])
        _axes(axes, manifest, saving, every)
    entries = {label: Line2D([], [], color=looks[label].color, ls=looks[label].line, lw=2) for label in shown}
    style.legend_above(figure, entries)
    return figure


def _draw(axes: Axes, manifest: Manifest, saving: Saving, found: Sequence[Point], look: style.Look) -> None:
    found = _shown(found, saving)
    best = fronts.front(found, saving, higher_is_better=manifest.score_higher_is_better)
    at = [point.left[saving] for point in best]
    lows = [point.test - (point.test_std or 0.0) for point in best]
    highs = [point.test + (point.test_std or 0.0) for point in best]
    axes.plot([p.left[saving] for p in found], [p.test for p in found], ".", color=look.color, ms=3, alpha=0.35)
    axes.fill_between(at, lows, highs, color=look.color, alpha=0.18, lw=0)
    axes.plot(at, [point.test for point in best], look.line, color=look.color, lw=1.8, marker=look.marker, ms=4)


def _shown(found: Sequence[Point], saving: Saving) -> list[Point]:
    """A logarithmic axis has no place for a network of nothing."""
    return [point for point in found if point.left[saving] > 0]


def _axes(axes: Axes, manifest: Manifest, saving: Saving, found: Sequence[Point]) -> None:
    percent = manifest.score == "accuracy"
    text = (lambda value: f"{100 * value:g}") if saving == "density" else (lambda value: f"{value:g}")
    scores = sorted((point.test for point in found), reverse=manifest.score_higher_is_better)
    best, middle = scores[0], scores[len(scores) // 2]
    # Networks that are pruned to nothing would flatten the part that matters.
    ends = sorted((best + 0.1 * (best - middle), best - 1.6 * (best - middle)))
    if ends[0] < ends[1]:
        axes.set_ylim(*ends)
        found = [point for point in found if ends[0] <= point.test <= ends[1]]
    style.log_axis(axes, "x", [point.left[saving] for point in _shown(found, saving)], text)
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    title = "weights left (%)" if saving == "density" else fronts.SAVINGS[saving]
    axes.set(xlabel=title, ylabel=f"test {manifest.score}{' (%)' * percent}" if saving == "density" else "")
    axes.grid(visible=True)
