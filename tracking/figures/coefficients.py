"""What linear networks estimate against what made their data, all seeds."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from tracking.figures import omissions, style
from tracking.figures.kind import Kind
from tracking.figures.method_styles import method_styles
from tracking.figures.omissions import Count
from tracking.figures.values import Estimates, Floats
from tracking.manifest import Manifest

CAPTION = (
    "The product of a pruned network's weight matrices is the coefficient vector that it estimates; every seed has a "
    "problem of its own, and all finished seeds are shown. On the dashed line an estimate is right; coefficients that "
    "are 0 in truth and not in the estimate stand at 0 of the horizontal axis, those that are missed at 0 of the "
    "vertical one. The support is exact where neither occurs."
)

_ACROSS = 3  # panels in a line
_MOST_DECADES = 4  # from the largest coefficient down; what is smaller stands on the linear part around 0
_MISSED = style.sign("o", 6, face="white")
_FALSE: dict[str, Any] = {"ls": "none", "marker": "_", "ms": 7, "mew": 1.2}
_HIT: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 4, "mec": "white", "mew": 0.3}


@style.styled
def estimates(manifest: Manifest, found: Sequence[Estimates]) -> Figure | None:
    """Draw estimated against true coefficients, a panel per method. None for a task that is not linear."""
    if not found:
        return None
    figure, panels = style.panels(len(found), most=_ACROSS, height=3.3)
    styles = method_styles(manifest.methods)
    sizes = [value for item in found for value in _sizes(item)]
    for place, (axes, item) in enumerate(zip(panels, found, strict=True)):
        _draw(axes, item, styles[item.label].color)
        least = _axes(axes, sizes)
        axes.set_xlabel(f"true coefficient (linear within ±{style.number(least)})")
        axes.set_ylabel("estimated coefficient" if place % _ACROSS == 0 else "")
    style.legend_above(
        figure,
        [
            ("found: neither is 0", Line2D([], [], color=style.MUTED, **_HIT)),
            ("missed: the estimate is 0", Line2D([], [], **_MISSED)),
            ("false: the truth is 0, the estimate is not", Line2D([], [], color=style.MUTED, **_FALSE)),
        ],
    )
    style.note(figure, _notes(manifest, found))
    return figure


def _draw(axes: Axes, item: Estimates, color: str) -> None:
    found, truth = item.found != 0, item.truth != 0
    axes.axhline(0, color=style.FAINT, lw=0.8)
    axes.axvline(0, color=style.FAINT, lw=0.8)
    axes.axline((0, 0), slope=1, color=style.MUTED, lw=0.8, ls=(0, (4, 3)))
    for where, marks in (
        (found & ~truth, {**_FALSE, "color": color}),
        (found & truth, {**_HIT, "color": color}),
        (~found & truth, _MISSED),
    ):
        axes.plot(item.truth[where], item.found[where], **marks)
    axes.set_title("\n".join([style.short(item.label, 32), *_recovered(item)]))


def _recovered(item: Estimates) -> tuple[str, str]:
    """For how many seeds the support is exact, and how many coefficients are missed, and false."""
    found, truth = item.found != 0, item.truth != 0
    exact = int((found == truth).all(1).sum())
    missed, false = int((~found & truth).sum()), int((found & ~truth).sum())
    return (
        f"exact support for {exact} of {len(item.seeds)} seeds",
        f"missed {missed} of {int(truth.sum())}, false {false} of {int((~truth).sum())}",
    )


def _sizes(item: Estimates) -> list[float]:
    """The sizes of what is not 0, in truth or in an estimate."""
    values = np.abs(np.concatenate([item.found.flatten(), item.truth.flatten()]))
    return [float(value) for value in values[np.isfinite(values) & (values > 0)]]


def _axes(axes: Axes, sizes: Sequence[float]) -> float:
    """Make both axes the same: logarithmic in both directions, and linear around 0, up to what is returned."""
    most = max(sizes, default=1.0)
    powers = range(math.floor(math.log10(min(sizes, default=1.0))), math.floor(math.log10(most)) + 1)[-_MOST_DECADES:]
    least = 10.0 ** powers[0]
    ticks = [10.0**power for power in powers[::-2]]
    text = style.written_alike(ticks, style.number)
    axes.set_xscale("symlog", linthresh=least, linscale=0.5)
    axes.set_yscale("symlog", linthresh=least, linscale=0.5)
    axes.set(xlim=(-2 * most, 2 * most), ylim=(-2 * most, 2 * most), box_aspect=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([*(-tick for tick in ticks), 0, *ticks]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: text(value))
    return least


def _notes(manifest: Manifest, found: Sequence[Estimates]) -> list[str]:
    whole = len(manifest.seeds)
    there = [Count(item.label, len(item.seeds), whole) for item in found]
    lost = [_counted(item, lambda estimate: not estimate.any()) for item in found]
    no_number = [_counted(item, lambda estimate: not np.isfinite(estimate).all()) for item in found]
    return [
        *omissions.not_all("Seeds that are shown", there),
        *omissions.so_many("Every coefficient estimated as 0", lost),
        *omissions.so_many("Estimates that are no number, and not shown", no_number),
    ]


def _counted(item: Estimates, is_so: Callable[[Floats], bool]) -> Count:
    found = [seed for seed, estimate in zip(item.seeds, item.found, strict=True) if is_so(estimate)]
    return Count(item.label, len(found), len(item.seeds), omissions.seeds(found))


KIND = Kind(
    "coefficients",
    "Estimated coefficients",
    CAPTION,
    lambda data: estimates(data.manifest, data.estimates),
    lambda data: (f"{item.label}: {', '.join(_recovered(item))}" for item in data.estimates),
)
