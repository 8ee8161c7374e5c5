"""Charts as Vega-Lite: that Vega takes each view without a warning, and that the rows are the sweep's figures."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from tests.tracking.fabricated import make_cell, make_curve, make_manifest, make_row
from tracking import charts
from tracking.charts.chart import Chart, of_method, quantity, rounded
from tracking.figures.method_styles import method_styles
from tracking.figures.values import FigureData
from tracking.report import small_multiples
from tracking.report.small_multiples import Measured
from tracking.results import cells, threshold_curves
from tracking.results.rows import Snapshot
from tracking.results.rows_file import load
from tracking.tables import table as tables

RESULTS = Path(__file__).parents[2] / "docs" / "results"
CELLS = {"<b>M": make_cell(l1=1.0), "N": make_cell(l1=2.0, dn=0.5)}


def drawn(data: FigureData) -> Mapping[str, Chart]:
    return {chart.name: chart for chart in charts.draw(data, tables.build(data.manifest, data.methods))}


@pytest.fixture(scope="module")
def made_up() -> FigureData:
    manifest = make_manifest({label: [cell] for label, cell in CELLS.items()})
    rows = tuple(make_row(cell, seed, density=0.5 - 0.5 * seed) for cell in CELLS.values() for seed in (0, 1))
    methods = cells.gather(manifest, Snapshot(rows, ()))
    course = {"validation/nmse": {1: 0.5, 2: 0.25, 3: float("nan")}, "num_nonzero": {1: 9.0, 2: 4.0, 3: 2.0}}
    curves = {cell.key: {seed: make_curve(0.5, 0.25) for seed in (0, 1)} for cell in CELLS.values()}
    return FigureData(manifest, methods, histories={label: [course, course] for label in CELLS}, curves=curves)


def shipped(name: str) -> FigureData:
    found = load(RESULTS / name / "rows.json")
    methods = cells.gather(found.manifest, found.snapshot)
    curves = threshold_curves.load(RESULTS / name / "curves.json", found.manifest.score)
    return FigureData(found.manifest, methods, curves=curves)


@pytest.mark.parametrize("name", ["made up", "grid-lenet300", "paper-regression-described", "paper-autoencoder"])
def test_vega_takes_every_view(name: str, made_up: FigureData, capfd: pytest.CaptureFixture[str]) -> None:
    found = drawn(made_up if name == "made up" else shipped(name))
    assert {"methods", "tradeoff"} <= found.keys()
    for chart in found.values():
        assert chart.views
        for view in chart.views.values():
            vl_convert.vegalite_to_vega({**view, "data": {"values": list(chart.rows)}, "width": 300})
    assert "WARN" not in "".join(capfd.readouterr())


def test_every_seed_is_a_point_of_the_scatter(made_up: FigureData) -> None:
    rows = drawn(made_up)["tradeoff"].rows
    points = [(row["method"], row["seed"]) for row in rows if row["kind"] == "seed"]
    assert points == [(label, seed) for label in CELLS for seed in (0, 1)]
    empty = [row for row in rows if row["kind"] == "seed" and row["seed"] == 1]
    assert [row["density"] for row in empty] == [0, 0]


def test_the_mean_is_of_all_seeds_and_one_with_nothing_left_is_marked_and_told(made_up: FigureData) -> None:
    chart = drawn(made_up)["tradeoff"]
    (first, _) = made_up.methods[0].tried[0].rows
    mean = next(row for row in chart.rows if row["kind"] == "mean" and "density" in row)
    assert (mean["n"], mean["density"]) == (2, rounded(50 * first.counts.density))
    assert "Networks with nothing left: <b>M 1 of 2 (seed 1), N 1 of 2 (seed 1)." in chart.caption
    for view in chart.views.values():
        *_, lost = view["layer"]
        assert "== 0" in lost["transform"][0]["filter"]
        assert lost["transform"][1] == {"calculate": "'nothing left'", "as": "left"}
        assert "left" in {said["field"] for said in lost["encoding"]["tooltip"]}


def test_an_axis_writes_its_numbers_alike() -> None:
    wide, near = (quantity("score", "nmse", [least, 1.0], logarithmic=True)["axis"] for least in (1e-7, 1e-3))
    assert "labelExpr" not in near
    encoding = {"x": {"field": "score", "type": "quantitative", "scale": {"type": "log"}, "axis": wide}}
    view = {"mark": "point", "encoding": encoding, "data": {"values": [{"score": 1e-7}, {"score": 1}]}, "width": 900}
    labels = set(re.findall(r">([\d.e-]+)</text>", vl_convert.vegalite_to_svg(view)))
    assert {"1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1"} <= labels
    assert not [label for label in labels if label.startswith("0.")]


def test_marks_at_the_ends_of_an_axis_are_whole(made_up: FigureData) -> None:
    for name in ("tradeoff", "pareto"):
        for view in drawn(made_up)[name].views.values():
            for channel in "xy":
                scale = view["layer"][0]["encoding"][channel]["scale"]
                assert scale.get("padding", 0) > 5 or scale["domain"][0] < 0
    scale = drawn(made_up)["tradeoff"].views["weights left (%)"]["layer"][0]["encoding"]["x"]["scale"]
    low, high = scale["domain"]
    most = max(row["density"] for row in drawn(made_up)["tradeoff"].rows if "density" in row)
    assert low < 0 < most < high < 1.5 * most


def test_a_course_says_of_each_seed_what_it_was_and_has_a_gap_where_it_was_nothing(made_up: FigureData) -> None:
    rows = drawn(made_up)["training"].rows
    first = [row for row in rows if row["method"] == "N" and row["epoch"] == 1]
    assert [(row["kind"], row["score"]) for row in first] == [("middle", 0.5), ("seed", 0.5), ("seed", 0.5)]
    last = [row for row in rows if row["method"] == "N" and row["epoch"] == 3]
    assert [row.get("score") for row in last] == [None, None, None]
    assert [row["num_nonzero"] for row in last] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("score", ["f0.5", "epoch", "kind", "n", "seed", "num_nonzero"])
def test_a_score_of_ones_own_is_drawn_whatever_its_name(made_up: FigureData, score: str) -> None:
    course = {f"validation/{score}": {1: 0.5, 2: 0.25}, "num_nonzero": {1: 9.0, 2: 4.0}}
    data = replace(
        made_up,
        manifest=made_up.manifest.model_copy(update={"score": score}),
        histories={label: [course, course] for label in CELLS},
        curves={},
    )
    chart = drawn(data)["training"]
    seeds = [(row["epoch"], row["score"], row["num_nonzero"]) for row in chart.rows if row["kind"] == "seed"]
    assert seeds == [(1, 0.5, 9.0), (1, 0.5, 9.0), (2, 0.25, 4.0), (2, 0.25, 4.0)] * 2
    assert chart.views[f"validation {score}"]["layer"][0]["encoding"]["y"]["field"] == "score"


def test_bars_are_the_means_of_the_table(made_up: FigureData) -> None:
    table = tables.build(made_up.manifest, made_up.methods)
    rows = [row for row in drawn(made_up)["methods"].rows if row["quantity"] == "neurons_alive" and "mean" in row]
    assert [row["mean"] for row in rows] == [rounded(row.stats["neurons_alive"].mean) for row in table.rows]


def test_of_sizes_that_are_compared_by_ratios_bars_are_the_geometric_means() -> None:
    cell = make_cell(l1=1.0)
    manifest, rows = make_manifest({"A": [cell]}), tuple(make_row(cell, s, density=0.9 - 0.5 * s) for s in (0, 1))
    data = FigureData(manifest, cells.gather(manifest, Snapshot(rows, ())))
    (bar,) = [row for row in drawn(data)["methods"].rows if row["quantity"] == "dense_size" and "mean" in row]
    first, second = (row.counts.dense_size for row in rows)
    assert bar["mean"] == rounded((first * second) ** 0.5)


def test_a_front_has_the_points_that_nothing_beats(made_up: FigureData) -> None:
    rows = [row for row in drawn(made_up)["pareto"].rows if row["kind"] == "point"]
    assert {(row["threshold"], row["front_density"]) for row in rows if "front_density" in row} == {(0.0, 1)} | {
        (row["threshold"], 1) for row in rows if row["density"] == 25
    }


def test_what_the_page_holds_is_bounded_and_ends_no_element(
    made_up: FigureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = charts.as_json(made_up.manifest, list(drawn(made_up).values()))
    assert "<" not in text
    page: dict[str, Any] = json.loads(text)
    assert page["methods"] == list(CELLS)
    assert "run-0" not in text
    assert '"run-0"' in charts.as_json(made_up.manifest, list(drawn(made_up).values()), "mlflow#/runs/")
    monkeypatch.setattr("tracking.charts.chart.MOST_ROWS", 7)
    assert all(len(chart.rows) <= 7 for chart in drawn(shipped("grid-lenet300")).values())


@pytest.mark.parametrize(
    ("most", "said"),
    [
        (1000, ""),
        (19, "and no seeds, of which there are too many to draw."),
        (4, "no seeds, of which there are too many to draw. Drawn are the first 1 of 2 methods: there is no room for "),
    ],
)
def test_bars_are_of_whole_methods_and_say_what_is_left_out(
    made_up: FigureData, monkeypatch: pytest.MonkeyPatch, most: int, said: str
) -> None:
    """Each of two methods has four means, of two seeds each."""
    monkeypatch.setattr("tracking.charts.chart.MOST_ROWS", most)
    chart = drawn(made_up)["methods"]
    assert said in chart.caption
    assert len(chart.rows) == {1000: 24, 19: 8, 4: 4}[most]


@pytest.mark.parametrize(
    ("name", "said"),
    [("tradeoff", "those of a configuration with a ring alone"), ("pareto", "on no front one in 2 is drawn.")],
)
def test_scatter_and_fronts_say_what_there_is_no_room_for(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shipped("grid-lenet300")
    before = drawn(data)[name]
    monkeypatch.setattr("tracking.charts.chart.MOST_ROWS", len(before.rows) - 1)
    after = drawn(data)[name]
    assert said not in before.caption
    assert said in after.caption
    assert {row["method"] for row in after.rows} == {row["method"] for row in before.rows}
    assert len(after.rows) < len(before.rows)


def test_a_page_holds_each_row_with_its_fields_named_once(made_up: FigureData) -> None:
    every = list(drawn(made_up).values())
    for chart, packed in zip(
        every, json.loads(charts.as_json(made_up.manifest, every, "runs/"))["charts"], strict=True
    ):
        rows = [dict(zip(group["fields"], row, strict=True)) for group in packed["rows"] for row in group["values"]]
        assert rows == list(chart.rows)
        assert len(packed["rows"]) < len(rows)


def test_the_script_needs_no_network_and_ends_no_element() -> None:
    script = charts.script()
    assert "</script" not in script.lower()
    assert len(script.encode()) < 1_000_000
    assert script == charts.script()


def test_charts_and_the_page_over_all_have_the_colours_of_the_figures(made_up: FigureData) -> None:
    colors = [marks.color for marks in method_styles(made_up.manifest.methods).values()]
    assert of_method(made_up.manifest, "color")["scale"]["range"] == colors
    measured = [Measured(label, 0.5, 0.5, "", "") for label in CELLS]
    scatter = small_multiples.scatter(made_up.manifest, measured)
    assert scatter is not None
    assert [mark.color for mark in scatter.marks] == colors


def test_a_page_without_results_has_no_charts() -> None:
    manifest = make_manifest({label: [cell] for label, cell in CELLS.items()})
    assert drawn(FigureData(manifest, cells.gather(manifest, Snapshot((), ())))) == {}
