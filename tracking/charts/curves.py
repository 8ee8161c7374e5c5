"""The course of training: a line for every seed, and one for the middle of each method's."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dn_distributed import score_names
from tracking.charts import chart as charts
from tracking.charts.chart import Chart, Datum, Spec
from tracking.figures import score_axis, training
from tracking.figures.training import Quantity
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult
from tracking.results.rows import History, by_epoch

_CAPTION = (
    "Validation score before pruning, and the weights and alive neurons that pruning would leave, after each epoch: "
    "thin lines are seeds, thick ones their mean, on a logarithmic axis their median."
)
_MOST_EPOCHS = 60


def chart(
    manifest: Manifest, methods: Sequence[MethodResult], histories: Mapping[str, Sequence[History]]
) -> Chart | None:
    """Return the chart; None where no epoch was logged. ``histories``: by method, of what stands for it."""
    shown = training.logged_quantities(manifest, histories)
    last = max((epoch for each in histories.values() for history in each for epoch in _epochs(history)), default=0)
    if not shown or not last:
        return None
    most = max(2, min(_MOST_EPOCHS, charts.MOST_ROWS // sum(map(len, histories.values()))))
    step = math.ceil(last / most)
    seeds = {method.label: [row.seed for row in method.chosen.rows] for method in methods if method.chosen is not None}
    logarithmic = {q.metric: training.is_logarithmic(manifest, q, list(_values(histories, q.metric))) for q in shown}
    rows: list[Datum] = []
    for label, each in histories.items():
        for epoch in sorted({epoch for history in each for epoch in _epochs(history)}):
            if epoch % step == 0 or epoch in (1, last):
                rows += _rows(manifest, label, dict(zip(seeds[label], each, strict=True)), logarithmic, epoch)
    views = {quantity.title: _view(manifest, histories, quantity, logarithmic[quantity.metric]) for quantity in shown}
    thinned = f" Shown is each epoch that {step} divides." if step > 1 else ""
    return Chart("training", training.KIND.heading, _CAPTION + thinned, rows, views)


def _epochs(history: History) -> Iterator[int]:
    for points in history.values():
        yield from points


def _values(histories: Mapping[str, Sequence[History]], metric: str) -> Iterator[float]:
    for each in histories.values():
        for history in each:
            yield from history.get(metric, {}).values()


def _rows(
    manifest: Manifest, label: str, histories: Mapping[int, History], logarithmic: Mapping[str, bool], epoch: int
) -> Iterator[Datum]:
    """The seeds at an epoch, and what is in their middle where all of them have a value."""
    at: Datum = {"method": label, "epoch": epoch}
    middle: Datum = {}
    for metric, is_logarithmic in logarithmic.items():
        values = [history.get(metric, {}).get(epoch, math.nan) for history in histories.values()]
        if values and all(map(math.isfinite, values)):
            found = statistics.median(values) if is_logarithmic else statistics.fmean(values)
            middle[_field(metric)] = charts.rounded(found, _scale(manifest, metric))
    yield {**at, "kind": "middle", "n": len(histories), **middle}
    for seed, history in histories.items():
        there = {metric: history[metric][epoch] for metric in logarithmic if epoch in history.get(metric, {})}
        figures = {_field(metric): charts.rounded(value, _scale(manifest, metric)) for metric, value in there.items()}
        yield {**at, "kind": "seed", "seed": seed, **figures}


def _field(metric: str) -> str:
    """The name in rows. A score's own may be that of another field, and Vega takes a dot in it for a path."""
    return "score" if "/" in metric else metric


def _scale(manifest: Manifest, metric: str) -> float:
    return score_axis.scale(manifest) if metric == score_names.of_split("validation", manifest.score) else 1.0


def _view(
    manifest: Manifest, histories: Mapping[str, Sequence[History]], quantity: Quantity, logarithmic: bool
) -> Spec:
    field, scale = _field(quantity.metric), _scale(manifest, quantity.metric)
    by_method = [by_epoch(each, quantity.metric) for each in histories.values()]
    ends = training.range_after_the_start(by_method) if quantity.is_score and not logarithmic else None
    values = [scale * value for value in _values(histories, quantity.metric) if math.isfinite(value)]
    domain = [charts.rounded(end, scale) for end in ends] if ends else None
    y = charts.quantity(field, quantity.title, values, logarithmic=logarithmic, domain=domain)
    encoding = {
        "x": {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1}},
        "y": y,
        "color": charts.of_method(manifest, "color"),
    }
    figures = {"epoch": "epoch", field: quantity.title}

    def layer(kind: str, mark: Spec, tooltip: Sequence[Spec], **encoded: Any) -> Spec:
        there = f"datum.kind == '{kind}' && isValid(datum['{field}'])"
        return charts.layer(there, mark, {**encoding, **encoded, "tooltip": tooltip})

    seed, middle = (
        charts.tooltip(method="method", seed="seed", **figures),
        charts.tooltip(method="method", n="seeds", **figures),
    )
    dash = charts.of_method(manifest, "strokeDash")
    # Points that are not seen answer the pointer: a line alone says nothing of its epochs.
    invisible = {"type": "point", "filled": True, "size": 60, "opacity": 0}
    return charts.view(
        manifest,
        [
            layer("seed", {"type": "line", "strokeWidth": 0.8, "opacity": 1}, seed, detail={"field": "seed"}),
            layer("middle", {"type": "line", "strokeWidth": 2.8}, middle, strokeDash=dash),
            layer("middle", invisible, middle),
            layer("seed", {**invisible, "size": 25}, seed),
        ],
    )
