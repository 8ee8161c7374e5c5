"""What a linear network estimates, beside what made its data."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracking.figures import style
from tracking.figures.evidence import Estimate

_TRUTH = style.sign("o", 9)


@style.styled
def estimates(found: Sequence[Estimate]) -> Figure | None:
    """Draw estimated over true coefficients, a panel per method. None for a task that is not linear."""
    if not found:
        return None
    figure, panels = style.panels(len(found), most=2, height=2.7)
    looks = style.looks(item.label for item in found)
    for axes, item in zip(panels, found, strict=True):
        _draw(axes, item, looks[item.label].color)
    figure.supxlabel("feature", fontsize=9.5)
    style.legend_above(
        figure,
        {
            "true coefficient": Line2D([], [], **_TRUTH),
            "estimated": Line2D([], [], color=style.MUTED, marker="o", markersize=5, lw=1.5),
        },
    )
    return figure


def _draw(axes: Axes, item: Estimate, color: str) -> None:
    places = list(range(1, len(item.truth) + 1))
    axes.axhline(0, color=style.MUTED, lw=0.8)
    axes.vlines(places, 0, item.found.tolist(), color=color, lw=1.8)
    axes.plot(places, item.found.tolist(), "o", color=color, markersize=5)
    axes.plot(places, item.truth.tolist(), **_TRUTH)
    nonzero, true = int((item.found != 0).sum()), int((item.truth != 0).sum())
    axes.set_title(f"{item.label}, seed {item.seed}: {nonzero} of {len(places)} not zero (true: {true})")
    axes.yaxis.grid(visible=True)
    axes.margins(x=0.03)
