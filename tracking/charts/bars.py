"""What each method comes to: its mean and interval, and every seed."""

from collections.abc import Iterator, Sequence

from tracking.charts import chart as charts
from tracking.charts.chart import Chart, Datum, Spec
from tracking.figures import style
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult
from tracking.tables import columns
from tracking.tables.columns import Column
from tracking.tables.table import Table

_SHOWN = (columns.SCORE_AFTER, columns.DENSITY, columns.ALIVE, columns.DENSE_SIZE)
_CAPTION = (
    "Mean over seeds (of errors and dense sizes the geometric mean), the 95 % interval of the geometric mean (of the "
    "mean where a value is 0), and {seeds}."
)
_EVERY, _NONE = "every seed of it", "no seeds, of which there are too many to draw"


def chart(manifest: Manifest, table: Table, methods: Sequence[MethodResult]) -> Chart | None:
    """Return the chart; None without a finished replicate."""
    shown = [column.for_page for column in table.columns if column.key in _SHOWN]
    by_method = {method.label: [row for column in shown for row in _rows(method, column)] for method in methods}
    is_full = sum(map(len, by_method.values())) > charts.MOST_ROWS
    if is_full:
        by_method = {label: [row for row in rows if "mean" in row] for label, rows in by_method.items()}
    rows, left_out = charts.first_that_fit(by_method)
    if not rows:
        return None
    caption = _CAPTION.format(seeds=_NONE if is_full else _EVERY) + left_out
    views = {column.heading: _view(manifest, rows, column) for column in shown}
    return Chart("methods", "Method by method", caption, rows, views)


def _rows(method: MethodResult, column: Column) -> Iterator[Datum]:
    found = method.chosen.stat(column.value) if method.chosen is not None else None
    if method.chosen is None or found is None:
        return
    mean = found.geometric.mean if column.by_ratio and found.geometric else found.mean
    ends = column.mean_interval(found.values)
    of_method: Datum = {"method": method.label, "quantity": column.key}
    low, high = (ends.low, ends.high) if ends else (None, None)
    yield {
        **of_method,
        "n": found.n,
        **{name: charts.rounded(value, column.scale) for name, value in (("mean", mean), ("low", low), ("high", high))},
    }
    for row, value in zip(method.chosen.rows, found.values, strict=True):
        yield {**of_method, "seed": row.seed, "value": charts.rounded(value, column.scale)}


def _view(manifest: Manifest, rows: Sequence[Datum], column: Column) -> Spec:
    """Bars from 0 of what is left; scores, whose differences are small beside them, as points."""
    values = [value for row in rows if row["quantity"] == column.key if isinstance(value := row.get("value"), float)]
    is_score = column.key == columns.SCORE_AFTER
    logarithmic = is_score and column.is_error and style.is_wide(values)
    x = charts.quantity("mean", column.heading, values, logarithmic=logarithmic, from_zero=not is_score)
    y = {"field": "method", "type": "nominal", "title": None, "sort": None}
    color = {**charts.of_method(manifest, "color"), "legend": None}
    ink = {"value": style.INK}
    of_mean = charts.tooltip(method="method", n="seeds", mean=column.heading, low="95 % from", high="to")
    of_seed = charts.tooltip(method="method", seed="seed", value=column.heading)

    def layer(field: str, mark: Spec, **encoded: object) -> Spec:
        there = {"filter": f"datum.quantity == '{column.key}' && isValid(datum.{field})"}
        encoding = {"y": y, "color": ink, "x": {**x, "field": field}, **encoded}
        return {"transform": [there], "mark": mark, "encoding": encoding}

    if is_score:
        shape = {**charts.of_method(manifest, "shape"), "legend": None}
        point = {"type": "point", "filled": True, "size": 120, "opacity": 1}
        mean = layer("mean", point, color=color, shape=shape, tooltip=of_mean)
    else:
        mean = layer("mean", {"type": "bar", "opacity": 0.75}, color=color, tooltip=of_mean)
    interval = layer("low", {"type": "rule", "strokeWidth": 2}, x2={"field": "high"}, tooltip=of_mean)
    seeds = layer("value", {"type": "tick", "thickness": 1.5, "size": 14}, tooltip=of_seed)
    return charts.view(manifest, [mean, interval, seeds], zoomed=("x",))
