"""What a linear network estimates, beside what made its data."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from tracking.figures import style
from tracking.figures.evidence import Estimate, Floats
from tracking.manifest import Manifest

_TRUTH = style.sign("o", 9)


@style.styled
def estimates(manifest: Manifest, found: Sequence[Estimate]) -> Figure | None:
    """Draw estimated over true coefficients, a panel per method. None for a task that is not linear."""
    if not found:
        return None
    figure, panels = style.panels(len(found), most=2, height=2.7)
    looks = style.looks(method.label for method in manifest.methods)
    for axes, item in zip(panels, found, strict=True):
        _draw(axes, item, looks[item.label].color)
    figure.supxlabel("feature", fontsize=9.5)
    style.legend_above(
        figure,
        {
            "true coefficient (the others are 0)": Line2D([], [], **_TRUTH),
            "estimated coefficient that is not 0": Line2D([], [], color=style.MUTED, marker="o", ms=5, lw=1.5),
        },
    )
    return figure


def _draw(axes: Axes, item: Estimate, color: str) -> None:
    found, truth = _nonzero(item.found), _nonzero(item.truth)
    axes.axhline(0, color=style.MUTED, lw=0.8)
    axes.vlines(list(found), 0, list(found.values()), color=color, lw=1.8)
    axes.plot(list(found), list(found.values()), "o", color=color, ms=5)
    axes.plot(list(truth), list(truth.values()), **_TRUTH)
    axes.set_title(f"{item.label}: {len(found)} of {len(item.found)} not zero, {len(truth)} in truth")
    axes.set(xlim=(0, len(item.truth) + 1), xticks=range(5, len(item.truth) + 1, 5))
    axes.yaxis.grid(visible=True)
    sizes = [abs(value) for value in truth.values()]
    if style.is_wide(sizes):  # in both directions, and linear where nothing is true
        axes.set_yscale("symlog", linthresh=min(sizes))
        ticks = [10.0**power for power in range(math.floor(math.log10(min(sizes))), math.ceil(math.log10(max(sizes))))]
        axes.yaxis.set_major_locator(FixedLocator([*(-tick for tick in ticks), 0, *ticks]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.margins(y=0.15)


def _nonzero(values: Floats) -> dict[int, float]:
    """By feature, counted from one."""
    return {place: value for place, value in enumerate(values.tolist(), start=1) if value != 0}
