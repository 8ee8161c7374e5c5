"""What is read by SQL is held to what MLflow's client returns, in a store with everything that may be in one."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from tests.tracking.everything import CELL, OTHER, PARAMS, TAGS, exactly, fill_with_everything
from tests.tracking.fabricated import Recorder
from tracking import schema
from tracking.results import rows as reader
from tracking.schema import Kind
from tracking.store import artifacts, database_file, runs, sqlite
from tracking.store.location import StoreError, StoreLocation
from tracking.store.sqlite import StoredRun


@pytest.fixture(scope="module")
def filled(location: StoreLocation) -> Recorder:
    """An experiment that no test changes."""
    return fill_with_everything(Recorder(location, "test_embedded"))


def both_ways(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *asked: Any, **options: Any
) -> list[list[StoredRun]]:
    """What SQL finds, and what the client does."""
    by_sql = runs.records(recorder.location, recorder.experiment_id, *asked, **options)
    with monkeypatch.context() as patch:
        patch.setattr(StoreLocation, "database", None)
        by_client = runs.records(recorder.location, recorder.experiment_id, *asked, **options)
    return [by_sql, by_client]


@pytest.mark.parametrize("kind", ["replicate", "cell", "report"])
@pytest.mark.parametrize("where", [{}, {schema.CELL_KEY: OTHER.key}, {schema.LABEL: "M"}])
def test_runs_are_those_of_the_client_in_its_order(
    filled: Recorder, monkeypatch: pytest.MonkeyPatch, kind: Kind, where: dict[str, str]
) -> None:
    by_sql, by_client = both_ways(filled, monkeypatch, kind, where, tags=TAGS, params=PARAMS, metrics=True)
    assert exactly(by_sql) == exactly(by_client)


def test_every_figure_of_every_replicate_is_read(filled: Recorder) -> None:
    found = runs.records(filled.location, filled.experiment_id, "replicate", {}, metrics=True)
    assert len(found) == 8
    assert sum(len(record.metrics) for record in found) > 8 * 10


def test_runs_that_began_in_the_same_moment_stand_as_with_the_client(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.start(CELL, *range(6))
    assert recorder.location.database is not None
    with sqlite3.connect(recorder.location.database) as connection:
        connection.execute("update runs set start_time = 5 where experiment_id = ?", [recorder.experiment_id])
    by_sql, by_client = both_ways(recorder, monkeypatch, "replicate", {})
    assert exactly(by_sql) == exactly(by_client)


def test_nothing_is_read_that_is_not_asked_for(filled: Recorder) -> None:
    for record in runs.records(filled.location, filled.experiment_id, "replicate", {}):
        assert (record.tags, record.params, record.metrics) == ({}, {}, {})


def test_rows_and_states_are_those_of_the_client(filled: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    by_sql = everything(filled)
    monkeypatch.setattr(StoreLocation, "database", None)
    assert by_sql == everything(filled)


def everything(recorder: Recorder) -> list[str]:
    """All that is read of a sweep, as text; the order of a row's figures means nothing."""
    asked = (recorder.location, recorder.experiment_id)
    snapshot = reader.read(*asked)
    rows = [replace(row, metrics=dict(sorted(row.metrics.items()))) for row in snapshot.rows]
    others = (snapshot.ended, runs.read_states(*asked), reader.read_cells(*asked))
    return list(map(repr, [*rows, *others]))


def test_curves_are_those_of_the_client(filled: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ids = [run.info.run_id for run in filled.runs("replicate")][::-1]
    by_sql = reader.read_histories(filled.location, run_ids)
    monkeypatch.setattr(StoreLocation, "database", None)
    assert repr([sorted(history.items()) for history in by_sql]) == repr(
        [sorted(history.items()) for history in reader.read_histories(filled.location, run_ids)]
    )
    assert len(by_sql) == len(run_ids)
    assert any(by_sql)


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
    found = reader.read_histories(recorder.location, [run.info.run_id for run in recorder.runs("replicate")])
    assert [history["num_nonzero"].keys() for history in found] == [{1}] * 5


def test_tables_that_are_not_known_are_left_to_the_client(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.finish(CELL, 0, epochs=1)
    by_sql = recorder.read(), reader.read_histories(recorder.location, [recorder.read().rows[0].run_id])

    def other_tables(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("no such table: runs")

    for name in ("find", "histories"):
        monkeypatch.setattr(sqlite, name, other_tables)
    assert (recorder.read(), reader.read_histories(recorder.location, [recorder.read().rows[0].run_id])) == by_sql


def test_nothing_can_be_written(location: StoreLocation) -> None:
    assert location.database is not None
    with database_file.read(location.database) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("delete from runs")


def test_an_absent_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db cannot be opened"):
        sqlite.find(tmp_path / "none.db", "1", {})
    assert list(tmp_path.iterdir()) == []
