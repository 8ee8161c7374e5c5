import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib as mpl
import numpy as np
import pytest
import torch
from fabricated import Recorder, make_cell, make_manifest, make_outcome, make_row
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from dn_distributed.config import Cell
from dn_distributed.data import DataError
from dn_distributed.data.digits import Digits
from dn_distributed.tasks import TASKS
from tracking import figures, schema
from tracking.cells import MethodResult, gather
from tracking.figures import coefficients, curves, digits, evidence, neurons, rerun, sparsity, style, tradeoff
from tracking.figures.evidence import Estimate, Evidence, Pictures, Trained
from tracking.manifest import Manifest, Selection
from tracking.reader import Row, Snapshot

L1, DN = make_cell(l1=1.0), make_cell(dn_incoming=1.0)


def make_trained(task: str = "regression", label: str = "M", **options: Any) -> Trained:
    outcome = make_outcome(make_cell(task), 0, **options)
    masks = {name: mask.numpy() for name, mask in outcome.masks.items()}
    parameters = {name: value.numpy() for name, value in outcome.parameters.items()}
    made = Trained(label, 0, make_cell(task), masks, parameters)
    return replace(made, reads_pixels=evidence.reads_pixels(made))


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


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# The style.


def test_drawing_leaves_matplotlibs_own_settings_alone() -> None:
    before = dict(mpl.rcParams)
    figures.as_png(drawn(tradeoff.tradeoff(*two_methods())))
    assert dict(mpl.rcParams) == before


def test_a_method_looks_the_same_in_every_sweep() -> None:
    first = style.looks(["P", "ℓ1+P", "ℓ1+DN+P"])
    second = style.looks(["ℓ1+DN+P", "DO+P as scripted", "ℓ1", "DO+P"])
    assert first["ℓ1+DN+P"] == second["ℓ1+DN+P"]
    assert first["ℓ1+P"] == second["ℓ1"]
    assert len(set(second.values())) == 4
    assert style.looks(["ℓ1", "ℓ1+P"])["ℓ1+P"] != style.looks(["ℓ1", "ℓ1+P"])["ℓ1"]


def test_a_method_looks_the_same_whatever_else_is_shown() -> None:
    whole = style.looks("ABCDEFG")
    assert len(set(whole.values())) == 7
    assert style.looks("ABC")["C"] == whole["C"]


def test_methods_beyond_the_palette_differ_in_line() -> None:
    looks = style.looks(map(str, range(9)))
    assert looks["0"].color == looks["7"].color
    assert looks["0"] != looks["7"]


def test_a_picture_stays_below_the_limit_at_the_cost_of_colours_and_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "MAX_BYTES", 40_000)
    data = figures.as_png(drawn(sparsity.patterns([make_trained("lenet300")])))  # noise, which hardly compresses
    assert len(data) < 40_000
    with Image.open(io.BytesIO(data)) as picture:
        assert 500 <= picture.width < 1500


def test_a_picture_is_the_same_each_time() -> None:
    made = [figures.as_png(drawn(neurons.neurons(*two_methods()))) for _ in range(2)]
    assert made[0] == made[1]


# Sparsity patterns.


def test_patterns_need_a_network() -> None:
    assert sparsity.patterns([]) is None


def test_patterns_show_each_layer_of_each_method_with_its_density() -> None:
    some, full = make_trained("regression", "some", density=0.4), make_trained("regression", "full", density=1.1)
    figure = drawn(sparsity.patterns([some, full]))
    share = 100 * some.masks["fc1"].mean()
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[0] == f"fc1: {share:.3g} %"
    assert titles[2:] == ["fc1: 100 %", "fc2: 100 %"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["some", "full"]


def test_inputs_run_down_and_outputs_across() -> None:
    item = make_trained()
    item.masks["fc1"][:] = False
    item.masks["fc1"][4, 0] = True  # from the first input to the last of five outputs
    axes = drawn(sparsity.patterns([item])).axes[0]
    picture = np.asarray(axes.images[0].get_array())
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 5), (20, 0))
    down, across = np.nonzero(picture)
    assert down.max() < picture.shape[0] / 20
    assert across.min() >= picture.shape[1] * 4 / 5


def test_pixels_are_those_with_a_weight_left() -> None:
    item = make_trained("lenet300", density=1.1)
    item.masks["fc1"][:, :100] = False
    axes = drawn(sparsity.pixels([item])).axes[0]
    assert axes.get_title("left") == "M\n684 of 784 pixels left"
    shown = np.ma.filled(np.asarray(axes.images[0].get_array(), dtype=float), np.nan)
    assert shown.shape == (28, 28)
    assert np.isnan(shown.flatten()[:100]).all()
    assert (shown.flatten()[100:] == 300).all()


