"""A cell and a replicate count once, whatever was deleted, doubled or cut short; and their figures stand once."""

import json
from typing import Any

import pytest
from mlflow import MlflowClient

from dn_distributed.config import Pruning
from tests.tracking.fabricated import Recorder, make_cell, make_epoch, make_outcome
from tracking import schema
from tracking.portable.exporting import export
from tracking.portable.importing import import_file
from tracking.results import means
from tracking.results import rows as reader
from tracking.store import cell_runs, runs, sqlite_writer, sweep_store
from tracking.store.cell_params import check_storable
from tracking.store.location import StoreLocation
from tracking.store.run_writer import ClientWriter

CELL = make_cell(l1=1.0)
CHILDREN = schema.PARENT


def summarize(recorder: Recorder, *seeds: int) -> None:
    means.summarize_rest(recorder.sweep, [(CELL, "M")], seeds)


def parents(recorder: Recorder) -> set[str]:
    return {run.data.tags[schema.PARENT] for run in recorder.runs("replicate")}


def points(recorder: Recorder, run_id: str, name: str) -> list[int]:
    return [point.step for point in recorder.store.get_metric_history(run_id, name)]


BY_CLIENT = [(MlflowClient, call) for call in ("create_run", "log_batch", "set_tag", "set_terminated", "delete_run")]
BY_SQL: list[tuple[Any, str]] = [(MlflowClient, "set_tag"), (MlflowClient, "delete_run")]
BY_SQL += [(sqlite_writer, part) for part in ("_insert_tags", "_insert_params", "_insert_metrics")]


