from typing import Any

import pytest

from dn_distributed import sparsity
from dn_distributed.config import Cell
from tests.tracking.fabricated import Recorder, make_cell, make_epoch, make_outcome
from tracking import schema
from tracking.errors import StoreError
from tracking.results import rows as reader
from tracking.store import cell_runs, outcomes, runs
from tracking.store.sweep_store import SweepStore

CELL, OTHER = make_cell(l1=1.0), make_cell(l1=2.0)


def test_a_sweep_is_found_by_its_name(recorder: Recorder) -> None:
    found = SweepStore.find(recorder.location, recorder.name)
    assert found == recorder.sweep


def test_an_absent_sweep_is_an_error_that_names_the_ones_there_are(recorder: Recorder) -> None:
    with pytest.raises(StoreError, match=rf"no sweep 'absent' in the store .*{recorder.name}"):
        SweepStore.find(recorder.location, "absent")


def test_a_deleted_sweep_is_absent(recorder: Recorder) -> None:
    recorder.store.delete_experiment(recorder.experiment_id)
    with pytest.raises(StoreError):
        SweepStore.find(recorder.location, recorder.name)


def test_rows_are_in_the_order_of_cell_and_seed(recorder: Recorder) -> None:
    for cell in (OTHER, CELL):
        recorder.finish(cell, 10, 2)
    rows = recorder.read().rows
    assert [(row.cell_key, row.seed) for row in rows] == sorted((c.key, s) for c in (CELL, OTHER) for s in (2, 10))


def test_one_cell_can_be_read_alone(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    recorder.finish(OTHER, 0)
    (row,) = reader.read(recorder.sweep, OTHER.key).rows
    assert row.cell_key == OTHER.key


def test_cells_are_read_by_label_oldest_first(recorder: Recorder) -> None:
    for cell, label in ((CELL, "A"), (OTHER, "A"), (make_cell(), "B")):
        cell_runs.ensure_cell(recorder.sweep, cell, label)
    assert reader.read_cells(recorder.sweep) == {"A": [CELL, OTHER], "B": [make_cell()]}


def test_a_sweep_that_never_ran_has_no_manifest(recorder: Recorder) -> None:
    with pytest.raises(StoreError, match="run `dn sweep` on its file first"):
        runs.read_manifest(recorder.sweep)


def test_what_another_version_wrote_is_refused_in_a_line(recorder: Recorder) -> None:
    text = CELL.model_copy(update={"regularization": {"l1": 1.0}}).model_dump_json()
    with pytest.raises(StoreError, match=r"another version of this project wrote it \(Cell: forgotten\)") as caught:
        runs.stored_as(Cell, text.replace("{", '{"forgotten": 1, ', 1))
    assert len(str(caught.value).splitlines()) == 1
    assert runs.stored_as(Cell, text).regularization == {"l1": 1.0}


def test_curves_are_read_without_the_final_figures(recorder: Recorder) -> None:
    (run,) = recorder.start(CELL, 0)
    for epoch in (1, 2):
        figures: dict[str, Any] = {
            "train__loss": 1 / epoch,
            "validation__nmse": 2 / epoch,
            "num_nonzero": 5.0,
            "neurons_alive": 3.0,
        }
        run.log_epoch(make_epoch(epoch, **figures), 0)
    run.finish(make_outcome(CELL, 0), "cpu")
    assert reader.read_histories(recorder.location, [run.run_id]) == [
        {
            "train/loss": {1: 1.0, 2: 0.5},
            "validation/nmse": {1: 2.0, 2: 1.0},
            "num_nonzero": {1: 5.0, 2: 5.0},
            "neurons_alive": {1: 3.0, 2: 3.0},
        }
    ]


def test_counts_are_put_together_again_from_figures() -> None:
    counts = make_outcome(make_cell("lenet300"), 0, density=0.02).counts
    figures = outcomes.final_metrics(make_outcome(make_cell("lenet300"), 0, density=0.02))
    assert reader.counts_from_metrics(sparsity.layers_as_json(counts), figures) == counts


def test_the_state_of_a_replicate_is_read_without_its_figures(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    recorder.start(CELL, 1)[0].fail("why")
    recorder.start(CELL, 2)[0].stop("where")
    recorder.start(OTHER, 5)
    found = {item.replicate_key: item for item in runs.read_states(recorder.sweep)}
    shown = [found[CELL.replicate_key(seed)] for seed in range(3)] + [found[OTHER.replicate_key(5)]]
    assert [(item.cell_key, item.seed) for item in shown] == [*((CELL.key, seed) for seed in range(3)), (OTHER.key, 5)]
    assert [(item.state, item.reason, item.running) for item in shown] == [
        ("finished", "", False),
        ("failed", "why", False),
        ("stopped", "where", False),
        ("incomplete", "", True),
    ]
    assert [item.end_time is None for item in shown] == [False, False, False, True]
    assert all(item.start_time <= (item.end_time or item.start_time) for item in shown)


@pytest.mark.parametrize("ending", ["fail", "stop", None])
def test_of_two_runs_of_a_replicate_the_finished_one_tells_its_state(recorder: Recorder, ending: str | None) -> None:
    (first,) = recorder.start(CELL, 0)
    if ending is not None:
        getattr(first, ending)("why")
    recorder.store.delete_run(first.run_id)
    recorder.finish(CELL, 0)
    recorder.store.restore_run(first.run_id)
    (found,) = runs.read_states(recorder.sweep)
    assert found.state == "finished"
    assert found.run_id == recorder.read().rows[0].run_id
    assert recorder.read().ended == ()


def test_a_replicate_of_an_earlier_version_has_a_seed_once_it_has_ended(recorder: Recorder) -> None:
    recorder.finish(CELL, 0)
    recorder.start(CELL, 1)
    for run in recorder.runs("replicate"):
        recorder.store.delete_tag(run.info.run_id, schema.SEED_TAG)
    found = {item.replicate_key: item.seed for item in runs.read_states(recorder.sweep)}
    assert found == {CELL.replicate_key(0): 0, CELL.replicate_key(1): None}


def test_more_runs_than_a_page_holds_are_all_found(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.start(CELL, *range(5))
    search = recorder.store.search_runs

    def two_at_a_time(*arguments: object, **options: object) -> object:
        return search(*arguments, **{**options, "max_results": 2})  # type: ignore[arg-type]

    monkeypatch.setattr(recorder.store, "search_runs", two_at_a_time)
    assert len(recorder.runs("replicate")) == 5
