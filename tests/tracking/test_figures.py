import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image
from torch import nn

from dn_distributed.config import Cell, Pruning
from dn_distributed.data import DataError, linear
from dn_distributed.data.digits import Digits
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.lenet300 import LeNet300
from tests.near import near
from tests.tracking.fabricated import Recorder, make_cell, make_manifest, make_outcome, make_row
from tracking import figures, schema
from tracking.charts import fronts as front_chart
from tracking.charts import scatter
from tracking.figures import (
    coefficients,
    collect,
    encodings,
    in_words,
    network,
    neurons,
    pareto,
    patterns,
    pixels,
    reconstructions,
    score_axis,
    stored_networks,
    style,
    tradeoff,
    training,
    weights,
)
from tracking.figures.method_styles import _COLORS, MethodStyle, method_styles
from tracking.figures.values import Estimates, FigureData, Floats, Pictures, Trained
from tracking.manifest import Manifest, Selection
from tracking.results import fronts, rows_file
from tracking.results.cells import MethodResult, gather
from tracking.results.fronts import Point
from tracking.results.rows import Ended, Row, Snapshot
from tracking.tables import columns

L1, DN = make_cell(l1=1.0), make_cell(dn_incoming=1.0)


WITH_TRUTH: dict[str, Any] = {columns.SUPPORT_EXACT.replace("/", "__"): 0.0}
"""A score of a task whose true coefficients are known."""


def xs(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_xdata())]


def ys(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_ydata())]


def make_trained(task: str = "regression", label: str = "M", **options: Any) -> Trained:
    outcome = make_outcome(make_cell(task), 0, **options)
    masks = {name: mask.numpy() for name, mask in outcome.masks.items()}
    parameters = {name: value.numpy() for name, value in outcome.parameters.items()}
    made = Trained(label, 0, make_cell(task), masks, parameters)
    return replace(made, reads_pixels=collect.reads_pixels(made))


def gathered(
    methods: Mapping[str, Sequence[Cell]], rows: Sequence[Row], **options: Any
) -> tuple[Manifest, tuple[MethodResult, ...]]:
    manifest = make_manifest(methods, **options)
    return manifest, gather(manifest, Snapshot(tuple(rows), ()))


def two_methods(**options: Any) -> tuple[Manifest, tuple[MethodResult, ...]]:
    rows = [make_row(cell, seed) for cell in (L1, DN) for seed in (0, 1)]
    return gathered({"A": [L1], "B": [DN]}, rows, **options)


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def styles_of(cells: Mapping[str, Cell]) -> Mapping[str, MethodStyle]:
    return method_styles(make_manifest({label: [cell] for label, cell in cells.items()}).methods)


