import base64
import hashlib
import json
import math
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dn_distributed.config import Cell
from tests.tracking.fabricated import Recorder, make_cell, make_epoch, make_outcome
from tracking import schema
from tracking.errors import StoreError
from tracking.results import means
from tracking.results import rows as reader
from tracking.store import artifacts, cell_runs, notes, outcomes, replicate_runs, report_run, runs, ui_view
from tracking.store.masks import load_masks
from tracking.store.runs import State
from tracking.store.sweep_store import SweepStore

CELL = make_cell(l1=1.0)


def points(recorder: Recorder, run_id: str, metric: str) -> list[tuple[int, float]]:
    """Every stored value of a metric, doubles included."""
    return [(point.step, point.value) for point in recorder.store.get_metric_history(run_id, metric)]


def states(recorder: Recorder) -> dict[str, State]:
    """The state of every replicate, by its key."""
    return {item.replicate_key: item.state for item in runs.read_states(recorder.sweep)}


def summarize(recorder: Recorder, cell: Cell = CELL, label: str = "M") -> None:
    rows = reader.read(recorder.sweep, cell.key).rows
    means.summarize_cell(recorder.sweep, cell, label, rows)


def test_an_experiment_is_found_again(recorder: Recorder) -> None:
    again = SweepStore.find_or_create(recorder.location, recorder.name)
    assert again == recorder.sweep


def test_a_deleted_experiment_is_not_filled_again(recorder: Recorder) -> None:
    recorder.store.delete_experiment(recorder.experiment_id)
    with pytest.raises(StoreError, match=f"restore --experiment-id {recorder.experiment_id}"):
        SweepStore.find_or_create(recorder.location, recorder.name)


def test_a_cell_is_found_by_its_key_and_renamed(recorder: Recorder) -> None:
    first = cell_runs.ensure_cell(recorder.sweep, CELL, "old")
    assert cell_runs.ensure_cell(recorder.sweep, CELL, "new") == first
    (run,) = recorder.runs("cell")
    assert run.info.run_name == "new"
    assert reader.read_cells(recorder.sweep) == {"new": [CELL]}


def test_many_cells_are_found_renamed_and_made_in_one_go(recorder: Recorder) -> None:
    asked = [(make_cell(l1=float(i)), f"M{i}") for i in range(1, 4)]
    first = cell_runs.ensure_cell(recorder.sweep, asked[0][0], "old")
    found = cell_runs.ensure_cells(recorder.sweep, asked)
    assert found == {run.data.tags[schema.CELL_KEY]: run.info.run_id for run in recorder.runs("cell")}
    assert found[asked[0][0].key] == first
    assert {run.info.run_name for run in recorder.runs("cell")} == {"M1", "M2", "M3"}
    assert cell_runs.ensure_cells(recorder.sweep, asked) == found


def test_a_cell_is_described_by_flat_parameters(recorder: Recorder) -> None:
    cell_runs.ensure_cell(recorder.sweep, CELL, "M")
    params = recorder.runs("cell")[0].data.params
    assert params["task"] == "regression"
    assert params["dataset"] == "linear_scripted"
    assert params["dataset_digest"] == CELL.dataset_digest
    assert (params["l1"], params["dn_incoming"], params["dropout"]) == ("1.0", "0.0", "0.0")
    assert params["training.steps"] == "30"
    assert params["pruning.threshold"] == "0.01"


def test_replicates_stand_under_their_cell(recorder: Recorder) -> None:
    recorder.start(CELL, 0, 1, label="ℓ1")
    (cell_run,) = recorder.runs("cell")
    assert {run.data.tags[schema.PARENT] for run in recorder.runs("replicate")} == {cell_run.info.run_id}
    assert {run.info.run_name for run in recorder.runs("replicate")} == {"ℓ1 seed 0", "ℓ1 seed 1"}


def test_a_replicate_is_found_by_its_key_and_never_doubled(recorder: Recorder) -> None:
    (first,) = recorder.start(CELL, 0)
    again, other = recorder.start(CELL, 0, 1)
    assert again.run_id == first.run_id
    assert other.run_id != first.run_id
    assert len(recorder.runs("replicate")) == 2