@pytest.mark.parametrize("task", ["regression", "lenet5"])
def test_pixels_need_a_layer_that_reads_them(task: str) -> None:
    assert sparsity.pixels([make_trained(task)]) is None


def test_pixels_of_a_network_with_nothing_left_are_all_white() -> None:
    title = drawn(sparsity.pixels([make_trained("lenet300", density=0.0)])).axes[0].get_title("left")
    assert title == "M\n0 of 784 pixels left"


# Reconstructions and encodings.


def noise(*shape: int) -> evidence.Floats:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def make_pictures(units: int = 64) -> Pictures:
    inputs, codes = noise(10, 784), {"A": noise(10, units)} if units else {}
    return Pictures(inputs, {"A": noise(10, 784), "B": noise(10, 784)}, codes)


def test_reconstructions_stand_under_their_inputs() -> None:
    pictures = make_pictures()
    axes = drawn(digits.reconstructions(pictures)).axes
    assert [axes[line * 10].get_ylabel() for line in range(3)] == ["input", "A", "B"]
    assert np.asarray(axes[13].images[0].get_array()).flatten() == pytest.approx(pictures.outputs["A"][3])


def test_encodings_are_squares_of_units() -> None:
    axes = drawn(digits.encodings(make_pictures())).axes
    assert len(axes) == 20
    assert np.asarray(axes[10].images[0].get_array()).shape == (8, 8)


def test_a_code_that_is_no_square_number_is_filled_up() -> None:
    picture = np.asarray(drawn(digits.encodings(make_pictures(units=5))).axes[10].images[0].get_array(), dtype=float)
    assert picture.shape == (3, 3)
    assert np.isnan(picture).sum() == 4


def test_without_pictures_neither_applies() -> None:
    assert digits.reconstructions(None) is None
    assert digits.encodings(None) is None


def test_without_codes_there_are_no_encodings() -> None:
    assert digits.encodings(make_pictures(units=0)) is None


# Neurons.


def test_neurons_need_a_finished_replicate() -> None:
    assert neurons.neurons(*gathered({"A": [L1]}, [])) is None


def test_neurons_show_a_bar_per_layer_and_method() -> None:
    manifest, methods = two_methods()
    axes = drawn(neurons.neurons(manifest, methods)).axes[0]
    bars = [patch for patch in axes.patches if patch.get_facecolor()[3]]
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
    assert pytest.approx(100 * counted / 20) in [line.get_ydata()[0] for line in ours]  # caps of the bars are _ too
    assert list(stars[0].get_ydata()) == pytest.approx([100 * 2 / 20, 100 * 1 / 5, 100.0])


def test_neurons_leave_out_a_method_without_a_replicate() -> None:
    rows = [make_row(DN, seed) for seed in (0, 1)]
    figure = drawn(neurons.neurons(*gathered({"A": [L1], "B": [DN]}, rows)))
    assert legend_of(figure)[0] == "B"
    face = figure.axes[0].patches[-1].get_facecolor()
    assert mpl.colors.to_hex(face) == style.looks("AB")["B"].color.lower()


# Density against score.


def test_a_tradeoff_needs_a_finished_replicate() -> None:
    assert tradeoff.tradeoff(*gathered({"A": [L1]}, [])) is None


def test_a_tradeoff_shows_each_replicate_and_each_mean() -> None:
    axes = drawn(tradeoff.tradeoff(*two_methods())).axes[0]
    assert axes.get_xscale() == "log"
    assert sorted(len(line.get_xdata()) for line in axes.lines) == [1, 1, 2, 2]


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
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (3 / 105, 3.58e-4)


def test_a_network_with_nothing_left_has_a_place() -> None:
    rows = [make_row(L1, seed, density=0.0) for seed in (0, 1)]
    axes = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows))).axes[0]
    low, high = axes.get_xlim()
    assert low < 0.5 / 105 < high


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_does_not_break_the_axes(score: float) -> None:
    rows = [make_row(L1, 0, test__nmse__after_pruning=score), make_row(L1, 1)]
    axes = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows))).axes[0]
    assert all(map(math.isfinite, axes.get_ylim()))


def test_errors_far_apart_stand_on_a_logarithmic_axis() -> None:
    rows = [make_row(L1, seed, test__nmse__after_pruning=10.0**-seed) for seed in range(4)]
    axes = drawn(tradeoff.tradeoff(*gathered({"A": [L1]}, rows, seeds=range(4)))).axes[0]
    assert axes.get_yscale() == "log"


# Training curves.