def note_of(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# The style.


def test_drawing_leaves_matplotlibs_own_settings_alone() -> None:
    before = dict(mpl.rcParams)
    figures.as_png(drawn(tradeoff.tradeoff(*two_methods())))
    assert dict(mpl.rcParams) == before


def test_a_method_looks_the_same_in_every_sweep_whatever_it_is_called() -> None:
    plain, both = make_cell(), make_cell(l1=1.0, dn_incoming=1.0, dn_outgoing=1.0)
    first = styles_of({"P": plain, "ℓ1+P": L1, "ℓ1+DN+P": both})
    second = styles_of({"mine": both, "OMP": make_cell().model_copy(update={"baseline": "omp"}), "lasso": L1})
    assert first["ℓ1+DN+P"] == second["mine"]
    assert first["ℓ1+P"] == second["lasso"]
    assert second["OMP"] != first["P"]
    assert len(set(second.values())) == 3


def test_methods_that_regularise_alike_differ() -> None:
    found = styles_of({"a": make_cell(l1=1.0), "b": make_cell(l1=2.0)})
    assert found["a"] == styles_of({"ℓ1": L1})["ℓ1"]
    assert found["b"] != found["a"]


def test_a_method_as_scripted_leaves_the_usual_look_to_the_one_as_described() -> None:
    manifest = make_manifest({"as scripted": [L1], "ℓ1": [make_cell(l1=2.0)]})
    scripted = manifest.methods[0].model_copy(update={"dropout_at_test": True})
    found = method_styles((scripted, manifest.methods[1]))
    assert found["ℓ1"] == styles_of({"ℓ1": L1})["ℓ1"]
    assert method_styles((scripted,))["as scripted"] == found["ℓ1"]


def test_the_shipped_sweeps_keep_their_colours() -> None:
    path = Path(__file__).parents[2] / "docs/results/paper-regression/rows.json"
    found = method_styles(rows_file.load(path).manifest.methods)
    assert [f"{label} {marks.color}" for label, marks in found.items()] == [
        "ℓ1+DN+P #0072b2",
        "ℓ1+DO+P #d55e00",
        "ℓ1+DO+P tested with dropout #009e73",
        "ℓ1+P #cc79a7",
        "P #c38600",
        "LASSO #4a9dcd",
        "OMP #000000",
    ]


def contrast_to_white(color: Any) -> float:
    """As WCAG 2 has it."""
    channels = mpl.colors.to_rgb(color)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("color", [*_COLORS, style.INK, style.MUTED, style.BLUE])
def test_every_mark_is_seen_on_white(color: str) -> None:
    assert contrast_to_white(color) >= 3


def test_no_mark_of_a_method_is_transparent() -> None:
    """It would be too pale on white; what a mean is filled with has an edge that is not."""
    manifest, results = two_methods()
    item = two_seeds([{3: 4.0}, {1: -2.0}], [{3: 5.0}, {1: -2.0}])
    for figure in (
        tradeoff.tradeoff(manifest, results),
        pareto.pareto(manifest, results, {"A": ZIGZAG, "B": []}),
        coefficients.estimates(manifest, [replace(item, label="A")]),
    ):
        for line in (line for axes in drawn(figure).axes for line in axes.lines):
            assert line.get_alpha() in (None, 1)


def test_methods_beyond_the_palette_differ_in_line_and_hatch() -> None:
    found = styles_of({str(number): make_cell(l1=float(number)) for number in range(1, 22)})
    assert len({(marks.color, marks.line) for marks in found.values()}) == 21
    assert len({(marks.color, marks.hatch) for marks in found.values()}) == 21


def test_any_label_can_be_drawn_without_a_warning() -> None:
    labels = ["$\\frac{$", "_hidden", "P [/ours]", "a\\b {x} %", "\U0001f600 נוירון", "W" * 100, *map(str, range(14))]
    methods = {label: [make_cell(l1=float(place + 1))] for place, label in enumerate(labels)}
    rows = [make_row(cell, seed) for (cell,) in methods.values() for seed in (0, 1)]
    manifest, results = gathered(methods, rows)
    trained = [make_trained(label=label) for label in labels[:6]]
    histories = {label: [{"validation/nmse": {1: 1.0, 2: 0.5}}] for label in labels}
    pictures = Pictures(noise(1, 784), {label: noise(1, 784) for label in labels[:6]}, {})
    estimates = [Estimates(label, (0,), np.ones((1, 20), np.float32), np.ones((1, 20), np.float32)) for label in labels]
    curves_of = {label: [make_point(result.tried[0].cell)] for label, result in zip(labels, results, strict=True)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (
            tradeoff.tradeoff(manifest, results),
            neurons.neurons(manifest, results),
            pareto.pareto(manifest, results, curves_of),
            training.training(manifest, histories),
            coefficients.estimates(manifest, estimates),
            reconstructions.reconstructions(pictures),
            patterns.patterns(trained),
            weights.weights(trained),
            network.networks(trained),
        ):
            figures.as_png(drawn(figure))
    shown = legend_of(drawn(tradeoff.tradeoff(manifest, results)))
    assert shown[:5] == labels[:5]
    assert shown[5] == "W" * 30 + "…" + "W" * 29
    assert len(shown) == 20


def test_a_picture_stays_below_the_limit_at_the_cost_of_colours_and_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "MAX_BYTES", 40_000)
    data = figures.as_png(drawn(patterns.patterns([make_trained("lenet300")])))  # noise, which hardly compresses
    assert len(data) < 40_000
    with Image.open(io.BytesIO(data)) as picture:
        assert 500 <= picture.width < 1500


def test_a_picture_of_few_colours_has_those_of_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {str(number): make_cell(l1=float(number)) for number in range(1, 8)}
    item = two_seeds([{3: 4.0}, {1: -2.0}], [{3: 5.0}, {1: -2.0}])
    manifest = make_manifest({label: [cell] for label, cell in cells.items()})
    figure = drawn(coefficients.estimates(manifest, [replace(item, label=label) for label in cells]))
    monkeypatch.setattr(style, "MAX_BYTES", 100_000)
    with Image.open(io.BytesIO(figures.as_png(figure))) as picture:
        assert picture.mode == "P"
        shown = np.unique(np.asarray(picture.convert("RGB"), dtype=int).reshape(-1, 3), axis=0)
    for marks in styles_of(cells).values():
        wanted = np.array(mpl.colors.to_rgb(marks.color)) * 255
        assert np.abs(shown - wanted).sum(1).min() < 12


def test_a_picture_is_the_same_each_time() -> None:
    made = [figures.as_png(drawn(neurons.neurons(*two_methods()))) for _ in range(2)]
    assert made[0] == made[1]


def test_an_svg_is_the_same_each_time_and_holds_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (drawn(neurons.neurons(*two_methods())) for _ in range(2))
    figures.as_png(one)
    made = figures.as_svg(one)
    assert made is not None
    figures.as_png(other)
    assert figures.as_svg(other) == made
    assert b"<svg" in made
    assert not re.search(rb"20\d\d-\d\d-\d\d|<dc:date>|matplotlib v", made, re.IGNORECASE)
    monkeypatch.setattr(style, "MAX_SVG_BYTES", 1000)
    assert figures.as_svg(one) is None


# Weights that are left.


def test_weights_need_a_network() -> None:
    assert weights.weights([]) is None


def test_weights_of_all_methods_are_coloured_alike_up_to_what_nearly_all_are_within() -> None:
    one, other = make_trained("regression", "one", density=1.1), make_trained("regression", "other", density=1.1)
    one.parameters["fc1.weight"][:] = 0.5
    other.parameters["fc1.weight"][:] = -2.0
    figure = drawn(weights.weights([one, other]))
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[0] == titles[2] == "fc1: ±2"
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["one", "other"]
    assert [axes.images[0].get_clim() for axes in figure.axes[::2]] == [(-2, 2), (-2, 2)]
    assert {float(np.asarray(axes.images[0].get_array()).mean()) for axes in figure.axes[::2]} == {0.5, -2.0}


def test_weights_of_nothing_left_are_white() -> None:
    item = make_trained("regression")
    for mask in item.masks.values():
        mask[:] = False
    axes = drawn(weights.weights([item])).axes[0]
    assert axes.get_title("left") == "fc1: ±1"
    assert not np.asarray(axes.images[0].get_array()).any()


@pytest.mark.parametrize("value", [1e-9, -1e-9, 0.02, -0.02, 1.0, -1.0])
def test_a_weight_however_small_is_no_white(value: float) -> None:
    item = make_trained("regression", density=1.1)
    item.parameters["fc1.weight"][:] = 1.0
    item.parameters["fc1.weight"][0, 0] = value
    item.masks["fc1"][1, 0] = False
    (picture,) = drawn(weights.weights([item])).axes[0].images
    color, beside = picture.to_rgba(np.asanyarray(picture.get_array()))[0, :2]
    assert contrast_to_white(color) >= 3
    assert (color[2] > color[0]) == (value > 0), "blue is positive, orange negative"
    assert beside[3] == 0, "zero is not drawn"


def test_a_pixel_with_a_single_weight_is_no_white() -> None:
    item = make_trained("lenet300", density=1.1)
    item.masks["fc1"][1:, 0] = False
    (picture,) = drawn(pixels.pixels([item])).axes[0].images
    assert contrast_to_white(picture.to_rgba(np.asanyarray(picture.get_array()))[0, 0]) >= 3


def test_a_single_weight_among_many_is_seen() -> None:
    values = np.zeros((784, 300), np.float32)
    values[783, 299] = -3.0
    shown = weights._largest(values)
    assert max(shown.shape) <= weights._DOTS
    assert shown[-1, -1] == -3.0
    assert np.count_nonzero(shown) == 1
    assert np.array_equal(weights._largest(values[:4, :5]), values[:4, :5])


# Sparsity patterns.


def test_patterns_need_a_network() -> None:
    assert patterns.patterns([]) is None


def test_patterns_show_each_layer_of_each_method_with_its_density() -> None:
    some, full = make_trained("regression", "some", density=0.4), make_trained("regression", "full", density=1.1)
    figure = drawn(patterns.patterns([some, full]))
    share = 100 * some.masks["fc1"].mean()
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[0] == f"fc1: {share:.3g} %"
    assert titles[2:] == ["fc1: 100 %", "fc2: 100 %"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["some", "full"]


def test_many_layers_stand_in_lines_and_no_title_in_another(recwarn: pytest.WarningsRecorder) -> None:
    names = [f"layer{number}.0.downsample.conv{number}" for number in range(21)]
    masks = {name: np.ones((4, 4, 3, 3), dtype=bool) for name in names}
    item = replace(
        make_trained(), masks=masks, parameters={f"{name}.weight": np.ones((4, 4, 3, 3), np.float32) for name in names}
    )
    for draw in (patterns.patterns, weights.weights):
        figure = drawn(draw([item, replace(item, label="another")]))
        assert len(figure.axes) == 2 * 21
        style.as_png(figure)
        texts = [(axes, text) for axes in figure.axes for text in axes.findobj(Text)]
        titles = [text for axes, text in texts if text.get_text() == axes.get_title("left")]
        boxes = [text.get_window_extent() for text in titles]
        assert len(boxes) == 2 * 21
        assert sum(first.overlaps(second) for first, second in combinations(boxes, 2)) == 0
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert not recwarn.list


def test_inputs_run_down_and_outputs_across() -> None:
    item = make_trained()
    item.masks["fc1"][:] = False
    item.masks["fc1"][4, 0] = True  # from the first input to the last of five outputs
    axes = drawn(patterns.patterns([item])).axes[0]
    picture = np.asarray(axes.images[0].get_array())
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 5), (20, 0))
    down, across = np.nonzero(picture)
    assert down.max() < picture.shape[0] / 20
    assert across.min() >= picture.shape[1] * 4 / 5


