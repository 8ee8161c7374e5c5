"""One suite for every way that runs are read: each answers as MLflow's client does, in a store with everything.

``sqlite`` reads the file, ``http`` asks a server of ours, ``client`` is MLflow's, and ``chosen`` is what ``choice``
takes for the embedded store.
"""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from tests.tracking.everything import CELL, OTHER, PARAMS, TAGS, exactly, fill_with_everything
from tests.tracking.fabricated import Recorder
from tests.tracking.served import free_port
from tracking import schema
from tracking.errors import StoreError
from tracking.results import rows as reader
from tracking.schema import Kind
from tracking.store import artifacts, database_file, http, runs, sqlite
from tracking.store.choice import queries_of
from tracking.store.client import ClientQueries
from tracking.store.http import HttpQueries
from tracking.store.location import StoreLocation
from tracking.store.queries import RunQueries, RunQuery
from tracking.store.sqlite import SqliteQueries

WAYS = ("sqlite", "http", "client", "chosen")


@pytest.fixture(scope="module")
def filled(location: StoreLocation) -> Recorder:
    """An experiment that no test changes."""
    return fill_with_everything(Recorder(location, "test_queries"))


@pytest.fixture(params=WAYS)
def queries(request: pytest.FixtureRequest, location: StoreLocation) -> RunQueries:
    """One of the ways to read the store."""
    if request.param == "http":
        return HttpQueries(request.getfixturevalue("served"))
    assert location.database is not None
    ways = {"sqlite": SqliteQueries(location.database), "client": ClientQueries(location)}
    return ways.get(request.param) or queries_of(location)


def replicate_ids(recorder: Recorder) -> list[str]:
    return [run.info.run_id for run in recorder.runs("replicate")]


@pytest.mark.parametrize("kind", ["replicate", "cell", "report"])
@pytest.mark.parametrize("where", [{}, {schema.CELL_KEY: OTHER.key}, {schema.LABEL: "M"}])
def test_runs_are_those_of_the_client_in_its_order(
    filled: Recorder, queries: RunQueries, kind: Kind, where: dict[str, str]
) -> None:
    asked = (filled.experiment_id, {**where, schema.KIND: kind})
    found = queries.find(RunQuery(*asked, tags=TAGS, params=PARAMS, metrics=True))
    by_client = ClientQueries(filled.location).find(RunQuery(*asked, tags=TAGS, params=PARAMS, metrics=True))
    assert exactly(found) == exactly(by_client)
    assert found or where


def test_all_tags_and_parameters_are_those_of_the_client(filled: Recorder, queries: RunQueries) -> None:
    asked = RunQuery(filled.experiment_id, {schema.KIND: "replicate"}, tags=None, params=None, metrics=True)
    found = queries.find(asked)
    assert exactly(found) == exactly(ClientQueries(filled.location).find(asked))
    assert all(record.tags[schema.KIND] == "replicate" for record in found)


def test_every_figure_of_every_replicate_is_read(filled: Recorder, queries: RunQueries) -> None:
    found = queries.find(RunQuery(filled.experiment_id, {schema.KIND: "replicate"}, metrics=True))
    assert len(found) == 8
    assert sum(len(record.metrics) for record in found) > 8 * 10


def test_nothing_is_read_that_is_not_asked_for(filled: Recorder, queries: RunQueries) -> None:
    found = queries.find(RunQuery(filled.experiment_id, {schema.KIND: "replicate"}))
    assert found
    assert all((record.tags, record.params, record.metrics) == ({}, {}, {}) for record in found)


def test_runs_that_began_in_the_same_moment_stand_as_with_the_client(recorder: Recorder, queries: RunQueries) -> None:
    recorder.start(CELL, *range(6))
    assert recorder.location.database is not None
    with sqlite3.connect(recorder.location.database) as connection:
        connection.execute("update runs set start_time = 5 where experiment_id = ?", [recorder.experiment_id])
    asked = (recorder.experiment_id, {schema.KIND: "replicate"})
    found = queries.find(RunQuery(*asked))
    assert len(found) == 6
    assert exactly(found) == exactly(ClientQueries(recorder.location).find(RunQuery(*asked)))


def test_curves_are_those_of_the_client(filled: Recorder, queries: RunQueries) -> None:
    run_ids = replicate_ids(filled)
    found = queries.histories(run_ids, schema.is_curve)
    by_client = ClientQueries(filled.location).histories(run_ids, schema.is_curve)
    assert found
    assert {name for _, name, _, _ in found} == {"num_nonzero", "train/loss", "validation/nmse"}
    assert by_run_and_metric(found) == by_run_and_metric(by_client)


def by_run_and_metric(points: list[Any]) -> dict[tuple[str, str], list[str]]:
    """Each curve in its order, as text, in which NaN equals NaN."""
    curves: dict[tuple[str, str], list[str]] = {}
    for run_id, name, step, value in points:
        curves.setdefault((run_id, name), []).append(f"{step} {value!r}")
    return curves


