"""What another program gets of a sweep: rows, cells, table, data frame."""

import io
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import tracking
from tests.tracking.fabricated import Recorder, make_cell
from tracking.manifest import Selection
from tracking.results.rows_file import Shipped, as_json
from tracking.tables import formats, grids

CELL, OTHER = make_cell(l1=1.0), make_cell(l1=2.0)
OBJECTIVE = "validation/nmse/after_pruning"


@pytest.fixture
def results(recorder: Recorder) -> tracking.Results:
    recorder.finish(CELL, 0, 1, label="A", test__nmse__after_pruning=0.25)
    recorder.finish(OTHER, 0, label="B", density=0.0, test__nmse__after_pruning=math.nan)
    recorder.start(OTHER, 1, label="B")[0].fail("it broke")
    recorder.announce({"A": [CELL], "B": [OTHER]}, seeds=(0, 1, 2))
    return tracking.load_results(recorder.name, recorder.location)


def test_rows_are_what_is_finished_and_cells_are_what_was_tried(results: tracking.Results) -> None:
    assert [(row.cell_key, row.seed) for row in results.rows] == [(CELL.key, 0), (CELL.key, 1), (OTHER.key, 0)]
    assert [(cell.label, len(cell.rows), cell.num_expected) for cell in results.cells] == [("A", 2, 3), ("B", 1, 3)]
    assert [method.chosen.label for method in results.methods if method.chosen] == ["A", "B"]
    assert not results.complete
    assert repr(results).endswith("3 of 6 replicates, 2 methods)")


def test_a_frame_has_a_line_for_every_replicate_that_is_asked_for(results: tracking.Results) -> None:
    frame = results.to_frame()
    assert list(frame.columns[:6]) == ["method", "cell_key", "seed", "state", "reason", "chosen"]
    states = ["finished", "finished", "missing", "finished", "failed", "missing"]
    assert list(frame["state"]) == states
    assert list(frame["method"]) == ["A"] * 3 + ["B"] * 3
    assert list(frame["seed"]) == [0, 1, 2] * 2
    assert list(frame["l1"]) == [1.0] * 3 + [2.0] * 3
    assert list(frame["training.steps"]) == [30] * 6
    assert frame["reason"][4] == "it broke"


def test_what_is_missing_in_a_frame_is_no_number_and_a_mean_over_it_is_none_either(results: tracking.Results) -> None:
    frame = results.to_frame()
    there = frame["test/nmse/after_pruning"].notna()
    assert list(there) == [True, True, False, False, False, False]
    assert list(frame["num_nonzero"].notna()) == [True, True, False, True, False, False]
    assert math.isnan(frame["compression_rate"][3])  # nothing is left: no rate, and no infinity
    assert math.isnan(frame[frame["method"] == "A"]["density"].mean(skipna=False))


def test_the_figures_of_a_frame_are_those_of_the_rows(results: tracking.Results) -> None:
    frame = results.to_frame().set_index(["method", "seed"])
    for result in results.cells:
        for row in result.rows:
            line = frame.loc[(result.label, row.seed)]
            assert line["num_nonzero"] == row.counts.num_nonzero
            assert line["hidden_alive"] == row.counts.hidden_alive
            assert all(line[name] == value for name, value in row.metrics.items() if not math.isnan(value))


def test_the_table_is_that_of_the_command_line(results: tracking.Results) -> None:
    assert results.to_markdown() == formats.markdown(grids.of_table(results.table))
    assert results.to_csv() == formats.as_csv(results.table)
    assert results.to_latex() == formats.latex(grids.of_table(results.table))
    assert "<table" in results._repr_html_()
    assert [row.label for row in results.table.rows] == ["A", "B"]


def test_what_is_shown_has_one_word_for_weights_left(results: tracking.Results) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(results)
    for text in (console.export_text(), results._repr_html_()):
        assert "weights left in fc1" in text
        assert text.count("sparsity") == text.count("(the paper calls it sparsity)") == 1


def test_a_report_s_rows_give_the_same_results(results: tracking.Results, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(as_json(Shipped(results.manifest, results.snapshot, {})), encoding="utf-8")
    loaded = tracking.load_rows(path)
    assert loaded.to_csv() == results.to_csv()
    frame, expected = loaded.to_frame(), results.to_frame()
    assert sorted(frame.columns) == sorted(expected.columns)
    assert set(frame.pop("run_id")) == {""}, "a file's rows have no runs"
    finished = expected.pop("run_id") != ""
    assert finished.tolist() == (expected.state == "finished").tolist()
    assert frame[expected.columns].equals(expected)


def test_a_report_s_rows_say_on_which_processor_latencies_were_measured(
    results: tracking.Results, tmp_path: Path
) -> None:
    first, *others = results.snapshot.rows
    timed = replace(results.snapshot, rows=(replace(first, processor="a CPU\x1b"), *others))
    path = tmp_path / "rows.json"
    path.write_text(as_json(Shipped(results.manifest, timed, {})), encoding="utf-8")
    found = {row.replicate_key: row.processor for row in tracking.load_rows(path).rows}
    assert found == {first.replicate_key: r"a CPU\x1b", **{row.replicate_key: "" for row in others}}
    assert path.read_text("utf-8").count('"processor"') == 1, "what is not known leaves the file as it was"


def test_of_a_search_the_chosen_configuration_is_marked(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, 1, label="A", validation__nmse__after_pruning=0.5)
    recorder.finish(OTHER, 0, 1, label="A", validation__nmse__after_pruning=0.1)
    selection = Selection(objective=OBJECTIVE, higher_is_better=False)
    recorder.announce({"A": [CELL, OTHER]}, selection=selection)
    frame = tracking.load_results(recorder.name, recorder.location).to_frame()
    assert list(frame["chosen"]) == [False, False, True, True]


def test_a_store_is_a_folder_an_address_or_what_a_variable_names(
    results: tracking.Results, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = recorder.location.database
    assert database is not None
    for where in (database.parent, str(database.parent), recorder.location.uri, recorder.location):
        assert tracking.load_results(recorder.name, where).to_csv() == results.to_csv()
    monkeypatch.setenv("DN_TRACKING_URI", recorder.location.uri)
    assert tracking.open_store() == recorder.location
    assert tracking.load_results(recorder.name).name == recorder.name


def test_what_is_not_there_is_told(recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(tracking.StoreError, match="no sweep 'other' in the store"):
        tracking.load_results("other", recorder.location)
    with pytest.raises(tracking.StoreError, match="there is no store at"):
        tracking.open_store(tmp_path)


def test_importing_the_package_imports_nothing_large() -> None:
    large = {"mlflow", "torch", "pandas", "ray", "scipy", "matplotlib", "pydantic"}
    shown = f"import sys, tracking; tracking.StoreError; print(*{large!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", shown], text=True, capture_output=True, check=True)
    assert done.stdout.split() == []


def test_other_names_are_not_of_the_package() -> None:
    assert "load_results" in dir(tracking)
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = tracking.other


def test_what_a_search_has_still_to_propose_is_missing(recorder: Recorder) -> None:
    recorder.announce({"A": [CELL]}, seeds=(0, 1, 2))
    nothing = tracking.load_results(recorder.name, recorder.location)
    method = nothing.manifest.methods[0].model_copy(update={"cells": (), "to_propose": 4})
    results = tracking.Results(nothing.manifest.model_copy(update={"methods": (method,)}), nothing.snapshot)
    assert not results.complete
    assert repr(results).endswith("0 of 12 replicates, 1 method)")
    assert {"method", "state", "test/nmse/after_pruning", "density"} <= set(results.to_frame().columns)