def test_pixels_are_those_with_a_weight_left() -> None:
    item = make_trained("lenet300", density=1.1)
    item.masks["fc1"][:, :100] = False
    axes = drawn(pixels.pixels([item])).axes[0]
    assert axes.get_title("left") == "M\n684 of 784 pixels left"
    shown = np.ma.filled(np.asarray(axes.images[0].get_array(), dtype=float), np.nan)
    assert shown.shape == (28, 28)
    assert np.isnan(shown.flatten()[:100]).all()
    assert (shown.flatten()[100:] == 300).all()


def test_output_pixels_of_an_autoencoder_stand_below_and_a_constant_one_is_white() -> None:
    item = make_trained("autoencoder", density=1.1)
    *_, last = item.masks.values()
    last[:84] = False
    last[84, 1:] = False
    next(reversed([*item.masks.values()][:-1]))[0] = False  # the one unit that the pixel 84 has a weight from
    figure = drawn(pixels.pixels([item, make_trained("autoencoder", "N")]))
    assert [axes.get_title("left").partition("\n")[2] for axes in figure.axes[:4]] == [
        "784 of 784 pixels left", "784 of 784 pixels left",
        "699 of 784 outputs left", "784 of 784 outputs left",
    ]  # fmt: skip
    shown = np.ma.filled(np.asarray(figure.axes[2].images[0].get_array(), dtype=float), np.nan).flatten()
    assert np.isnan(shown[:85]).all()
    assert (shown[85:] == 127).all()


@pytest.mark.parametrize("task", ["regression", "lenet5"])
def test_pixels_need_a_layer_that_reads_them(task: str) -> None:
    assert pixels.pixels([make_trained(task)]) is None


def test_pixels_of_a_network_with_nothing_left_are_all_white() -> None:
    title = drawn(pixels.pixels([make_trained("lenet300", density=0.0)])).axes[0].get_title("left")
    assert title == "M\n0 of 784 pixels left"


# Reconstructions and encodings.


def noise(*shape: int) -> Floats:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def make_pictures(units: int = 64) -> Pictures:
    inputs, codes = noise(10, 784), {"A": noise(10, units)} if units else {}
    return Pictures(inputs, {"A": noise(10, 784), "B": noise(10, 784)}, codes)


def test_reconstructions_stand_under_their_inputs() -> None:
    pictures = make_pictures()
    axes = drawn(reconstructions.reconstructions(pictures)).axes
    assert [axes[line * 10].get_ylabel() for line in range(3)] == ["input", "A", "B"]
    assert np.asarray(axes[13].images[0].get_array()).flatten() == pytest.approx(pictures.outputs["A"][3])


def test_encodings_are_squares_of_units() -> None:
    axes = drawn(encodings.encodings(make_pictures())).axes
    assert len(axes) == 20
    assert np.asarray(axes[10].images[0].get_array()).shape == (8, 8)


def test_a_code_that_is_no_square_number_is_filled_up() -> None:
    picture = np.asarray(drawn(encodings.encodings(make_pictures(units=5))).axes[10].images[0].get_array(), dtype=float)
    assert picture.shape == (3, 3)
    assert np.isnan(picture).sum() == 4


def test_without_pictures_neither_applies() -> None:
    assert reconstructions.reconstructions(None) is None
    assert encodings.encodings(None) is None


def test_without_codes_there_are_no_encodings() -> None:
    assert encodings.encodings(make_pictures(units=0)) is None


# Neurons.


def test_neurons_need_a_finished_replicate() -> None:
    assert neurons.neurons(*gathered({"A": [L1]}, [])) is None


def test_neurons_show_a_bar_per_layer_and_method() -> None:
    manifest, methods = two_methods()
    axes = drawn(neurons.neurons(manifest, methods)).axes[0]
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle) and to_rgba(patch.get_facecolor())[3]]
    assert len(bars) == 2 * 3
    counted = methods[0].chosen
    assert counted is not None
    alive = counted.stat(lambda row: row.counts.units[0].alive)
    assert alive is not None
    assert bars[0].get_height() == pytest.approx(100 * alive.mean / 20)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["input\n(of 20)", "fc1\n(of 5)", "fc2\n(of 1)"]