def test_experiments_are_found_by_name_and_deleted_ones_are_said_to_be(
    filled: Recorder, recorder: Recorder, queries: RunQueries
) -> None:
    assert queries.experiment(filled.name) == (filled.experiment_id, "active")
    assert queries.experiment("absent") is None
    recorder.store.delete_experiment(recorder.experiment_id)
    assert queries.experiment(recorder.name) == (recorder.experiment_id, "deleted")
    assert filled.name in queries.experiment_names()
    assert recorder.name not in queries.experiment_names()


def test_folders_of_files_are_on_this_machine_or_have_to_be_asked_for(filled: Recorder, queries: RunQueries) -> None:
    run_ids = replicate_ids(filled)
    found = queries.artifact_folders(run_ids)
    assert found.keys() == set(run_ids)
    if isinstance(queries, HttpQueries):
        assert set(found.values()) == {None}
    else:
        assert [found[run_id] for run_id in run_ids] == [filled.artifact(run_id, "") for run_id in run_ids]


@pytest.mark.parametrize("of_server", [False, True])
def test_rows_and_states_are_those_of_the_client(
    filled: Recorder, served: StoreLocation, monkeypatch: pytest.MonkeyPatch, *, of_server: bool
) -> None:
    sweep = replace(filled.sweep, location=served) if of_server else filled.sweep
    found = everything(sweep)
    monkeypatch.setattr("tracking.store.sweep_store.queries_of", ClientQueries)
    assert found == everything(sweep)


def everything(sweep: Any) -> list[str]:
    """All that is read of a sweep, as text; the order of a row's figures means nothing."""
    snapshot = reader.read(sweep)
    rows = [replace(row, metrics=dict(sorted(row.metrics.items()))) for row in snapshot.rows]
    return list(map(repr, [*rows, snapshot.ended, runs.read_states(sweep), reader.read_cells(sweep)]))


def test_files_are_those_of_the_client(filled: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ids = [run.info.run_id for run in filled.runs("replicate") if schema.COMPLETE in run.data.tags]
    by_path = artifacts.paths_of(filled.location, run_ids, schema.WEIGHTS_FILE)
    monkeypatch.setattr(StoreLocation, "database", None)
    by_client = artifacts.paths_of(filled.location, run_ids, schema.WEIGHTS_FILE)
    assert [path.read_bytes() for path in by_path] == [path.read_bytes() for path in by_client]
    assert len(by_path) == 5


def test_files_of_a_run_that_is_not_there_are_an_error(filled: Recorder) -> None:
    with pytest.raises(MlflowException, match="not found"):
        artifacts.path_of(filled.location, "0" * 32, schema.WEIGHTS_FILE)


def test_more_runs_than_a_statement_names_are_all_read(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_MOST_NAMES", 2)
    recorder.finish(CELL, *range(5), epochs=1)
    found = reader.read_histories(recorder.location, replicate_ids(recorder))
    assert [history["num_nonzero"].keys() for history in found] == [{1}] * 5


def test_tables_that_are_not_known_are_left_to_the_client(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.finish(CELL, 0, epochs=1)
    by_sql = recorder.read(), reader.read_histories(recorder.location, [recorder.read().rows[0].run_id])
    assert recorder.location.database is not None
    asked = 0

    def other_tables(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise sqlite3.OperationalError("no such table: runs")

    for name in ("experiment", "experiment_names", "find", "histories", "artifact_folders"):
        monkeypatch.setattr(SqliteQueries, name, other_tables)
    assert (recorder.read(), reader.read_histories(recorder.location, [recorder.read().rows[0].run_id])) == by_sql
    queries = queries_of(recorder.location)
    assert queries.experiment(recorder.name) == (recorder.experiment_id, "active")
    assert recorder.name in queries.experiment_names()
    (run_id,) = replicate_ids(recorder)
    assert queries.artifact_folders([run_id]) == {run_id: recorder.artifact(run_id, "")}
    assert asked >= 5


def test_a_server_of_mlflow_s_own_is_left_to_the_client(
    filled: Recorder, served: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (filled.experiment_id, {schema.KIND: "replicate"})
    at_once = http.find(served, RunQuery(*asked, tags=TAGS))
    assert at_once
    monkeypatch.setattr(http, "PATH", "/api/2.0/no-such-path")
    assert http.find(served, RunQuery(*asked)) is None
    assert exactly(queries_of(served).find(RunQuery(*asked, tags=TAGS))) == exactly(at_once)


def test_a_server_that_does_not_answer_is_left_to_the_client() -> None:
    assert http.find(StoreLocation(f"http://127.0.0.1:{free_port()}"), RunQuery("1")) is None


def test_nothing_can_be_written(location: StoreLocation) -> None:
    assert location.database is not None
    with database_file.read(location.database) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("delete from runs")


def test_an_absent_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db cannot be opened"):
        SqliteQueries(tmp_path / "none.db").find(RunQuery("1"))
    assert list(tmp_path.iterdir()) == []
