"""One suite for both ways that runs are made and ended: what they leave in MLflow's tables is the same."""

import math
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from tests.tracking.fabricated import Recorder, make_cell, make_epoch, make_outcome
from tracking import schema
from tracking.store import replicate_runs, run_writer, sqlite_writer
from tracking.store.choice import writer_of
from tracking.store.location import StoreLocation
from tracking.store.outcomes import dataset_input
from tracking.store.run_writer import ClientWriter, Ending, NewRun, RunWriter
from tracking.store.server_writer import ServerWriter
from tracking.store.sqlite_writer import SqliteWriter

CELL = make_cell(l1=1.0)
RUN = NewRun("a run", {"dn.kind": "a kind", "dn.label": "ℓ1"}, {"l1": "1.0"}, start=7)
POINTS = [
    Metric("loss", 3.0, 10, 1),
    Metric("loss", 3.0, 10, 1),
    Metric("loss", 2.0, 12, 3),
    Metric("loss", 2.5, 11, 2),
    Metric("layers/fc1/num_nonzero", 5.0, 12, 3),
    Metric("nan", math.nan, 12, 3),
    Metric("up", math.inf, 12, 3),
    Metric("down", -math.inf, 12, 3),
]
ENDING = Ending("FINISHED", POINTS, {"dn.complete": "true", "dn.label": "new"}, {"seed": "3", "l1": "1.0"}, end=99)
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "datasets", "inputs")
_MADE_UP = re.compile(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b1\d{12}\b")


class Refuse(RunWriter):
    """Where nothing may be left to the client."""

    def create(self, experiment_id: str, runs: Sequence[NewRun]) -> list[tuple[str, int]]:
        raise AssertionError(experiment_id)

    def end(self, run_id: str, ending: Ending) -> None:
        raise AssertionError(run_id)


def ways(recorder: Recorder) -> dict[str, RunWriter]:
    assert recorder.location.database is not None
    return {
        "client": ClientWriter(recorder.store),
        "sql": SqliteWriter(recorder.location.database, Refuse()),
    }


@pytest.fixture(params=["client", "sql"])
def writer(request: pytest.FixtureRequest, recorder: Recorder) -> RunWriter:
    return ways(recorder)[request.param]


def query(location: StoreLocation, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    assert location.database is not None
    with closing(sqlite3.connect(location.database)) as connection:
        return connection.execute(statement, values).fetchall()


def tables(recorder: Recorder) -> dict[str, list[str]]:
    """All that MLflow holds of an experiment, without what is made up anew: ids and moments."""
    own = "(select run_uuid from runs where experiment_id = ?)"
    of_runs = dict.fromkeys(("tags", "params", "metrics", "latest_metrics"), f"run_uuid in {own}")
    where = {
        "runs": "experiment_id = ?",
        "datasets": "experiment_id = ?",
        "inputs": f"destination_id in {own}",
    } | of_runs
    found = {}
    for table in TABLES:
        rows = query(recorder.location, f"select * from {table} where {where[table]}", recorder.experiment_id)
        texts = (_MADE_UP.sub("*", repr(row).replace(recorder.name, "NAME")) for row in rows)
        found[table] = sorted(re.sub(rf", {recorder.experiment_id}, ", ", ID, ", text) for text in texts)
    return found


def test_an_embedded_store_is_written_by_sql_and_a_server_by_requests(location: StoreLocation) -> None:
    assert isinstance(writer_of(location), SqliteWriter)
    assert isinstance(writer_of(StoreLocation("http://127.0.0.1:9")), ServerWriter)


def test_a_run_is_read_as_it_was_written(recorder: Recorder, writer: RunWriter) -> None:
    ((run_id, start),) = writer.create(recorder.experiment_id, [RUN])
    begun = recorder.store.get_run(run_id)
    assert (start, begun.info.start_time, begun.info.status, begun.info.run_name) == (7, 7, "RUNNING", "a run")
    assert begun.data.params == {"l1": "1.0"}
    writer.end(run_id, ENDING)
    run = recorder.store.get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 99)
    assert run.data.tags == {
        "dn.kind": "a kind",
        "dn.label": "new",
        "dn.complete": "true",
        "mlflow.runName": "a run",
    }
    assert run.data.params == {"l1": "1.0", "seed": "3"}
    assert run.data.metrics["loss"] == 2.0
    assert math.isnan(run.data.metrics["nan"])
    assert [(p.step, p.value) for p in recorder.store.get_metric_history(run_id, "loss")] == [(1, 3), (2, 2.5), (3, 2)]
    recorder.store.log_text(run_id, "x", "a file")
    assert recorder.artifact(run_id, "a file").read_text() == "x"


def test_runs_are_made_now_unless_a_time_is_given(recorder: Recorder, writer: RunWriter) -> None:
    made = writer.create(recorder.experiment_id, [NewRun("first", {}), NewRun("second", {})])
    assert [recorder.store.get_run(run_id).info.run_name for run_id, _ in made] == ["first", "second"]
    by_age = recorder.store.search_runs([recorder.experiment_id], order_by=["attributes.start_time"])
    assert [run.info.run_name for run in by_age] == ["first", "second"]
    assert all(recorder.store.get_run(run_id).info.start_time == start > 10**12 for run_id, start in made)


def test_both_ways_leave_the_same_in_all_tables(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for way in ways(recorder):
        own = Recorder(recorder.location, f"{recorder.name}-{way}")
        monkeypatch.setattr("tracking.store.sweep_store.writer_of", lambda _, way=way: ways(recorder)[way])
        finished, failed, stopped = own.start(CELL, 1, 2, 3, label="ℓ1 + DN")
        finished.log_epoch(make_epoch(1, num_nonzero=5.0, validation__nmse=math.nan), 0)
        finished.finish(make_outcome(CELL, 1, test__nmse__after_pruning=math.inf), "cpu")
        failed.fail("no memory")
        stopped.stop("after epoch 1")
        own.start(CELL, 2)[0].finish(make_outcome(CELL, 2), "cpu")
        found[way] = tables(own)
    assert found["sql"] == found["client"]
    assert all(found["sql"].values())


def test_data_are_described_once(recorder: Recorder, writer: RunWriter) -> None:
    made = writer.create(recorder.experiment_id, [NewRun("a", {}), NewRun("b", {})])
    for run_id, _ in made:
        for _ in range(2):
            writer.end(run_id, Ending("FINISHED", (), {}, data=dataset_input(CELL)))
        inputs = recorder.store.get_run(run_id).inputs
        assert inputs is not None
        (entry,) = inputs.dataset_inputs
        assert entry.dataset.name == CELL.dataset["name"]
    assert len(query(recorder.location, "select * from datasets where experiment_id = ?", recorder.experiment_id)) == 1


def _deleted(recorder: Recorder, run_id: str) -> Ending:
    recorder.store.delete_run(run_id)
    return ENDING


def _changed(recorder: Recorder, run_id: str) -> Ending:
    return Ending("FINISHED", POINTS, {}, {"l1": "2.0"})


def _ill_named(recorder: Recorder, run_id: str) -> Ending:
    return Ending("FINISHED", [Metric("a/../b", 1.0, 1, 1)], {})


def _too_long(recorder: Recorder, run_id: str) -> Ending:
    return Ending("FINISHED", POINTS, {}, {"p" * (schema.LONGEST_NAME + 1): "x"})


@pytest.mark.parametrize("case", [_deleted, _changed, _ill_named, _too_long])
def test_what_cannot_be_written_is_the_clients_error(
    recorder: Recorder, case: Callable[[Recorder, str], Ending]
) -> None:
    writer = writer_of(recorder.location)
    ((run_id, _),) = writer.create(recorder.experiment_id, [RUN])
    ending = case(recorder, run_id)
    with pytest.raises(MlflowException):
        writer.end(run_id, ending)
    assert recorder.store.get_run(run_id).info.status == "RUNNING"


def test_runs_of_a_deleted_experiment_are_the_clients_error(recorder: Recorder) -> None:
    recorder.store.delete_experiment(recorder.experiment_id)
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        writer_of(recorder.location).create(recorder.experiment_id, [RUN])


@pytest.mark.parametrize("part", ["_insert_tags", "_insert_metrics", "_insert_params", "_insert_data"])
def test_what_is_cut_short_leaves_nothing(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    writer = ways(recorder)["sql"]
    ((run_id, _),) = writer.create(recorder.experiment_id, [RUN])
    before = tables(recorder)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_writer, part, killed)
        with pytest.raises(KeyboardInterrupt):
            writer.end(run_id, Ending("FINISHED", POINTS, {"t": "1"}, {"p": "1"}, dataset_input(CELL)))
    assert tables(recorder) == before


def test_tables_of_another_mlflow_are_left_to_the_client(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise sqlite3.OperationalError("no such column: is_nan")

    monkeypatch.setattr(sqlite_writer, "_insert_tags", unknown)
    writer = writer_of(recorder.location)
    ((run_id, _),) = writer.create(recorder.experiment_id, [RUN])
    writer.end(run_id, ENDING)
    assert recorder.store.get_run(run_id).info.status == "FINISHED"
    assert len(query(recorder.location, "select * from runs where experiment_id = ?", recorder.experiment_id)) == 1


def test_more_figures_than_a_request_takes_are_written(recorder: Recorder, writer: RunWriter) -> None:
    ((run_id, _),) = writer.create(recorder.experiment_id, [RUN])
    many = [Metric(f"m{number}", float(number), 1, 1) for number in range(3 * run_writer._WITH_THE_TAGS)]
    writer.end(run_id, Ending("FINISHED", many, {}))
    assert len(recorder.store.get_run(run_id).data.metrics) == len(many)


def test_a_pack_that_is_found_again_keeps_the_order_of_its_seeds(recorder: Recorder) -> None:
    first = recorder.start(CELL, 2)
    runs = recorder.start(CELL, 1, 2, 3)
    assert [run._seed for run in runs] == [1, 2, 3]
    assert runs[1].run_id == first[0].run_id
    assert replicate_runs.replicate_name("M", 3) == recorder.store.get_run(runs[2].run_id).info.run_name