def test_neurons_show_published_counts_where_there_are_any() -> None:
    without, beside = two_methods(), two_methods(published={"A": "ℓ1+DN+P"})
    assert legend_of(drawn(neurons.neurons(*without))) == ["A", "B", "all neurons of the layer"]
    figure = drawn(neurons.neurons(*beside))
    signs = ["published (its rule counts as many or more)", "ours by that rule"]
    assert legend_of(figure) == ["A", "B", *signs, "all neurons of the layer"]
    stars, ours = ([line for line in figure.axes[0].lines if line.get_marker() == marker] for marker in "*_")
    result = beside[1][0].chosen
    assert result is not None
    counted = sum(row.counts.units[0].published for row in result.rows) / len(result.rows)
    assert pytest.approx(100 * counted / 20) in [ys(line)[0] for line in ours]  # caps of the bars are _ too
    assert ys(stars[0]) == pytest.approx([100 * 2 / 20, 100 * 1 / 5, 100.0])


def test_means_of_few_neurons_have_a_decimal_and_spread_no_further_than_there_are_neurons() -> None:
    rows = [make_row(L1, seed, density=density) for seed, density in ((0, 1.1), (1, 0.0))]
    axes = drawn(neurons.neurons(*gathered({"A": [L1]}, rows))).axes[0]
    assert [text.get_text() for text in axes.texts] == ["10", "2.5", "0.5"]
    (bars,) = axes.collections
    ends = [end for bar in bars.get_segments() for _, end in bar]  # type: ignore[attr-defined]
    assert (min(ends), max(ends)) == (0.0, 100.0)


def test_neurons_leave_out_a_method_without_a_replicate() -> None:
    rows = [make_row(DN, seed) for seed in (0, 1)]
    figure = drawn(neurons.neurons(*gathered({"A": [L1], "B": [DN]}, rows)))
    assert legend_of(figure)[0] == "B"
    face = figure.axes[0].patches[-1].get_facecolor()
    assert mpl.colors.to_hex(face) == styles_of({"A": L1, "B": DN})["B"].color.lower()
    assert note_of(figure) == "Only finished networks are shown: A 0 of 2 (2 missing)."


# Density against score.


def test_a_tradeoff_needs_a_finished_replicate() -> None:
    assert tradeoff.tradeoff(*gathered({"A": [L1]}, [])) is None


def test_a_tradeoff_shows_each_replicate_and_each_mean() -> None:
    axes = drawn(tradeoff.tradeoff(*two_methods())).axes[0]
    assert axes.get_xscale() == "log"
    assert sorted(filter(None, (len(xs(line)) for line in axes.lines))) == [1, 1, 2, 2]


def test_a_tradeoff_shows_the_dense_network_that_is_left_beside_the_weights() -> None:
    row = make_row(L1, 0)
    _, right = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, [row]))).axes
    assert right.get_xlabel() == "weights of the dense network"
    (mean,) = [line for line in right.lines if line.get_markersize() == 9]
    assert xs(mean) == pytest.approx([row.counts.dense_size])


def test_a_tradeoff_shows_the_latency_where_every_network_was_timed() -> None:
    timed = {"compact/after/latency_ms_batch_256": 2.5}
    rows = [replace(row, metrics={**row.metrics, **timed}) for row in (make_row(L1, 0), make_row(L1, 1))]
    *_, last = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows))).axes
    assert last.get_xlabel() == "latency, batch of 256 (ms)"
    assert [xs(line) for line in last.lines if line.get_markersize() == 9] == [pytest.approx([2.5])]
    assert len(drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, [rows[0], make_row(L1, 1)]))).axes) == 2


@pytest.mark.parametrize(
    ("threads", "processors", "said"),
    [
        ((1, 1), ("A", "A"), ""),
        ((1, None), ("A", ""), ""),
        ((1, 4), ("A", "A"), "Latencies were measured on 1 and 4 threads: they do not compare."),
        ((1, 1), ("A", "B"), "Latencies were measured on 2 kinds of processors (A; B): they do not compare."),
    ],
)
def test_figures_say_where_latencies_were_measured_differently(
    threads: tuple[int | None, ...], processors: tuple[str, ...], said: str
) -> None:
    rows = []
    for seed, (number, processor) in enumerate(zip(threads, processors, strict=True)):
        row = make_row(L1, seed)
        timed = {fronts.LATENCY: 2.5} | ({} if number is None else {fronts.THREADS: float(number)})
        rows.append(replace(row, metrics={**row.metrics, **timed}, processor=processor))
    manifest, results = gathered({"A": [L1]}, rows)
    assert fronts.unlike_timings(results) == [said] * bool(said)
    for figure in (drawn(tradeoff.tradeoff(manifest, results)), drawn(pareto.pareto(manifest, results, {"A": []}))):
        text = figure.get_supxlabel().replace("\n", " ")
        assert text == said
    for chart in (scatter.chart(manifest, results), front_chart.chart(manifest, results, {"A": []})):
        assert chart is not None
        assert ("they do not compare" in chart.caption) == bool(said)


def test_a_search_shows_which_configuration_was_chosen() -> None:
    other = make_cell(l1=2.0)
    rows = [make_row(cell, seed) for cell in (L1, other) for seed in (0, 1)]
    selection = Selection(objective="validation/nmse/after_pruning", higher_is_better=False)
    figure = drawn(tradeoff.tradeoff(*gathered({"A": [L1, other]}, rows, selection=selection)))
    assert legend_of(figure) == ["A", "chosen"]
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 18]
    assert len(rings) == 1


def test_a_published_point_is_a_star() -> None:
    figure = drawn(tradeoff.tradeoff(*two_methods(published={"B": "ℓ1+DN+P"})))
    assert legend_of(figure) == ["A", "B", "published"]
    (star,) = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert (xs(star)[0], ys(star)[0]) == (3 / 105, 3.58e-4)


