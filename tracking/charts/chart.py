"""A chart as values: rows of numbers, and one or several views of them in Vega-Lite."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tracking.figures import style
from tracking.figures.method_styles import method_styles
from tracking.manifest import Manifest

Datum = dict[str, Any]
Spec = dict[str, Any]

MOST_ROWS = 3000
"""Of a chart. A page is one file, and a browser draws each of them. Its caption says what is left out for it."""
SHOWN = "shown"
"""The parameter of every view that lists the methods to be seen."""
RUN = "run"
"""The field of a row that names its run: a click on its mark leads there."""
_MARGIN = (0.92, 1.08)  # beyond the values, as factors
_ROOM = 12  # pixels between the outermost values and the ends of an axis: marks there are whole
_TICKS = 8  # of a logarithmic axis, about
_LEAST_PLAIN, _MOST_PLAIN = 1e-4, 1e6
"""Between these Vega writes numbers without powers of ten; an axis that goes beyond has powers alone."""
_POWERS = (
    "!datum.label || datum.value == 0 || datum.value == 1 ? datum.label : replace(format(datum.value, '~e'), '+', '')"
)
_DIGITS = 6  # that a number is given with

_SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-.9,-.55L-.55,-.9L0,-.35L.55,-.9L.9,-.55L.35,0L.9,.55L.55,.9L0,.35L-.55,.9L-.9,.55L-.35,0Z",
    "<": "triangle-left",
    ">": "triangle-right",
}
_DASHES = {"-": [1, 0], "--": [6, 3], ":": [2, 3]}
"""As ``method_styles`` names markers and lines."""


@dataclass(frozen=True)
class Chart:
    """One chart of a page."""

    name: str
    """Of the figure that it stands for."""
    heading: str
    caption: str
    rows: Sequence[Datum]
    """What is drawn: the data of every view."""
    views: Mapping[str, Spec]
    """By the name that a reader chooses it by."""


def as_json(manifest: Manifest, charts: Sequence[Chart], runs: str = "") -> str:
    """Return what the script reads: JSON that no markup can end.

    ``runs``: what an id stands behind in the address of a run; where runs have none, no id is in it.
    """
    labels = [method.label for method in manifest.methods]
    described = [asdict(chart) for chart in charts]
    for chart in described:
        shown = [{name: value for name, value in row.items() if runs or name != RUN} for row in chart["rows"]]
        chart["rows"] = _packed(shown)
    page = {"sweep": manifest.name, "runs": runs, "methods": labels, "charts": described}
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _packed(rows: Sequence[Datum]) -> list[dict[str, Any]]:
    """Return rows with the names of their fields said once for all that follow one another: half as many bytes."""
    return [
        {"fields": fields, "values": [list(row.values()) for row in group]}
        for fields, group in itertools.groupby(rows, key=tuple)
    ]


def rounded(value: float | None, scale: float = 1.0) -> float | None:
    """Return a number times ``scale`` with the digits that a chart needs; None of what is no number."""
    return None if value is None or not math.isfinite(value) else float(f"{scale * value:.{_DIGITS}g}")


def first_that_fit(by_method: Mapping[str, Sequence[Datum]]) -> tuple[list[Datum], str]:
    """Return the rows of as many whole methods as a chart has room for, and a sentence on the others for its caption.

    No rows where not even one method fits.
    """
    rows: list[Datum] = []
    for place, of_method in enumerate(by_method.values()):
        if len(rows) + len(of_method) > MOST_ROWS:
            return rows, f" Drawn are the first {place} of {len(by_method)} methods: there is no room for more."
        rows += of_method
    return rows, ""


def left(size: str, value: float) -> float | None:
    """Return what is left of a network by a measure of size, as charts have it: a density in per cent."""
    return rounded(value, 100 if size == "density" else 1)


def layer(rule: str, mark: Spec, encoding: Spec) -> Spec:
    """Return a layer of a view: a mark, within the axes, for each row that ``rule`` is true of."""
    return {"transform": [{"filter": rule}], "mark": {"clip": True, **mark}, "encoding": encoding}


def view(manifest: Manifest, layers: Sequence[Spec], zoomed: Sequence[Literal["x", "y"]] = ("x", "y")) -> Spec:
    """Return a view of layers over the rows of the methods that are to be seen, moved and zoomed by its first."""
    labels = [method.label for method in manifest.methods]
    by_hand = {"type": "interval", "encodings": zoomed, "zoom": "wheel![event.ctrlKey]"}
    zoom = {"name": "zoom", "select": by_hand, "bind": "scales"}
    first, *others = layers
    return {
        "params": [{"name": SHOWN, "value": labels}],
        "transform": [{"filter": f"indexof({SHOWN}, datum.method) >= 0"}],
        "layer": [{**first, "params": [zoom]}, *others],
    }


def of_method(manifest: Manifest, channel: str) -> Spec:
    """Return the encoding of a row's method as ``color``, ``shape`` or ``strokeDash``, as figures have it."""
    styles = method_styles(manifest.methods)
    values: list[Any] = []
    for marks in styles.values():
        found = {"color": marks.color, "shape": _SHAPES[marks.marker], "strokeDash": _DASHES[marks.line]}
        values.append(found[channel])
    scale = {"domain": [*styles], "range": values}
    return {"field": "method", "type": "nominal", "scale": scale, "legend": {"title": None}}


def quantity(
    field: str,
    title: str,
    values: Sequence[float],
    *,
    logarithmic: bool,
    domain: Sequence[float | None] | None = None,
    from_zero: bool = False,
) -> Spec:
    """Return the encoding of a number; its axis begins where the ``values`` do, unless ``from_zero``.

    A logarithmic one is linear near zeros, where there are any. ``domain``: its first ends, if not those of the values.
    """
    encoding = {"field": field, "type": "quantitative", "title": title}
    positive = [value for value in values if value > 0]
    if not logarithmic or not positive:
        room = {} if from_zero else {"padding": _ROOM}
        scale = {"type": "linear", "zero": from_zero, **room} | ({"domain": domain} if domain else {})
        return {**encoding, "scale": scale, "axis": {"labelOverlap": True}}
    least, most = min(positive), max(positive)
    axis: Spec = {"labelOverlap": True, "tickCount": _TICKS}
    if least < _LEAST_PLAIN or most >= _MOST_PLAIN:
        axis["labelExpr"] = _POWERS
    if 0 in values:
        axis["values"] = [0, *style.log_ticks(least, most)]
        return {**encoding, "scale": _around_zero(least / 2, most), "axis": axis}
    ends = domain or [_MARGIN[0] * least, _MARGIN[1] * most]
    return {**encoding, "scale": {"type": "log", "domain": ends, "padding": _ROOM}, "axis": axis}


def _around_zero(constant: float, most: float) -> Spec:
    """A scale from 0 that is linear below ``constant``; Vega's own padding is far too wide on such a one."""
    room = 0.04 * math.log1p(most / constant)
    low, high = -constant * math.expm1(room), constant * math.expm1(math.log1p(most / constant) + room)
    return {"type": "symlog", "constant": constant, "domain": [low, high]}


def tooltip(**titles: str) -> list[Spec]:
    """Return what stands beside the pointer: fields by name, each with its title."""
    return [{"field": field, "title": title} for field, title in titles.items()]
