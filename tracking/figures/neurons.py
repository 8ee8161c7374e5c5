"""Neurons left in each layer of units, method beside method."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dn_distributed.sparsity import UnitCount
from tracking.figures import omissions, style
from tracking.figures.in_words import of_layers
from tracking.figures.kind import Kind
from tracking.figures.method_styles import MethodStyle, method_styles
from tracking.manifest import Manifest
from tracking.results.cells import CellResult, MethodResult
from tracking.tables import columns, published

CAPTION = (
    "Neurons on a path of non-zero weights from an input to an output: mean over seeds, and a standard deviation as "
    "far as there can be neurons. Where there is a published count, a line gives ours by the same rule."
)

_GROUP = 0.84  # of the room of a layer, the share that its bars take
_BAR = 0.88  # of the room of a bar
_MOST_NUMBERED = 24  # bars; more leave no room for the numbers
_PUBLISHED = style.sign("*", 10, face="white")
_BY_THEIR_RULE = style.sign("_", 11)


@dataclass(frozen=True)
class _Bar:
    """Neurons of a layer that a method leaves, in percent of the layer but for ``mean``."""

    mean: float
    share: float
    error: float
    by_their_rule: float
    published: float


@style.styled
def neurons(manifest: Manifest, methods: Sequence[MethodResult]) -> Figure | None:
    """Draw the share of alive neurons per layer and method. None without a finished replicate."""
    styles = method_styles(manifest.methods)
    networks = {m.label: m.chosen for m in methods if m.chosen and m.chosen.rows and m.chosen.cell.baseline is None}
    if not networks:
        return None
    bars = {label: _bars(manifest.task, result) for label, result in networks.items()}
    units = next(iter(networks.values())).rows[0].counts.units
    figure = style.new_figure(3.8)
    axes = figure.subplots()
    width = _GROUP / len(bars)
    for place, (label, group) in enumerate(bars.items()):
        middles = [layer + (place + 0.5) * width - _GROUP / 2 for layer in range(len(units))]
        _draw(axes, group, middles, _BAR * width, styles[label])
        if len(bars) * len(units) <= _MOST_NUMBERED:
            _number(axes, group, middles)
    axes.set_ylim(0, 110)
    _label(axes, units)
    any_published = any(math.isfinite(bar.published) for group in bars.values() for bar in group)
    style.legend_above(figure, _legend([(label, styles[label]) for label in bars], any_published))
    style.note(figure, omissions.not_finished(omissions.chosen(methods)))
    return figure


def _bars(task: str, result: CellResult) -> list[_Bar]:
    printed = published.figures(task, result.published) if result.published else {}
    bars = []
    for place, unit in enumerate(result.rows[0].counts.units):
        found = result.stat(lambda row, place=place: row.counts.units[place].alive)  # type: ignore[misc]
        assert found is not None
        percent = 100 / unit.total
        left = printed.get(columns.layer_neurons(place), math.nan)
        counted = fmean(row.counts.units[place].published for row in result.rows) if printed else math.nan
        spread = found.std or math.nan
        bars.append(_Bar(found.mean, *(percent * value for value in (found.mean, spread, counted, left))))
    return bars


def _draw(axes: Axes, bars: Sequence[_Bar], middles: list[float], width: float, marks: MethodStyle) -> None:
    shares = [bar.share for bar in bars]
    axes.bar(middles, [100.0] * len(bars), width, facecolor="none", edgecolor=style.MUTED, lw=0.5)
    axes.bar(middles, shares, width, color=marks.color, hatch=marks.hatch, edgecolor="white", lw=0)
    axes.errorbar(middles, shares, _around(bars), color=style.INK, lw=1, capsize=2.5, ls="none")
    axes.plot(middles, [bar.by_their_rule for bar in bars], **_BY_THEIR_RULE)
    axes.plot(middles, [bar.published for bar in bars], **_PUBLISHED)


def _around(bars: Sequence[_Bar]) -> list[list[float]]:
    """A standard deviation down and up, as far as there can be neurons."""
    return [[min(bar.error, bar.share) for bar in bars], [min(bar.error, 100 - bar.share) for bar in bars]]


def _number(axes: Axes, bars: Sequence[_Bar], middles: list[float]) -> None:
    for middle, bar in zip(middles, bars, strict=True):
        axes.text(middle, 103, _count(bar.mean), ha="center", va="bottom", fontsize=8, color=style.MUTED)


def _count(mean: float) -> str:
    """A mean of a few neurons has a decimal: 0.9 of 1 is not 1."""
    return f"{mean:.0f}" if mean >= 10 or mean == int(mean) else f"{mean:.1f}"


def _label(axes: Axes, units: Sequence[UnitCount]) -> None:
    axes.set_xticks(range(len(units)), [f"{unit.name}\n(of {unit.total})" for unit in units])
    axes.tick_params(axis="x", length=0, labelcolor=style.INK)
    axes.set(ylabel="alive neurons (%)", yticks=range(0, 101, 25), xlim=(-0.5, len(units) - 0.5))
    axes.yaxis.grid(visible=True)


def _legend(shown: Sequence[tuple[str, MethodStyle]], any_published: bool) -> list[tuple[str, Artist]]:
    entries: list[tuple[str, Artist]] = [
        (label, Patch(facecolor=marks.color, hatch=marks.hatch, edgecolor="white", lw=0)) for label, marks in shown
    ]
    if any_published:
        entries.append(("published (its rule counts as many or more)", Line2D([], [], **_PUBLISHED)))
        entries.append(("ours by that rule", Line2D([], [], **_BY_THEIR_RULE)))
    return [*entries, ("all neurons of the layer", Patch(facecolor="none", edgecolor=style.MUTED, lw=0.5))]


def _in_words(methods: Sequence[MethodResult]) -> Iterator[str]:
    """Means, as they stand over the bars."""
    for label, (result, *_) in omissions.chosen(methods).items():
        if result.rows:
            every = zip(*(row.counts.units for row in result.rows), strict=True)
            means = [(of[0], fmean(unit.alive for unit in of)) for of in every]
            yield of_layers(label, (f"{unit.name} {_count(mean)} of {unit.total}" for unit, mean in means)) + " neurons"


KIND = Kind(
    "neurons",
    "Neurons left per layer",
    CAPTION,
    lambda data: neurons(data.manifest, data.methods),
    lambda data: _in_words(data.methods),
    of_rows=True,
)