def test_curves_need_an_epoch() -> None:
    manifest, _ = two_methods()
    assert curves.training(manifest, {}) is None
    assert curves.training(manifest, {"A": [{}]}) is None


def test_curves_show_mean_and_spread_of_the_score_and_the_weights_left() -> None:
    manifest, _ = two_methods()
    histories = {
        "A": [
            {"validation/nmse": {1: 1.0, 2: value}, "num_nonzero": {1: 105.0, 2: 50.0}, "neurons_alive": {1: 26.0}}
            for value in (0.4, 0.6)
        ]
    }
    score, weights, neurons_alive = drawn(curves.training(manifest, histories)).axes
    assert list(score.lines[0].get_ydata()) == [1.0, 0.5]
    band = score.collections[0].get_paths()[0].vertices
    assert sorted({y for x, y in band if x == 2}) == pytest.approx([0.41, 0.59])
    assert weights.get_title("left") == "weights left"
    assert weights.get_ylim()[0] == 0
    assert list(neurons_alive.lines[0].get_ydata()) == [26.0]


def test_curves_on_a_logarithmic_axis_show_the_median_and_the_middle_half() -> None:
    manifest, _ = two_methods()
    histories = {"A": [{"validation/nmse": {1: value}} for value in (1e-6, 1e-5, 1e-4, 1e-3, 1.0)]}
    score = drawn(curves.training(manifest, histories)).axes[0]
    assert list(score.lines[0].get_ydata()) == [1e-4]
    band = score.collections[0].get_paths()[0].vertices
    assert {y for _, y in band} == {1e-5, 1e-3}


def test_the_first_epochs_do_not_flatten_the_others() -> None:
    manifest, _ = two_methods()
    values = {epoch: 0.98 + epoch / 1e4 for epoch in range(2, 21)}
    score = drawn(curves.training(manifest, {"A": [{"validation/nmse": {1: 0.1, **values}}]})).axes[0]
    assert 0.97 < score.get_ylim()[0] < 0.9806


def test_a_curve_has_a_gap_where_a_seed_is_no_number() -> None:
    manifest, _ = two_methods()
    histories = {"A": [{"validation/nmse": {1: 1.0, 2: 0.5}}, {"validation/nmse": {1: 1.0, 2: math.nan}}]}
    line = drawn(curves.training(manifest, histories)).axes[0].lines[0]
    assert np.isnan(line.get_ydata()).tolist() == [False, True]


# Coefficients.


def test_coefficients_are_drawn_over_the_true_ones() -> None:
    manifest, _ = two_methods()
    truth, found = np.zeros(20, np.float32), np.zeros(20, np.float32)
    truth[3], found[3], found[7] = 5.0, 4.0, 0.5
    figure = drawn(coefficients.estimates(manifest, [Estimate("B", 0, found, truth)]))
    assert figure.axes[0].get_title("left") == "B: 2 of 20 not zero, 1 in truth"
    _, estimated, true = figure.axes[0].lines
    assert dict(zip(estimated.get_xdata(), estimated.get_ydata(), strict=True)) == {4: 4.0, 8: 0.5}
    assert dict(zip(true.get_xdata(), true.get_ydata(), strict=True)) == {4: 5.0}
    assert estimated.get_color() == style.looks("AB")["B"].color


def test_true_coefficients_far_apart_are_both_seen() -> None:
    manifest, _ = two_methods()
    truth = np.zeros(20, np.float32)
    truth[3], truth[5] = 5.0, -0.05
    (axes,) = drawn(coefficients.estimates(manifest, [Estimate("B", 0, truth, truth)])).axes
    assert axes.get_yscale() == "symlog"


def test_coefficients_need_an_estimate() -> None:
    assert coefficients.estimates(two_methods()[0], []) is None


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
    assert rerun.choose_samples(torch.tensor(labels)) == expected


def test_a_network_is_evaluated_with_its_pruned_weights_and_without_dropout() -> None:
    item = make_trained("lenet300", density=0.5)
    network = rerun.network(item)
    assert not network.training
    for name, mask in item.masks.items():
        weight = network.get_submodule(name).weight.detach().numpy()
        assert np.array_equal(weight != 0, mask & (item.parameters[f"{name}.weight"] != 0))


def read_evidence(recorder: Recorder, methods: Mapping[str, Sequence[Cell]]) -> Evidence:
    manifest = make_manifest(methods)
    return figures.gather(recorder.location, manifest, gather(manifest, recorder.read()), Path("unused"))


def autoencoder() -> Cell:
    return make_cell("autoencoder", Digits().digest(Digits().load(Path("unused"))))