def test_a_network_with_nothing_left_is_marked_apart_and_told() -> None:
    rows = [make_row(L1, 0), make_row(L1, 1, density=0.0, test__nmse__after_pruning=1.0)]
    figure = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows)))
    axes = figure.axes[0]
    assert legend_of(figure) == ["A", "nothing left"]
    assert note_of(figure) == "Networks with nothing left: A 1 of 2 (seed 1)."
    ((lost,),) = [xs(line) for line in axes.lines if line.get_markersize() == 8 and len(xs(line))]
    assert axes.xaxis.get_major_formatter()(lost, 0) == "0"
    assert lost in axes.xaxis.get_ticklocs()
    assert axes.get_xlim()[0] < lost < rows[0].counts.density
    (mean,) = [line for line in axes.lines if line.get_markersize() == 9]
    assert xs(mean) == pytest.approx([rows[0].counts.density / 2])  # of both seeds, as in the table
    assert ys(mean) == pytest.approx([math.sqrt(0.1)])


def test_a_network_without_a_path_is_told_though_it_has_weights() -> None:
    row = make_row(L1, 0)
    cut = replace(row, counts=replace(row.counts, units=tuple(replace(unit, alive=0) for unit in row.counts.units)))
    figure = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, [cut, make_row(L1, 1)])))
    assert note_of(figure) == "Networks with weights left, but no path from input to output: A 1 of 2 (seed 0)."


def test_networks_of_which_all_have_nothing_left_are_shown() -> None:
    rows = [make_row(L1, seed, density=0.0) for seed in (0, 1)]
    figure = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows)))
    assert note_of(figure) == "Networks with nothing left: A 2 of 2 (seeds 0, 1)."


def test_a_mean_of_errors_of_which_one_is_0_is_the_arithmetic_one() -> None:
    assert score_axis.middle([0.0, 0.5], logarithmic=True) == 0.25
    assert score_axis.middle([0.25, 1.0], logarithmic=True) == pytest.approx(0.5)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_told_and_does_not_break_the_axes(score: float) -> None:
    rows = [make_row(L1, 0, test__nmse__after_pruning=score), make_row(L1, 1)]
    figure = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows)))
    assert all(map(math.isfinite, figure.axes[0].get_ylim()))
    assert note_of(figure) == "Without a finite score, and not shown: A 1 of 2 (seed 0)."
    assert [xs(line) for line in figure.axes[0].lines if line.get_markersize() == 9] == [[]], "no mean around it"


def test_networks_that_failed_or_are_missing_are_told_by_name() -> None:
    manifest = make_manifest({"A": [L1], "B": [DN]}, seeds=range(3))
    ended = (Ended(L1.key, L1.replicate_key(2), 2, "failed", "bad numbers"),)
    results = gather(manifest, Snapshot((make_row(L1, 0), *(make_row(DN, seed) for seed in range(3))), ended))
    expected = "Only finished networks are shown: A 1 of 3 (1 failed, 1 missing, seed 2)."
    assert note_of(drawn(tradeoff.tradeoff(manifest, results))) == expected
    assert note_of(drawn(neurons.neurons(manifest, results))) == expected


def test_errors_stand_on_a_logarithmic_axis_however_close_they_are() -> None:
    assert drawn(tradeoff.tradeoff(*two_methods())).axes[0].get_yscale() == "log"


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([1e-6, 1e-4, 0.01, 1], ["1e-6", "1e-4", "1e-2", "1"]),
        ([2e-5, 5e-5, 0.0001], ["2e-5", "5e-5", "1e-4"]),
        ([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"]),
        ([0.1, 10, 1000], ["0.1", "10", "1000"]),
    ],
)
def test_the_ticks_of_an_axis_are_written_alike(ticks: Sequence[float], expected: Sequence[str]) -> None:
    written = style.written_alike(ticks, style.number)
    assert [written(tick) for tick in ticks] == expected


def test_an_error_of_nothing_has_a_place_on_a_logarithmic_axis() -> None:
    rows = [make_row(L1, 0, test__nmse__after_pruning=0.0), make_row(L1, 1)]
    axes = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows))).axes[0]
    (seeds,) = [ys(line) for line in axes.lines if line.get_markersize() == 3]
    assert axes.get_ylim()[0] < seeds[0] < seeds[1] == pytest.approx(0.2)


def test_accuracies_stand_on_a_linear_axis_in_percent() -> None:
    cell = make_cell("lenet300")
    axes = drawn(tradeoff.tradeoff(*gathered({"A": [cell]}, [make_row(cell, seed) for seed in (0, 1)]))).axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylabel() == "test accuracy after pruning (%)"
    assert axes.yaxis.get_major_formatter()(0.9825, 0) == "98.25"


# Fronts.


def make_point(
    cell: Cell = L1, threshold: float = 0.01, *, left: float = 0.5, validation: float = 0.1, test: float = 0.1
) -> Point:
    size: Mapping[fronts.Size, float] = {"density": left, "neurons_alive": 20 * left}
    return Point(cell.key, threshold, dict.fromkeys((0, 1), fronts.Measured(size, validation, test)))


ZIGZAG = [make_point(left=left, validation=1 - left, test=test) for left, test in ((0.1, 0.8), (0.2, 0.9), (0.4, 0.5))]
"""Ever better on validation data, up and down on test data."""


def shown_fronts(points: Sequence[Point], **options: Any) -> Figure:
    manifest, results = two_methods(**options)
    return drawn(pareto.pareto(manifest, results, {"A": points, "B": []}))


def test_fronts_need_points() -> None:
    assert pareto.pareto(*two_methods(), {"A": [], "B": []}) is None


def test_a_front_is_of_steps_on_the_data_that_it_was_chosen_on_and_no_line_joins_test_points() -> None:
    validation, _, test, _ = shown_fronts(ZIGZAG).axes
    (steps,) = [line for line in validation.lines if line.get_linestyle() == "-"]
    assert steps.get_drawstyle() == "steps-post"
    assert (xs(steps), ys(steps)) == ([0.1, 0.2, 0.4], [0.9, 0.8, 0.6])
    lines = [line for line in test.lines if len(xs(line)) > 1]
    assert {line.get_linestyle() for line in lines} == {"None"}
    assert ys(lines[-1]) == [0.8, 0.9, 0.5]


def test_errors_and_what_is_left_stand_on_logarithmic_axes() -> None:
    assert {(axes.get_xscale(), axes.get_yscale()) for axes in shown_fronts(ZIGZAG).axes} == {("log", "log")}