@pytest.mark.parametrize(
    ("way", "owner", "call"),
    [*(("client", *each) for each in BY_CLIENT), *(("sql", *each) for each in BY_SQL)],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_means_that_were_cut_short_anywhere_are_whole_after_the_next_command(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, way: str, owner: Any, call: str, number: int
) -> None:
    if way == "client":
        monkeypatch.setattr(sweep_store, "writer_of", lambda _: ClientWriter(recorder.store))
    recorder.finish(CELL, 0, 1, epochs=2)
    summarize(recorder, 0, 1)
    recorder.finish(CELL, 2, epochs=2)
    genuine, calls = getattr(owner, call), []

    def killed(*arguments: Any, **options: Any) -> Any:
        calls.append(call)
        if len(calls) == number:
            raise KeyboardInterrupt
        return genuine(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, killed)
        try:
            summarize(recorder, 0, 1, 2)
        except KeyboardInterrupt:
            assert reader.read_cells(recorder.sweep) == {"M": [CELL]}
    cell_run = cell_runs.ensure_cell(recorder.sweep, CELL, "M")
    many = cell_runs.ensure_cells(recorder.sweep, [(CELL, "M")])
    assert many == {CELL.key: cell_run}
    summarize(recorder, 0, 1, 2)
    (run,) = recorder.runs("cell")
    assert run.data.metrics["n"] == 3
    assert run.data.tags[schema.SUMMARIZED] == "0 1 2"
    assert points(recorder, run.info.run_id, "validation/nmse") == [1, 2]
    assert parents(recorder) == {run.info.run_id}
    summarize(recorder, 0, 1, 2)
    assert recorder.runs("cell")[0].info.run_id == run.info.run_id


def test_a_cell_that_is_stored_twice_counts_once(recorder: Recorder) -> None:
    first = cell_runs.ensure_cell(recorder.sweep, CELL, "M")
    cell_runs.create_cell(recorder.sweep, CELL, "M")
    assert reader.read_cells(recorder.sweep) == {"M": [CELL]}
    assert cell_runs.ensure_cell(recorder.sweep, CELL, "M") == first
    summarize(recorder, 0)
    assert [run.info.run_id for run in recorder.runs("cell")] == [first]


def test_replicates_of_a_cell_run_that_was_deleted_are_put_under_the_next(recorder: Recorder) -> None:
    recorder.finish(CELL, 0, 1, epochs=1)
    summarize(recorder, 0, 1)
    (old,) = recorder.runs("cell")
    recorder.store.delete_run(old.info.run_id)
    found = cell_runs.ensure_cells(recorder.sweep, [(CELL, "M")])
    summarize(recorder, 0, 1)
    (new,) = recorder.runs("cell")
    assert found == {CELL.key: new.info.run_id}
    assert new.data.metrics["n"] == 2
    assert parents(recorder) == {new.info.run_id}


def test_of_two_runs_of_a_replicate_the_furthest_is_continued(recorder: Recorder) -> None:
    (first,) = recorder.start(CELL, 0)
    recorder.store.delete_run(first.run_id)
    recorder.finish(CELL, 0)
    recorder.store.restore_run(first.run_id)
    (again,) = recorder.start(CELL, 0)
    assert again.finished
    assert again.run_id != first.run_id


def test_means_of_many_seeds_are_not_written_again(recorder: Recorder) -> None:
    seeds = [10**18 + seed for seed in range(430)]
    assert len(" ".join(map(str, seeds))) > schema.LONGEST_TAG
    recorder.finish(CELL, 0)
    (row,) = recorder.read().rows
    rows = [reader.Row(row.run_id, row.cell_key, str(seed), seed, row.metrics, row.counts) for seed in seeds]
    means.summarize_cell(recorder.sweep, CELL, "M", rows)
    (first,) = recorder.runs("cell")
    means.summarize_cell(recorder.sweep, CELL, "M", rows)
    assert [run.info.run_id for run in recorder.runs("cell")] == [first.info.run_id]
    means.summarize_cell(recorder.sweep, CELL, "M", rows[1:])
    assert recorder.runs("cell")[0].data.metrics["n"] == 429


def test_few_seeds_are_listed_as_ever() -> None:
    assert schema.seed_list([0, 1, 20]) == "0 1 20"


def test_what_the_store_would_cut_is_refused() -> None:
    long = CELL.model_copy(
        update={"pruning": Pruning(threshold=0.01, curve=tuple(i / 1000 + 1e-9 for i in range(1, 800)))}
    )
    with pytest.raises(ValueError, match=r"the cell itself is \d+ characters long; the store keeps 8000"):
        check_storable(long)
    option = CELL.model_copy(update={"task": {**CELL.task, "note": "x" * 6001}})
    with pytest.raises(ValueError, match=r"task\.note is 6001 characters long; the store keeps 6000"):
        check_storable(option)
    check_storable(CELL)


def test_two_workers_that_train_the_same_leave_every_point_once(recorder: Recorder) -> None:
    outcome = make_outcome(CELL, 0)
    (one,), (other,) = recorder.start(CELL, 0), recorder.start(CELL, 0)
    for epoch in (1, 2, 3):
        for run in (one, other):
            run.log_epoch(make_epoch(epoch, num_nonzero=float(epoch), train__loss=float("nan")), 0)
            run.flush()
    one.finish(outcome, "cpu")
    other.finish(outcome, "cpu")
    names = recorder.store.get_run(one.run_id).data.metrics
    assert {name: points(recorder, one.run_id, name) for name in ("num_nonzero", "train/loss", schema.EPOCH)} == {
        "num_nonzero": [1, 2, 3], "train/loss": [1, 2, 3], schema.EPOCH: [1, 2, 3],
    }  # fmt: skip
    assert {len(points(recorder, one.run_id, name)) for name in names if not name.startswith("train")} <= {1, 3}
    assert len(recorder.read().rows) == 1


def test_replicates_of_a_cell_run_that_was_deleted_are_exported(
    recorder: Recorder, elsewhere: StoreLocation, tmp_path: Any
) -> None:
    recorder.finish(CELL, 0, 1)
    recorder.announce({"M": [CELL]})
    recorder.store.delete_run(recorder.runs("cell")[0].info.run_id)
    done = export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert (done.states.total(), done.undecided, done.unknown) == (2, 0, 0)
    import_file(elsewhere, tmp_path / "x.zip")
    assert len(Recorder(elsewhere, recorder.name).read().rows) == 2


def test_what_is_left_out_of_an_export_is_told_by_its_reason(recorder: Recorder, tmp_path: Any) -> None:
    other = make_cell(l1=2.0)
    recorder.finish(CELL, 0)
    recorder.start(CELL, 1)
    recorder.finish(other, 0, 1, label="proposed by a search")
    recorder.announce({"M": [CELL]})
    for run in recorder.runs("cell"):
        if run.data.tags[schema.CELL_KEY] == other.key:
            recorder.store.delete_run(run.info.run_id)
    done = export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert (done.states.total(), done.undecided, done.unknown) == (1, 1, 2)


def test_a_replicate_says_what_its_files_are(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    (row,) = recorder.read().rows
    assert set(json.loads(row.sha256)) == {schema.WEIGHTS_FILE, schema.MASKS_FILE, schema.PATTERN_FOLDER}
    assert runs.read_states(recorder.sweep)[0].state == "finished"