def test_an_autoencoder_has_pictures_of_the_test_images(recorder: Recorder) -> None:
    cell = autoencoder()
    (outcome,) = recorder.finish(cell, 0, epochs=1)
    found = read_evidence(recorder, {"A": [cell]})
    assert found.missing == ()
    assert found.pictures is not None
    assert found.pictures.inputs.shape == (10, 784)
    assert found.pictures.codes["A"].shape == (10, 64)
    assert np.array_equal(found.trained[0].masks["encoder1"], outcome.masks["encoder1"])
    with torch.no_grad():
        expected = rerun.network(found.trained[0])(torch.from_numpy(found.pictures.inputs)).numpy()
    assert np.array_equal(found.pictures.outputs["A"], expected)


def test_images_that_cannot_be_had_are_told(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = autoencoder()
    recorder.finish(cell, 0)

    def refuse(_self: Digits, _data_dir: Path) -> None:
        raise DataError("dataset 'digits' is not in /nowhere")

    monkeypatch.setattr(Digits, "load", refuse)
    found = read_evidence(recorder, {"A": [cell]})
    assert found.pictures is None
    assert found.missing == ("Reconstructions and encodings are left out: dataset 'digits' is not in /nowhere.",)


def test_images_of_another_digest_are_not_shown(recorder: Recorder) -> None:
    cell = make_cell("autoencoder", "f" * 64)
    recorder.finish(cell, 0)
    found = read_evidence(recorder, {"A": [cell]})
    assert found.pictures is None
    assert "are not those of this sweep" in found.missing[0]


def test_a_classifier_needs_no_images(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell("lenet300")
    recorder.finish(cell, 0)
    monkeypatch.delattr(Digits, "load")
    found = read_evidence(recorder, {"A": [cell]})
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
        return nn.Sequential(*layers)(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("before", [False, True])
def test_a_network_with_other_layers_is_asked_whether_pixels_are_read(
    before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(TASKS["lenet300"]):  # type: ignore[misc]
        name: Literal["own"] = "own"
        layers: ClassVar = ("fc",)

        def network(self) -> nn.Module:
            return Headed(before)

    monkeypatch.setitem(TASKS, "own", Own)
    cell = make_cell("own")
    item = Trained("M", 0, cell, {"fc": np.ones((10, 784), bool)}, {"fc.weight": noise(10, 784), "else": noise(1)})
    assert evidence.reads_pixels(item) != before


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
    recorder.finish(L1, 0)
    manifest = make_manifest({"A": [L1]})
    monkeypatch.delitem(TASKS, "regression")
    found = figures.gather(recorder.location, manifest, gather(manifest, recorder.read()), Path("unused"))
    assert found.estimates == ()
    assert "Estimated coefficients are left out" in found.missing[0]


def test_a_regression_has_estimates_beside_the_truth(recorder: Recorder) -> None:
    recorder.finish(L1, 1)
    found = read_evidence(recorder, {"A": [L1], "B": [DN]})
    (estimate,) = found.estimates
    weights = found.trained[0].pruned_weights()
    assert estimate.found == pytest.approx((weights["fc2"] @ weights["fc1"])[0])
    assert int((estimate.truth != 0).sum()) == 2
    (caption,) = [kind.caption for kind in figures.draw(found) if kind.name == "coefficients"]
    assert "seed 1" in caption


def test_weights_that_are_gone_are_told(recorder: Recorder) -> None:
    recorder.finish(L1, 0)
    recorder.artifact(recorder.read().rows[0].run_id, schema.WEIGHTS_FILE).unlink()
    found = read_evidence(recorder, {"A": [L1]})
    assert found.trained == ()
    assert found.missing == ("The weights of A, seed 0, could not be read from the store.",)
    assert [kind.name for kind in figures.draw(found)] == ["tradeoff", "neurons"]


def test_different_first_seeds_are_told_in_the_caption(recorder: Recorder) -> None:
    recorder.finish(L1, 0)
    recorder.finish(DN, 1)
    found = read_evidence(recorder, {"A": [L1], "B": [DN]})
    (caption,) = [kind.caption for kind in figures.draw(found) if kind.name == "patterns"]
    assert "first finished seed (A: 0, B: 1)" in caption


def test_nothing_finished_is_nothing_to_draw(recorder: Recorder) -> None:
    found = read_evidence(recorder, {"A": [L1]})
    assert list(figures.draw(found)) == []


def test_networks_that_two_methods_share_are_shown_once(recorder: Recorder) -> None:
    recorder.finish(L1, 0, epochs=2)
    found = read_evidence(recorder, {"described": [L1], "scripted": [L1]})
    assert [item.label for item in found.trained] == ["described"]
    assert list(found.histories) == ["described"]
    assert found.missing == ("The networks of scripted are those of described: figures of networks show them once.",)