def test_what_the_sweep_has_at_its_threshold_is_ringed_and_the_published_row_is_a_star() -> None:
    figure = shown_fronts(ZIGZAG, published={"A": "ℓ1+DN+P"})
    assert legend_of(figure) == ["A", "at the sweep's threshold", "published"]
    rows = [make_row(L1, seed) for seed in (0, 1)]
    density = sum(row.counts.density for row in rows) / 2
    for axes in figure.axes[::2]:
        ((ring,),) = [xs(line) for line in axes.lines if line.get_markersize() == 12 and line.get_marker() == "o"]
        assert ring == pytest.approx(density)
    stars = [[xs(line)[0] for line in axes.lines if line.get_marker() == "*"] for axes in figure.axes]
    assert stars == [[], [], [3 / 105], []]


def test_the_choice_of_a_search_is_named_so() -> None:
    selection = Selection(objective="validation/nmse/after_pruning", higher_is_better=False)
    assert legend_of(shown_fronts(ZIGZAG, selection=selection)) == ["A", "chosen at the sweep's threshold"]


def test_points_without_a_place_are_told() -> None:
    figure = shown_fronts([*ZIGZAG, make_point(left=0.0), make_point(test=math.nan), make_point(validation=math.inf)])
    assert note_of(figure) == (
        "Points that leave nothing, and are not shown: A 1 of 6. "
        "Points without a finite score, and not shown: A 2 of 6."
    )


def test_an_incomplete_configuration_is_told() -> None:
    curved = [
        make_cell(l1=l1).model_copy(update={"pruning": Pruning(threshold=0.01, curve=(0.1,))}) for l1 in (1.0, 2.0)
    ]
    manifest, results = gathered({"A": curved}, [make_row(curved[0], seed) for seed in (0, 1)])
    figure = drawn(pareto.pareto(manifest, results, {"A": [make_point(curved[0])]}))
    assert note_of(figure) == "Configurations that are not complete, and not shown: A 1 of 2."


