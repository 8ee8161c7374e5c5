"""How a score stands on an axis, the same in every figure."""

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes

from tracking.figures import style
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult
from tracking.tables import columns, published


def title(manifest: Manifest, what: str) -> str:
    """Return what an axis of the score says, ``what`` with a ``{}`` for its name."""
    return what.format(manifest.score) + " (%)" * (scale(manifest) != 1)


def scale(manifest: Manifest) -> float:
    """Return what a score is multiplied by where it is shown: an accuracy is in per cent."""
    return 100.0 if manifest.score == "accuracy" else 1.0


def is_logarithmic(manifest: Manifest, values: Sequence[float]) -> bool:
    """Return whether these values of the score stand on a logarithmic axis: those of an error do."""
    finite = [value for value in values if math.isfinite(value)]
    return not manifest.score_higher_is_better and any(finite) and min(finite) >= 0


def axis(axes: Axes, manifest: Manifest, values: Sequence[float]) -> float:
    """Make the y axis one of the score. Return the place of an error of 0, for ``style.at_least``."""
    text = style.percent if scale(manifest) != 1 else style.number
    if is_logarithmic(manifest, values):
        return style.log_axis(axes, "y", values, text)
    axes.yaxis.set_major_formatter(lambda value, _: text(value))
    return 0.0


def middle(values: Sequence[float], *, logarithmic: bool) -> float:
    """Return the mean as an axis shows it: on a logarithmic one the geometric mean, unless a value is 0."""
    if not logarithmic or min(values) <= 0:
        return fmean(values)
    return math.exp(fmean(map(math.log, values)))


def published_point(task: str, method: MethodResult) -> tuple[float, float] | None:
    """Return the density and the test score that are published for a method; None where there are none."""
    row = next((result.published for result in method.tried if result.published), None)
    printed = published.figures(task, row) if row else {}
    score = printed.get(columns.SCORE_AFTER)
    return None if score is None else (printed[columns.DENSITY], score)
