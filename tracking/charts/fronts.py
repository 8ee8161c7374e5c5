"""Each configuration at each threshold, with each method's front: the best score to be had with so much left."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracking.charts import chart as charts
from tracking.charts.chart import Chart, Datum, Spec
from tracking.figures import pareto, score_axis
from tracking.figures.pareto import ShownMethod
from tracking.manifest import Manifest
from tracking.results import fronts
from tracking.results.cells import MethodResult
from tracking.results.fronts import Point, Size

_CAPTION = (
    "Each point is a configuration at a pruning threshold, mean over seeds. On validation data the steps are each "
    "method's front, the best score to be had with so much left or less; on test data the points of the same fronts, "
    "with one standard deviation over seeds. A ring is what stands for the method at the sweep's threshold. Scores far "
    "worse than the rest lie outside of the first view."
)


def chart(manifest: Manifest, methods: Sequence[MethodResult], points: Mapping[str, Sequence[Point]]) -> Chart | None:
    """Return the chart; None where no configuration was measured at several thresholds, or made smaller.

    None too where there are too many points for any to be drawn.
    """
    shown = pareto.shown_methods(manifest, methods, points)
    if not shown:
        return None
    sizes = [size for size in fronts.SIZES if any(item.by_size.get(size) for item in shown)]
    kept, left_out = _that_fit({item.label: list(_rows(manifest, item, sizes)) for item in shown}, sizes)
    if not kept:
        return None
    ends = pareto.score_range(manifest, shown)
    views = {
        f"{_title(size)}, {split} data": _view(manifest, kept, size, split, ends)
        for split in pareto.SPLITS
        for size in sizes
    }
    caption = " ".join([_CAPTION, *(fronts.unlike_timings(methods) if "latency" in sizes else [])])
    return Chart("pareto", pareto.KIND.heading, caption + left_out, kept, views)


def _that_fit(by_method: Mapping[str, Sequence[Datum]], sizes: Sequence[Size]) -> tuple[list[Datum], str]:
    """The rows that there is room for, what is needed first, and a sentence on the others."""
    needed = {label: [row for row in rows if _is_needed(row, sizes)] for label, rows in by_method.items()}
    others = [row for rows in by_method.values() for row in rows if not _is_needed(row, sizes)]
    kept, left_out = charts.first_that_fit(needed)
    room = charts.MOST_ROWS - len(kept)
    if left_out or not others:
        return kept, left_out
    if not room:
        return kept, " Points that are on no front are not drawn: there are too many."
    step = math.ceil(len(others) / room)
    return kept + others[::step], f" Of the points that are on no front one in {step} is drawn." * (step > 1)


def _title(size: Size) -> str:
    return "weights left (%)" if size == "density" else fronts.SIZES[size]


def _is_needed(row: Datum, sizes: Sequence[Size]) -> bool:
    """Whether the row is on a front, or stands for its method: the others go first where there are too many."""
    return row["kind"] == "chosen" or any(row.get(_front(size)) for size in sizes)


def _front(size: Size) -> str:
    return f"front_{size}"


def _rows(manifest: Manifest, item: ShownMethod, sizes: Sequence[Size]) -> Iterator[Datum]:
    scale = score_axis.scale(manifest)
    better = manifest.score_higher_is_better
    best = {size: {*map(id, fronts.front(item.by_size.get(size, ()), size, higher_is_better=better))} for size in sizes}
    for point in item.points:
        left: Datum = {size: charts.left(size, point.left[size]) for size in sizes if size in point.left}
        on_front = {_front(size): 1 for size in sizes if id(point) in best[size]}
        yield {
            "method": item.label,
            "kind": "point",
            "threshold": charts.rounded(point.threshold),
            "n": point.n,
            **left,
            **on_front,
            "validation": charts.rounded(point.validation, scale),
            "test": charts.rounded(point.test, scale),
            "std": charts.rounded((point.test_std or 0.0), scale),
        }
    for size in sizes:
        for split in pareto.SPLITS:
            if place := item.place(size, split):
                found: Datum = {size: charts.left(size, place[0]), split: charts.rounded(place[1], scale)}
                yield {"method": item.label, "kind": "chosen", **found}


def _view(
    manifest: Manifest, rows: Sequence[Datum], size: Size, split: pareto.Split, ends: tuple[float, float]
) -> Spec:
    scale = score_axis.scale(manifest)
    domain = [charts.rounded(end, scale) for end in ends]
    scores = [row[split] for row in rows if row.get(split) is not None]
    logarithmic = score_axis.is_logarithmic(manifest, scores)
    title = score_axis.title(manifest, f"{split} {{}}")
    placed = [row for row in rows if row.get(size) is not None and row.get(split) is not None]
    within = [row[size] for row in placed if ends[0] <= row[split] / scale <= ends[1]]
    x = charts.quantity(size, _title(size), within, logarithmic=True)
    y = charts.quantity(split, title, scores, logarithmic=logarithmic, domain=domain)
    color = charts.of_method(manifest, "color")
    said = charts.tooltip(method="method", threshold="threshold", n="mean of seeds", **{size: _title(size)}) + [
        {"field": name, "title": f"{name} {manifest.score}"} for name in pareto.SPLITS
    ]
    encoding = {"x": x, "y": y, "color": color, "tooltip": said}

    def layer(rule: str, mark: Spec, **encoded: Any) -> Spec:
        there = f"isValid(datum['{size}']) && isValid(datum['{split}']) && {rule}"
        return charts.layer(there, mark, {**encoding, **encoded})

    on_front = f"datum['{_front(size)}'] == 1"
    shape = charts.of_method(manifest, "shape")
    layers = [layer("datum.kind == 'point'", {"type": "point", "size": 18, "strokeWidth": 1, "opacity": 1})]
    if split == "validation":
        steps = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
        layers.append(layer(on_front, steps, strokeDash=charts.of_method(manifest, "strokeDash")))
    else:
        high, low = "datum.test + datum.std", "datum.test - datum.std"
        bars = layer(on_front, {"type": "rule"}, y={**y, "field": "low"}, y2={"field": "high"})
        bars["transform"] += [{"calculate": low, "as": "low"}, {"calculate": high, "as": "high"}]
        layers.append(bars)
    layers.append(layer(on_front, {"type": "point", "filled": True, "size": 60, "opacity": 1}, shape=shape))
    ring = {"type": "point", "filled": False, "size": 190, "strokeWidth": 1.5, "stroke": "#1f2328", "opacity": 1}
    layers.append(layer("datum.kind == 'chosen'", ring))
    return charts.view(manifest, layers)