def test_a_replicate_that_is_not_finished_is_no_row(recorder: Recorder) -> None:
    (run,) = recorder.start(CELL, 0)
    run.log_epoch(make_epoch(1, train__loss=1.0), 0)
    run.flush()
    assert recorder.read() == reader.Snapshot((), ())
    assert states(recorder) == {CELL.replicate_key(0): "incomplete"}


def test_a_replicate_without_its_marker_is_no_row(recorder: Recorder) -> None:
    (run,) = recorder.start(CELL, 0)
    recorder.store.set_terminated(run.run_id, "FINISHED")
    assert recorder.read().rows == ()


def test_a_finished_replicate_comes_back_as_it_was(recorder: Recorder) -> None:
    (outcome,) = recorder.finish(CELL, 3)
    (row,) = recorder.read().rows
    assert (row.seed, row.cell_key, row.replicate_key) == (3, CELL.key, CELL.replicate_key(3))
    assert row.counts == outcome.counts
    assert {name: row.metrics[name] for name in outcome.scores} == outcome.scores
    assert states(recorder) == {CELL.replicate_key(3): "finished"}


def test_weights_and_masks_come_back_bit_by_bit(recorder: Recorder) -> None:
    (outcome,) = recorder.finish(CELL, 0)
    run_id = recorder.read().rows[0].run_id
    weights = load_file(artifacts.path_of(recorder.location, run_id, schema.WEIGHTS_FILE))
    masks = load_masks(artifacts.path_of(recorder.location, run_id, schema.MASKS_FILE))
    assert weights.keys() == outcome.parameters.keys()
    assert all(torch.equal(weights[name], parameter) for name, parameter in outcome.parameters.items())
    assert all(np.array_equal(masks[name], mask) for name, mask in outcome.masks.items())


def test_weights_that_lie_otherwise_in_memory_are_written_as_they_read(tmp_path: Path) -> None:
    outcome = make_outcome(CELL, 0)
    turned = {name: value.t().contiguous().t() for name, value in outcome.parameters.items()}
    assert not turned["fc1.weight"].is_contiguous()
    outcomes.write_outcome_files(replace(outcome, parameters=turned), tmp_path)
    written = load_file(tmp_path / schema.WEIGHTS_FILE)
    assert all(torch.equal(written[name], value) for name, value in outcome.parameters.items())