def test_points_far_worse_than_the_rest_are_counted() -> None:
    many = [make_point(left=0.1 + place / 100, validation=0.01 + place / 1e4, test=0.01) for place in range(20)]
    figure = shown_fronts([*many, make_point(left=0.05, validation=5.0, test=0.01)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 of 21 points lie above"]
    assert figure.axes[0].get_ylim()[1] < 1


def timed_rows(latencies: Mapping[float, float]) -> tuple[list[Cell], list[Row]]:
    """Configurations by coefficient, each with two seeds of this latency in the mean, the better the slower."""
    cells = {l1: make_cell(l1=l1) for l1 in latencies}
    rows = []
    for l1, cell in cells.items():
        for seed, apart in ((0, -0.5), (1, 0.5)):
            row = make_row(cell, seed, validation__nmse__after_pruning=1 / latencies[l1])
            timed = {"compact/after/latency_ms_batch_256": latencies[l1] + apart}
            rows.append(replace(row, metrics={**row.metrics, **timed}))
    return list(cells.values()), rows


def test_a_front_is_drawn_against_the_latency_of_configurations_that_were_made_smaller() -> None:
    cells, rows = timed_rows({1.0: 8.0, 2.0: 4.0})
    untimed = make_row(DN, 0), make_row(DN, 1)
    manifest, results = gathered({"A": cells, "B": [DN]}, [*rows, *untimed])
    figure = drawn(pareto.pareto(manifest, results, {"A": ZIGZAG, "B": ZIGZAG}))
    titles = [axes.get_xlabel() for axes in figure.axes[3:]]
    assert titles == ["weights left (%)", "neurons alive", "latency, batch of 256 (ms)"]
    (steps,) = [line for line in figure.axes[2].lines if line.get_linestyle() == "-"]
    assert (xs(steps), ys(steps)) == ([4.0, 8.0], [0.25, 0.125])
    assert len([line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]) == 2


def test_without_curves_fronts_are_of_configurations_that_were_made_smaller() -> None:
    cells, rows = timed_rows({1.0: 8.0, 2.0: 4.0})
    manifest, results = gathered({"A": cells}, rows)
    figure = drawn(pareto.pareto(manifest, results, {"A": []}))
    titles = [axes.get_xlabel() for axes in figure.axes[len(figure.axes) // 2 :]]
    assert titles == ["weights left (%)", *[title for size, title in fronts.SIZES.items() if size != "density"]]
    assert pareto.pareto(*gathered({"A": cells}, rows[1:]), {"A": []}) is not None, "the other is complete"
    assert pareto.pareto(*gathered({"A": cells[:1]}, rows[1:2]), {"A": []}) is None


# Training curves.


def test_curves_need_an_epoch() -> None:
    manifest, _ = two_methods()
    assert training.training(manifest, {}) is None
    assert training.training(manifest, {"A": [{}]}) is None


def test_curves_show_the_middle_and_spread_of_the_score_and_the_weights_left() -> None:
    manifest, _ = two_methods()
    histories = {
        "A": [
            {"validation/nmse": {1: 1.0, 2: value}, "num_nonzero": {1: 105.0, 2: 50.0}, "neurons_alive": {1: 26.0}}
            for value in (0.4, 0.6)
        ]
    }
    score, weights, neurons_alive = drawn(training.training(manifest, histories)).axes
    assert ys(score.lines[0]) == [1.0, 0.5]
    band = score.collections[0].get_paths()[0].vertices
    assert sorted({y for x, y in np.asarray(band) if x == 2}) == pytest.approx([0.45, 0.55])
    assert weights.get_title("left") == "weights left"
    assert weights.get_ylim()[0] == 0
    assert ys(neurons_alive.lines[0]) == [26.0]


def test_curves_on_a_logarithmic_axis_show_the_median_and_the_middle_half() -> None:
    manifest, _ = two_methods()
    histories = {"A": [{"validation/nmse": {1: value}} for value in (1e-6, 1e-5, 1e-4, 1e-3, 1.0)]}
    score = drawn(training.training(manifest, histories)).axes[0]
    assert ys(score.lines[0]) == [1e-4]
    band = score.collections[0].get_paths()[0].vertices
    assert {y for _, y in np.asarray(band)} == {1e-5, 1e-3}


def test_the_first_epochs_do_not_flatten_the_others() -> None:
    manifest, _ = two_methods()
    values = {epoch: 0.98 + epoch / 1e4 for epoch in range(2, 21)}
    manifest = manifest.model_copy(update={"score_higher_is_better": True})
    score = drawn(training.training(manifest, {"A": [{"validation/nmse": {1: 0.1, **values}}]})).axes[0]
    assert 0.97 < score.get_ylim()[0] < 0.9806


def test_a_curve_has_a_gap_where_a_seed_is_no_number_and_says_so() -> None:
    manifest, _ = two_methods()
    histories = {"A": [{"validation/nmse": {1: 1.0, 2: 0.5}}, {"validation/nmse": {1: 1.0, 2: math.nan}}]}
    figure = drawn(training.training(manifest, histories))
    assert np.isnan(ys(figure.axes[0].lines[0])).tolist() == [False, True]
    assert note_of(figure) == "Seeds with a nmse that is no number: A 1 of 2."


def test_a_curve_ends_where_its_first_seed_does_and_says_so() -> None:
    manifest, _ = two_methods()
    histories: dict[str, list[dict[str, dict[int, float]]]] = {
        "A": [{"validation/nmse": {1: 1.0, 2: 0.5}}, {"validation/nmse": {1: 1.0}}],
        "B": [{"num_nonzero": {}}],
    }
    figure = drawn(training.training(manifest, histories))
    assert np.isnan(ys(figure.axes[0].lines[0])).tolist() == [False, True]
    assert note_of(figure) == "Only finished seeds are shown: B 1 of 2. Seeds without the last epochs: A 1 of 2."


# Coefficients.


def two_seeds(found: Sequence[Mapping[int, float]], truth: Sequence[Mapping[int, float]]) -> Estimates:
    given = [np.zeros((2, 20), np.float32) for _ in (found, truth)]
    for made, wanted in zip(given, (found, truth), strict=True):
        for seed, values in enumerate(wanted):
            made[seed, list(values)] = list(values.values())
    return Estimates("B", (0, 1), *given)


def test_coefficients_of_all_seeds_are_drawn_against_the_true_ones() -> None:
    manifest, _ = two_methods()
    item = two_seeds([{3: 4.0, 7: 0.5}, {1: -2.0}], [{3: 5.0}, {1: -2.0, 2: 0.1}])
    figure = drawn(coefficients.estimates(manifest, [item]))
    axes = figure.axes[0]
    assert axes.get_title("left") == "B\nexact support for 0 of 2 seeds\nmissed 1 of 3, false 1 of 37"
    points = [list(zip(xs(line), ys(line), strict=True)) for line in axes.lines[3:]]
    false, hits, missed = [[near(point) for point in kind] for kind in points]
    assert (false, hits, missed) == ([(0.0, 0.5)], [(5.0, 4.0), (-2.0, -2.0)], [(0.1, 0.0)])
    assert axes.lines[4].get_color() == styles_of({"A": L1, "B": DN})["B"].color
    assert axes.get_xlabel() == "true coefficient (linear within ±0.1)"
    assert axes.get_ylabel() == "estimated coefficient"


def test_seeds_whose_estimates_tell_nothing_are_told() -> None:
    manifest, _ = two_methods()
    figure = drawn(coefficients.estimates(manifest, [two_seeds([{}, {3: math.nan}], [{3: 5.0}, {3: 5.0}])]))
    assert note_of(figure) == (
        "Every coefficient estimated as 0: B 1 of 2 (seed 0). "
        "Estimates that are no number, and not shown: B 1 of 2 (seed 1)."
    )


def test_coefficients_far_apart_are_both_seen() -> None:
    manifest, _ = two_methods()
    wide = [{3: 5.0, 5: -0.05}] * 2
    (axes,) = drawn(coefficients.estimates(manifest, [two_seeds(wide, wide)])).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("symlog", "symlog")


def test_coefficients_need_an_estimate() -> None:
    assert coefficients.estimates(two_methods()[0], []) is None


def test_coefficients_and_fronts_are_told_in_words() -> None:
    item = two_seeds([{3: 4.0, 7: 0.5}, {1: -2.0}], [{3: 5.0}, {1: -2.0, 2: 0.1}])
    manifest, results = two_methods()
    data = FigureData(manifest, results, estimates=(item,))
    (said,) = [kind.in_words for kind in figures.draw(data) if kind.name == "coefficients"]
    assert said == ("B: exact support for 0 of 2 seeds, missed 1 of 3, false 1 of 37",)
    assert list(pareto._in_words(manifest, results, {"A": ZIGZAG, "B": []})) == [
        "A: 3 of 3 points on its front, 10 % of the weights left at validation nmse 0.9 to "
        "40 % of the weights left at validation nmse 0.6"
    ]


def test_of_very_many_layers_the_first_are_told() -> None:
    assert in_words.of_layers("A", map(str, range(10))) == "A: 0, 1, 2, 3, 4, 5, 6, 7, and 2 more layers"


# What they are drawn from.


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ([0, 0, 1, 1], [0, 1, 2, 3]),
        ([0] * 12, list(range(10))),
    ],
)
def test_samples_are_one_of_each_class_or_the_first_ones(labels: list[int], expected: list[int]) -> None:
    assert stored_networks.choose_samples(torch.tensor(labels)) == expected


def test_a_network_is_evaluated_with_its_pruned_weights_and_without_dropout() -> None:
    item = make_trained("lenet300", density=0.5)
    network = stored_networks.network(item)
    assert not network.training
    for name, mask in item.masks.items():
        weight = network.get_parameter(f"{name}.weight").detach().numpy()
        assert np.array_equal(weight != 0, mask & (item.parameters[f"{name}.weight"] != 0))


def read_data(recorder: Recorder, methods: Mapping[str, Sequence[Cell]]) -> FigureData:
    manifest = make_manifest(methods)
    return figures.gather(recorder.location, manifest, gather(manifest, recorder.read()), Path("unused"))


def autoencoder() -> Cell:
    return make_cell("autoencoder", Digits().digest(Digits().load(Path("unused"))))


def test_an_autoencoder_has_pictures_of_the_test_images(recorder: Recorder) -> None:
    cell = autoencoder()
    (outcome,) = recorder.finish(cell, 0, epochs=1)
    found = read_data(recorder, {"A": [cell]})
    assert found.missing == ()
    assert found.pictures is not None
    assert found.pictures.inputs.shape == (10, 784)
    assert found.pictures.codes["A"].shape == (10, 64)
    assert np.array_equal(found.trained[0].masks["encoder1"], outcome.masks["encoder1"])
    with torch.no_grad():
        expected = stored_networks.network(found.trained[0])(torch.from_numpy(found.pictures.inputs)).numpy()
    assert np.array_equal(found.pictures.outputs["A"], expected)


def test_images_that_cannot_be_had_are_told(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = autoencoder()
    recorder.finish(cell, 0)

    def refuse(_self: Digits, _data_dir: Path) -> None:
        raise DataError("dataset 'digits' is not in /nowhere")

    monkeypatch.setattr(Digits, "load", refuse)
    found = read_data(recorder, {"A": [cell]})
    assert found.pictures is None
    assert found.missing == ("Reconstructions and encodings are left out: dataset 'digits' is not in /nowhere.",)


def test_images_of_another_digest_are_not_shown(recorder: Recorder) -> None:
    cell = make_cell("autoencoder", "f" * 64)
    recorder.finish(cell, 0)
    found = read_data(recorder, {"A": [cell]})
    assert found.pictures is None
    assert "are not those of this sweep" in found.missing[0]


def test_a_classifier_needs_no_images(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell("lenet300")
    recorder.finish(cell, 0)
    monkeypatch.delattr(Digits, "load")
    found = read_data(recorder, {"A": [cell]})
    assert (found.pictures, found.missing) == (None, ())


class Headed(nn.Module):
    """A layer that is not regularised between the pixels and the regularised ones, or behind them."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        if before:
            self.first = nn.Linear(784, 784)
        self.fc = nn.Linear(784, 10)
        if not before:
            self.last = nn.Linear(10, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = [getattr(self, name) for name in ("first", "fc", "last") if hasattr(self, name)]
        return nn.Sequential(*layers)(x)


@pytest.mark.parametrize("before", [False, True])
def test_a_network_with_other_layers_is_asked_whether_pixels_are_read(
    before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(LeNet300):
        name: Literal["own"] = "own"  # type: ignore[assignment]
        layers: ClassVar = ("fc",)

        def network(self) -> nn.Module:
            return Headed(before)

    monkeypatch.setitem(TASKS, "own", Own)
    cell = make_cell("own")
    item = Trained("M", 0, cell, {"fc": np.ones((10, 784), bool)}, {"fc.weight": noise(10, 784), "else": noise(1)})
    assert collect.reads_pixels(item) != before


def test_the_task_of_another_module_is_named(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = autoencoder()
    recorder.finish(cell, 0)
    manifest = make_manifest({"A": [cell]})
    monkeypatch.delitem(TASKS, "autoencoder")
    found = figures.gather(recorder.location, manifest, gather(manifest, recorder.read()), Path("unused"))
    assert found.pictures is None
    assert "--import MODULE" in found.missing[0]


def test_the_estimates_of_a_task_of_another_module_are_left_out(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.finish(L1, 0, **WITH_TRUTH)
    manifest = make_manifest({"A": [L1]})
    monkeypatch.delitem(TASKS, "regression")
    found = figures.gather(recorder.location, manifest, gather(manifest, recorder.read()), Path("unused"))
    assert found.estimates == ()
    assert "Estimated coefficients are left out" in found.missing[0]


def test_a_regression_has_the_estimates_of_all_seeds_beside_the_truth(recorder: Recorder) -> None:
    recorder.finish(L1, 0, 1, **WITH_TRUTH)
    found = read_data(recorder, {"A": [L1], "B": [DN]})
    (estimates,) = found.estimates
    assert (estimates.label, estimates.seeds) == ("A", (0, 1))
    weights = found.trained[0].pruned_weights()
    assert estimates.found[0] == pytest.approx((weights["fc2"] @ weights["fc1"])[0])
    assert not np.array_equal(estimates.found[0], estimates.found[1])
    truth = linear.Scripted().generate([0, 1]).truth
    assert truth is not None
    assert np.array_equal(estimates.truth, truth.numpy())


def test_a_dataset_with_features_is_no_linear_problem_by_that(recorder: Recorder) -> None:
    cell = make_cell("lenet300")
    cell = cell.model_copy(update={"dataset": {**cell.dataset, "features": 20}})
    recorder.finish(cell, 0)
    found = read_data(recorder, {"A": [cell]})
    assert (found.estimates, found.missing) == ((), ())
    assert found.trained[0].reads_pixels


def test_seeds_without_weights_are_left_out_of_the_estimates_and_told(recorder: Recorder) -> None:
    recorder.finish(L1, 0, 1, **WITH_TRUTH)
    recorder.artifact(recorder.read().rows[1].run_id, schema.WEIGHTS_FILE).write_bytes(b"half")
    found = read_data(recorder, {"A": [L1]})
    assert found.estimates[0].seeds == (0,)
    assert found.missing == ("The weights of A, seed 1, could not be read from the store.",)


def test_weights_that_are_gone_are_told(recorder: Recorder) -> None:
    recorder.finish(L1, 0)
    recorder.artifact(recorder.read().rows[0].run_id, schema.WEIGHTS_FILE).unlink()
    found = read_data(recorder, {"A": [L1]})
    assert found.trained == ()
    assert found.missing == ("The weights of A, seed 0, could not be read from the store.",)
    assert [kind.name for kind in figures.draw(found)] == ["tradeoff", "neurons"]


def test_different_first_seeds_are_told_in_the_caption(recorder: Recorder) -> None:
    recorder.finish(L1, 0)
    recorder.finish(DN, 1)
    found = read_data(recorder, {"A": [L1], "B": [DN]})
    (caption,) = [kind.caption for kind in figures.draw(found) if kind.name == "patterns"]
    assert "first finished seed (A: 0, B: 1)" in caption


def test_nothing_finished_is_nothing_to_draw(recorder: Recorder) -> None:
    found = read_data(recorder, {"A": [L1]})
    assert list(figures.draw(found)) == []


def test_networks_that_two_methods_share_are_shown_once(recorder: Recorder) -> None:
    recorder.finish(L1, 0, epochs=2)
    found = read_data(recorder, {"described": [L1], "scripted": [L1]})
    assert [item.label for item in found.trained] == ["described"]
    assert list(found.histories) == ["described"]
    assert found.missing == ("The networks of scripted are those of described: figures of networks show them once.",)
