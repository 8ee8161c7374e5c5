"""Every network by what is left of it and its test score."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracking.charts import chart as charts
from tracking.charts.chart import RUN, Chart, Datum, Spec
from tracking.figures import score_axis, style, tradeoff
from tracking.figures.tradeoff import Configuration, ShownMethod
from tracking.manifest import Manifest
from tracking.results.cells import MethodResult

_CAPTION = (
    "What pruning leaves against the test score of the pruned network. Small points are seeds, large ones the mean of "
    "all seeds of a configuration: of what is left and of errors the geometric mean, or where a seed has 0 of it the "
    "arithmetic one. A ring is what stands for its method, a star a published figure, and an asterisk of eight lines "
    "a network with nothing left."
)
_FEWER_SEEDS = " Of seeds, those of a configuration with a ring alone are drawn: there are too many."
_NOTHING = "M-1,0H1M0,-1V1M-.7,-.7L.7,.7M-.7,.7L.7,-.7"
"""As ``tradeoff`` marks a network without a weight."""
_STAR = "M0,-1L.2245,-.309L.9511,-.309L.3633,.118L.5878,.809L0,.382L-.5878,.809L-.3633,.118L-.9511,-.309L-.2245,-.309Z"


def chart(manifest: Manifest, methods: Sequence[MethodResult]) -> Chart | None:
    """Return the chart; None without a network that has a score, or where there are too many for any to be drawn."""
    every = tradeoff.shown_methods(manifest, methods)
    shown = [item for item in every if item.points()]
    if not shown:
        return None
    sizes = {size: title for size, title, _ in tradeoff.measured_panels(shown)}
    by_method = {item.label: list(_rows(manifest, item, sizes, every_seed=True)) for item in shown}
    is_full = sum(map(len, by_method.values())) > charts.MOST_ROWS
    if is_full:
        by_method = {item.label: list(_rows(manifest, item, sizes, every_seed=False)) for item in shown}
    rows, left_out = charts.first_that_fit(by_method)
    if not rows:
        return None
    views = {title: _view(manifest, rows, size, title) for size, title in sizes.items()}
    caption = " ".join([_CAPTION, *tradeoff.notes(methods, every)]) + _FEWER_SEEDS * is_full + left_out
    return Chart("tradeoff", tradeoff.KIND.heading, caption, rows, views)


def _rows(manifest: Manifest, item: ShownMethod, sizes: Mapping[Any, str], *, every_seed: bool) -> Iterator[Datum]:
    """Of the configurations that do not stand for the method the means alone, unless ``every_seed``."""
    scale = score_axis.scale(manifest)
    if item.published is not None:
        density, score = 100 * item.published.left["density"], scale * item.published.score
        yield {"method": item.label, "kind": "published", "density": density, "score": charts.rounded(score)}
    for made in item.configurations:
        named: Datum = {"method": item.label, "configuration": _configuration(made)}
        for point in made.points if every_seed or made.is_chosen else ():
            left = {size: charts.left(size, point.left[size]) for size in sizes}
            of_seed: Datum = {**named, "kind": "seed", "seed": point.seed, RUN: point.run_id}
            yield {**of_seed, **left, "score": charts.rounded(point.score, scale)}
        for size, mean in made.means.items():
            if size in sizes:
                kind = "chosen" if made.is_chosen else "mean"
                left = {size: charts.left(size, mean.left[size])}
                score_of_mean = charts.rounded(mean.score, scale)
                yield {**named, "kind": kind, "n": len(made.points), **left, "score": score_of_mean}


def _configuration(made: Configuration) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in made.cell.regularization.items()) or "no penalty"


def _view(manifest: Manifest, rows: Sequence[Datum], size: str, title: str) -> Spec:
    lefts = [row[size] for row in rows if row.get(size) is not None]
    kinds = {row["kind"] for row in rows}
    name = score_axis.title(manifest, "test {} after pruning")
    scores = [row["score"] for row in rows if row["score"] is not None]
    encoding = {
        "x": charts.quantity(size, title, lefts, logarithmic=True),
        "y": charts.quantity("score", name, scores, logarithmic=score_axis.is_logarithmic(manifest, scores)),
        "color": charts.of_method(manifest, "color"),
        "shape": charts.of_method(manifest, "shape"),
    }
    said = {"method": "method", "configuration": "coefficients"}
    numbers = {size: title, "score": manifest.score}
    seed, several = charts.tooltip(**said, seed="seed", **numbers), charts.tooltip(**said, n="mean of seeds", **numbers)
    printed = charts.tooltip(method="published", **numbers)
    nothing = charts.tooltip(**said, seed="seed", left=title, score=manifest.score)

    def layer(rule: str, mark: Spec, tooltip: Sequence[Spec], **encoded: Any) -> Spec:
        there = f"{rule} && isValid(datum['{size}']) && isValid(datum.score)"
        return charts.layer(there, {"type": "point", **mark}, {**encoding, **encoded, "tooltip": tooltip})

    dark = {"filled": True, "stroke": style.INK, "opacity": 1}
    marks: dict[str, tuple[Spec, Sequence[Spec]]] = {
        "mean": ({"filled": True, "size": 130, "stroke": "white", "opacity": 1}, several),
        "chosen": ({**dark, "size": 130, "strokeWidth": 1.5}, several),
    }
    seeds = f"datum.kind == 'seed' && datum['{size}']"
    layers = [layer(f"{seeds} > 0", {"filled": True, "size": 28, "opacity": 1}, seed)]
    layers += [layer(f"datum.kind == '{kind}'", *marks[kind]) for kind in marks if kind in kinds]
    if "published" in kinds:
        layers.append(layer("datum.kind == 'published'", {**dark, "size": 220}, printed, shape={"value": _STAR}))
    if 0 in lefts:
        eight = {"size": 90, "strokeWidth": 1.6, "opacity": 1}
        lost = layer(f"{seeds} == 0", eight, nothing, shape={"value": _NOTHING})
        lost["transform"].append({"calculate": "'nothing left'", "as": "left"})
        layers.append(lost)
    return charts.view(manifest, layers)
