"""Neurons left in each layer of units, method beside method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dn_distributed.sparsity import UnitCount
from tracking import columns, published
from tracking.cells import CellResult, MethodResult, Stat
from tracking.figures import style
from tracking.manifest import Manifest

_GROUP = 0.84  # of the room of a layer, the share that its bars take
_MOST_NUMBERED = 24  # bars; more leave no room for the numbers


@dataclass(frozen=True)
class _Bars:
    """A method's bars, one per layer of units."""

    label: str
    color: str
    alive: list[Stat]
    published: list[float] | None


@style.styled
def neurons(manifest: Manifest, methods: Sequence[MethodResult]) -> Figure | None:
    """Draw the share of alive neurons per layer and method. None without a finished replicate."""
    units = _units(methods)
    bars = _all_bars(manifest, methods, len(units))
    if not bars:
        return None
    figure = style.new_figure(3.8)
    axes = figure.subplots()
    width = _GROUP / len(bars)
    for place, item in enumerate(bars):
        middles = np.arange(len(units)) + (place + 0.5) * width - _GROUP / 2
        _draw(axes, item, middles.tolist(), 0.88 * width, units)
        if len(bars) * len(units) <= _MOST_NUMBERED:
            _number(axes, item, middles.tolist())
    axes.set_xticks(range(len(units)), [f"{unit.name}\n(of {unit.total})" for unit in units])
    axes.tick_params(axis="x", length=0, labelcolor=style.INK)
    axes.set(
        ylabel="alive neurons (%)", ylim=(0, 112), yticks=range(0, 101, 25), xlim=(-0.5, len(units) - 0.5)
    )
    axes.yaxis.grid(visible=True)
    style.legend_above(figure, _legend(bars))
    return figure


def _units(methods: Sequence[MethodResult]) -> tuple[UnitCount, ...]:
    rows = (row for method in methods if method.chosen for row in method.chosen.rows)
    first = next(rows, None)
    return first.counts.units if first else ()


def _all_bars(manifest: Manifest, methods: Sequence[MethodResult], num_layers: int) -> list[_Bars]:
    looks = style.looks(method.label for method in methods)
    return [
        _Bars(
            method.label,
            looks[method.label].color,
            [_alive(method.chosen, layer) for layer in range(num_layers)],
            _published(manifest.task, method.chosen.published, num_layers),
        )
        for method in methods
        if method.chosen is not None and method.chosen.rows
    ]


def _alive(result: CellResult, layer: int) -> Stat:
    found = result.stat(lambda row: row.counts.units[layer].alive)
    assert found is not None
    return found


def _published(task: str, row: str | None, num_layers: int) -> list[float] | None:
    if row is None:
        return None
    given = published.figures(task, row)
    return [given.get(columns.layer_neurons(layer), float("nan")) for layer in range(num_layers)]


def _draw(axes: Axes, item: _Bars, middles: list[float], width: float, units: Sequence[UnitCount]) -> None:
    scale = [100 / unit.total for unit in units]
    shares = [found.mean * factor for found, factor in zip(item.alive, scale, strict=True)]
    errors = [(found.std or float("nan")) * factor for found, factor in zip(item.alive, scale, strict=True)]
    axes.bar(middles, [100.0] * len(units), width, facecolor="none", edgecolor=style.FAINT, linewidth=0.8)
    axes.bar(middles, shares, width, color=item.color)
    axes.errorbar(middles, shares, errors, color=style.INK, linewidth=1, capsize=2.5, linestyle="none")
    if item.published is not None:
        left = [number * factor for number, factor in zip(item.published, scale, strict=True)]
        axes.plot(middles, left, **_PUBLISHED)


_PUBLISHED = style.sign("*", 10, face="white")


def _number(axes: Axes, item: _Bars, middles: list[float]) -> None:
    for middle, found in zip(middles, item.alive, strict=True):
        axes.text(middle, 103, f"{found.mean:.0f}", ha="center", va="bottom", fontsize=8, color=style.MUTED)


def _legend(bars: Sequence[_Bars]) -> dict[str, Patch | Line2D]:
    entries: dict[str, Patch | Line2D] = {item.label: Patch(color=item.color) for item in bars}
    if any(item.published for item in bars):
        entries["published count"] = Line2D([], [], **_PUBLISHED)
    entries["all neurons of the layer"] = Patch(facecolor="none", edgecolor=style.MUTED, linewidth=0.8)
    return entries