def test_every_regularised_layer_has_a_picture(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    folder = artifacts.path_of(recorder.location, recorder.read().rows[0].run_id, schema.PATTERN_FOLDER)
    assert sorted(path.name for path in Path(folder).iterdir()) == ["fc1.png", "fc2.png"]
    with Image.open(Path(folder) / "fc1.png") as picture:
        assert picture.size == (5, 20)  # outputs across, inputs down


def test_a_replicate_carries_versions_device_and_data(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    (run,) = recorder.runs("replicate")
    tags = run.data.tags
    assert tags["device"] == "cpu"
    assert all(tags[name] for name in ("version.torch", "version.ray", "version.mlflow", "version.python", "host"))
    if (Path(__file__).parents[2] / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}(-dirty)?", tags["version.commit"])
    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("linear_scripted", CELL.dataset_digest[:32])


def test_a_finished_replicate_is_not_written_again(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, test__nmse__after_pruning=0.25)
    (again,) = recorder.start(CELL, 0)
    assert again.finished
    again.finish(make_outcome(CELL, 0, test__nmse__after_pruning=9.0), "cpu")
    again.fail("too late")
    again.stop("too late")
    (row,) = recorder.read().rows
    assert row.metrics["test/nmse/after_pruning"] == 0.25
    assert points(recorder, row.run_id, "test/nmse/after_pruning") == [(0, 0.25)]


def test_a_flush_after_the_end_writes_nothing(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = recorder.start(CELL, 0)
    run.log_epoch(make_epoch(1, num_nonzero=5.0), 0)
    run.finish(make_outcome(CELL, 0), "cpu")
    monkeypatch.setattr(recorder.store, "log_batch", None)
    run.flush()


def test_epochs_that_are_logged_are_not_logged_twice(recorder: Recorder) -> None:
    (run,) = recorder.start(CELL, 0)
    for epoch in (1, 2):
        run.log_epoch(make_epoch(epoch, num_nonzero=float(epoch)), 0)
    run.flush()
    (again,) = recorder.start(CELL, 0)  # from a checkpoint of epoch 0: it trains them again
    for epoch in (1, 2, 3):
        again.log_epoch(make_epoch(epoch, num_nonzero=float(epoch)), 0)
    again.flush()
    assert points(recorder, run.run_id, "num_nonzero") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_every_replicate_logs_its_own_figures(recorder: Recorder) -> None:
    runs = recorder.start(CELL, 0, 1)
    report = make_epoch(1, 2)
    report.metrics["num_nonzero"] = [7.0, 8.0]
    for row, run in enumerate(runs):
        run.log_epoch(report, row)
        run.flush()
    assert [points(recorder, run.run_id, "num_nonzero") for run in runs] == [[(1, 7.0)], [(1, 8.0)]]


def test_more_figures_than_a_batch_holds_are_all_written(recorder: Recorder) -> None:
    (run,) = recorder.start(CELL, 0)
    for epoch in range(1, 601):
        run.log_epoch(make_epoch(epoch, num_nonzero=float(epoch)), 0)
    run.finish(make_outcome(CELL, 0), "cpu")
    assert points(recorder, run.run_id, "num_nonzero") == [(epoch, float(epoch)) for epoch in range(1, 601)]
    assert len(recorder.read().rows) == 1


def test_a_failed_replicate_is_recorded_with_its_reason(recorder: Recorder) -> None:
    recorder.start(CELL, 0)[0].fail("parameters are no longer finite numbers")
    (ended,) = recorder.read().ended
    assert (ended.seed, ended.state, ended.reason) == (0, "failed", "parameters are no longer finite numbers")
    assert ended.replicate_key == CELL.replicate_key(0)


def test_a_stopped_replicate_is_recorded_with_where(recorder: Recorder) -> None:
    recorder.start(CELL, 0)[0].stop("epoch 3")
    (ended,) = recorder.read().ended
    assert (ended.state, ended.reason) == ("stopped", "epoch 3")


def test_a_stop_that_is_forgotten_leaves_a_replicate_to_run(recorder: Recorder) -> None:
    first, second, third = recorder.start(CELL, 0, 1, 2)
    for run in (first, second):
        run.stop("epoch 3")
    third.fail("why")
    replicate_runs.forget_stops(recorder.sweep, {CELL.replicate_key(seed) for seed in (0, 2)})
    assert list(states(recorder).values()) == ["incomplete", "stopped", "failed"]


@pytest.mark.parametrize("ending", ["fail", "stop"])
def test_a_replicate_that_ended_can_be_tried_again(recorder: Recorder, ending: str) -> None:
    (run,) = recorder.start(CELL, 0)
    getattr(run, ending)("why")
    (again,) = recorder.start(CELL, 0)
    assert again.run_id == run.run_id
    assert recorder.read() == reader.Snapshot((), ())
    again.finish(make_outcome(CELL, 0), "cpu")
    assert states(recorder) == {CELL.replicate_key(0): "finished"}


def test_nan_survives(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, test__nmse__after_pruning=math.nan)
    assert math.isnan(recorder.read().rows[0].metrics["test/nmse/after_pruning"])


def test_a_network_with_nothing_left_has_no_compression_rate(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, density=0.0)
    (row,) = recorder.read().rows
    assert schema.COMPRESSION_RATE not in row.metrics
    assert row.counts.num_nonzero == 0


def test_a_cell_run_has_mean_deviation_and_number(recorder: Recorder) -> None:
    for seed, value in enumerate((0.1, 0.2, 0.6)):
        recorder.finish(CELL, seed, epochs=2, test__nmse__after_pruning=value)
    summarize(recorder)
    (run,) = recorder.runs("cell")
    metrics = run.data.metrics
    assert metrics["n"] == 3
    assert metrics["test/nmse/after_pruning"] == pytest.approx(0.3)
    assert metrics["test/nmse/after_pruning/std"] == pytest.approx(math.sqrt(0.07))
    assert points(recorder, run.info.run_id, "validation/nmse") == [(1, 1.0), (2, 0.5)]
    assert run.info.status == "FINISHED"


def test_a_single_seed_has_no_deviation(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    summarize(recorder)
    metrics = recorder.runs("cell")[0].data.metrics
    assert metrics["n"] == 1
    assert not [name for name in metrics if name.endswith("/std")]


def test_a_cell_without_a_replicate_is_not_summarised(recorder: Recorder) -> None:
    recorder.start(CELL, 0)
    summarize(recorder)
    assert recorder.runs("cell")[0].data.metrics == {}


def test_a_summary_is_not_written_twice(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, 1, epochs=1)
    summarize(recorder)
    (before,) = recorder.runs("cell")
    summarize(recorder)
    (after,) = recorder.runs("cell")
    assert after.info.run_id == before.info.run_id
    assert [value for _, value in points(recorder, after.info.run_id, "n")] == [2.0]


def test_added_seeds_replace_the_cell_run_and_take_its_replicates_along(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, 1, epochs=2)
    summarize(recorder)
    (old,) = recorder.runs("cell")
    recorder.finish(CELL, 2, epochs=2)
    summarize(recorder)
    (new,) = recorder.runs("cell")
    assert new.info.run_id != old.info.run_id
    assert new.data.metrics["n"] == 3
    assert [step for step, _ in points(recorder, new.info.run_id, "validation/nmse")] == [1, 2]
    assert [run.data.tags[schema.PARENT] for run in recorder.runs("replicate")] == [new.info.run_id] * 3


def test_a_summary_that_was_cut_short_is_written_anew(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, 1, epochs=2)
    (old,) = recorder.runs("cell")
    recorder.store.log_metric(old.info.run_id, "validation/nmse", 1.0, step=1)
    summarize(recorder)
    (new,) = recorder.runs("cell")
    assert points(recorder, new.info.run_id, "validation/nmse") == [(1, 1.0), (2, 0.5)]


def test_the_report_run_is_one_and_holds_the_latest_manifest(recorder: Recorder) -> None:
    recorder.announce({"M": [CELL]}, seeds=(0,))
    manifest = recorder.announce({"M": [CELL]}, seeds=(0, 1))
    (run,) = recorder.runs("report")
    assert runs.read_manifest(recorder.sweep) == (run.info.run_id, manifest)


def test_a_report_is_attached_to_its_run(recorder: Recorder, tmp_path: Path) -> None:
    recorder.announce({"M": [CELL]})
    (run,) = recorder.runs("report")
    (tmp_path / "report.html").write_text("<html>")
    report_run.attach_report(recorder.sweep, run.info.run_id, tmp_path)
    assert artifacts.path_of(recorder.location, run.info.run_id, "report/report.html").read_text() == "<html>"
    assert recorder.store.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_cell_with_a_nan_is_summarised(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    recorder.finish(CELL, 1, test__nmse__after_pruning=math.nan)
    summarize(recorder)
    assert math.isnan(recorder.runs("cell")[0].data.metrics["test/nmse/after_pruning"])


def test_a_finished_replicate_cannot_be_made_to_fail(recorder: Recorder) -> None:
    cell = make_cell()
    (run,) = recorder.start(cell, 0)
    run.finish(make_outcome(cell, 0), "cpu")
    run.fail("the pack met with an accident")
    assert len(recorder.read().rows) == 1
    assert recorder.read().ended == ()


def test_a_mean_that_a_replicate_misses_is_not_shown(recorder: Recorder) -> None:
    cell = make_cell()
    recorder.finish(cell, 0)
    recorder.finish(cell, 1, density=0.0)  # no weight left: no compression rate
    rows = recorder.read().rows
    means.summarize_cell(recorder.sweep, cell, "M", rows)
    (run,) = recorder.runs("cell")
    assert run.data.metrics["n"] == 2
    assert "density" in run.data.metrics
    assert "compression_rate" not in run.data.metrics


def test_what_the_ui_shows_first_is_rounded_means_that_no_reader_takes_for_data(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, test__mse__after_pruning=0.123456)
    recorder.finish(CELL, 1, test__mse__after_pruning=0.234567)
    before = recorder.read()
    means.summarize_cell(recorder.sweep, CELL, "M", before.rows, "mse")
    (run,) = recorder.runs("cell")
    shown = {name: value for name, value in run.data.metrics.items() if name[0].isupper()}
    left = 100 * sum(row.counts.density for row in before.rows) / 2
    assert shown == {
        "Score": 0.179,
        "Score/std": 0.079,
        "Weights left in percent": float(f"{left:.4g}"),
        "Neurons left": sum(row.counts.neurons_alive for row in before.rows) / 2,
    }
    assert run.data.metrics["test/mse/after_pruning"] == pytest.approx(0.1790115)
    assert recorder.read() == before


def saved_view(recorder: Recorder) -> tuple[int, dict[str, Any]]:
    """How long the tag of the view is, and what it says."""
    tag = recorder.store.get_experiment(recorder.experiment_id).tags[ui_view.TAG]
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    return len(tag), json.loads(zlib.decompress(base64.b64decode(packed)))


def test_the_view_charts_no_deviation_and_shows_an_earlier_sweep_by_its_full_figures(recorder: Recorder) -> None:
    manifest = recorder.announce({"M": [CELL]})
    _, state = saved_view(recorder)
    assert state["compareRunCharts"][0]["metricKey"] == "Score"
    recorder.finish(CELL, 0, 1)
    summarize(recorder)  # without a score, as an earlier version did: the score is not among the rounded means
    report_run.write_view(recorder.sweep, manifest)
    length, state = saved_view(recorder)
    charts = state["compareRunCharts"]
    assert charts[0]["metricKey"] == f"test/{manifest.score}/after_pruning"
    (run,) = recorder.runs("cell")
    deleted = {chart["metricKey"] for chart in charts if chart["deleted"]}
    assert deleted == {name for name in run.data.metrics if name.endswith("/std")}
    assert length <= 5000
    assert state["selectedColumns"][0] == "metrics.`Score`"


def test_a_view_of_too_many_deviations_is_kept_without_them(recorder: Recorder) -> None:
    manifest = recorder.announce({"M": [CELL]})
    many = {f"layers/{hashlib.sha256(bytes([place])).hexdigest()}/num_nonzero/std" for place in range(256)}
    assert len(ui_view.tag(manifest, 1, many)) <= 5000


def test_a_finished_replicate_describes_itself_and_keeps_what_a_person_wrote(recorder: Recorder) -> None:
    first, second = recorder.start(CELL, 0, 1, label="M <b>")
    recorder.store.set_tag(second.run_id, notes.NOTE, "mine")
    _, again = recorder.start(CELL, 0, 1, label="M <b>")
    first.finish(make_outcome(CELL, 0, test__mse__after_pruning=0.123456), "cpu")
    again.finish(make_outcome(CELL, 1), "cpu")
    note, kept = (recorder.store.get_run(run.run_id).data.tags[notes.NOTE] for run in (first, second))
    row = recorder.read().rows[0]
    for part in (
        r"M \<b>, seed 0 (l1 1). On test data after pruning: ",
        "mse 0.1235",
        f"{100 * row.counts.density:.4g} % of the weights and {row.counts.neurons_alive} neurons are left.",
        f"(./sweeps/{recorder.name})",
    ):
        assert part in note
    assert kept.startswith("mine")
    assert "seed 1" in kept
