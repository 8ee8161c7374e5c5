"""Runs of the embedded store, made and ended by SQL in MLflow's own tables: one transaction each.

MLflow's client opens a dozen transactions for a run and makes an object of every figure: 50 ms, in which other workers
wait. What is out of the ordinary (tables that another MLflow has made, a run that was deleted, a parameter that
changes) is left to the client, whose errors are those that everybody knows.
"""

import math
import re
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mlflow.entities import DatasetInput, Metric

from tracking import schema
from tracking.store import database_file
from tracking.store.run_writer import Ending, NewRun, RunWriter, now

_NAME = re.compile(schema.NAME)
_RUN_NAME = "mlflow.runName"
_USER = "unknown"  # as MLflow's client writes it
_ARTIFACTS = "artifacts"  # MLflow's folder for the files of a run


class _LeaveToClientError(Exception):
    """MLflow's client should do it."""


class SqliteWriter(RunWriter):
    """Of one file. Nothing of a transaction is written that the client is left to do."""

    def __init__(self, database: Path, client: RunWriter) -> None:
        """``database``: the file. ``client``: what writes what is out of the ordinary."""
        self._database, self._client = database, client

    def create(self, experiment_id: str, runs: Sequence[NewRun]) -> list[tuple[str, int]]:
        """As ``RunWriter``."""
        try:
            return self._create(experiment_id, runs)
        except (_LeaveToClientError, sqlite3.Error):
            return self._client.create(experiment_id, runs)

    def end(self, run_id: str, ending: Ending) -> None:
        """As ``RunWriter``."""
        try:
            self._end(run_id, ending)
        except (_LeaveToClientError, sqlite3.Error):
            self._client.end(run_id, ending)

    def _create(self, experiment_id: str, runs: Sequence[NewRun]) -> list[tuple[str, int]]:
        moment = now()
        # Rising: of runs that begin in one moment, MLflow and we show those first whose ids come first.
        run_ids = sorted(uuid.uuid4().hex for _ in runs)
        made = [(run_id, run.start or moment) for run_id, run in zip(run_ids, runs, strict=True)]
        with database_file.write(self._database) as connection:
            folder = _folder_of_experiment(connection, experiment_id)
            for run, (run_id, start) in zip(runs, made, strict=True):
                connection.execute(
                    "insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
                    " start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
                    " values (?, ?, 'UNKNOWN', '', '', ?, 'RUNNING', ?, '', 'active', ?, ?)",
                    (run_id, run.name, _USER, start, f"{folder}/{run_id}/{_ARTIFACTS}", int(experiment_id)),
                )
                _insert_tags(connection, run_id, {**run.tags, _RUN_NAME: run.name})
                _insert_params(connection, run_id, run.params)
        return made

    def _end(self, run_id: str, ending: Ending) -> None:
        with database_file.write(self._database) as connection:
            query = "select experiment_id from runs where run_uuid = ? and lifecycle_stage = 'active'"
            found = connection.execute(query, (run_id,)).fetchone()
            if found is None:
                raise _LeaveToClientError
            if ending.data is not None:
                _insert_data(connection, run_id, found[0], ending.data)
            _insert_metrics(connection, run_id, ending.metrics)
            _insert_params(connection, run_id, ending.params)
            _insert_tags(connection, run_id, ending.tags)
            connection.execute(
                "update runs set status = ?, end_time = ? where run_uuid = ?",
                (ending.status, ending.end or now(), run_id),
            )


def _folder_of_experiment(connection: sqlite3.Connection, experiment_id: str) -> str:
    query = "select artifact_location from experiments where experiment_id = ? and lifecycle_stage = 'active'"
    found = connection.execute(query, (int(experiment_id),)).fetchone()
    if found is None or not str(found[0]).startswith("file:"):
        raise _LeaveToClientError
    return str(found[0]).rstrip("/")


def _insert_tags(connection: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    _check(tags, schema.LONGEST_TAG)
    connection.executemany(
        "insert into tags (key, value, run_uuid) values (?, ?, ?)"
        " on conflict (key, run_uuid) do update set value = excluded.value",
        [(name, value, run_id) for name, value in tags.items()],
    )


def _insert_params(connection: sqlite3.Connection, run_id: str, params: Mapping[str, str]) -> None:
    """A parameter that is there with another value is not changed: the client refuses that."""
    _check(params, schema.LONGEST_PARAM)
    there = dict(connection.execute("select key, value from params where run_uuid = ?", (run_id,)))
    if any(there.get(name, value) != value for name, value in params.items()):
        raise _LeaveToClientError
    new = [(name, value, run_id) for name, value in params.items() if name not in there]
    connection.executemany("insert into params (key, value, run_uuid) values (?, ?, ?)", new)


def _insert_metrics(connection: sqlite3.Connection, run_id: str, metrics: Sequence[Metric]) -> None:
    """A point that is there already is kept once; the latest of a metric is that of the highest step, then time."""
    _check_names(metric.key for metric in metrics)
    points = [
        (metric.key, *_storable(float(metric.value)), metric.timestamp, metric.step, run_id) for metric in metrics
    ]
    columns = "(key, value, is_nan, timestamp, step, run_uuid) values (?, ?, ?, ?, ?, ?)"
    connection.executemany(f"insert or ignore into metrics {columns}", points)
    connection.executemany(
        f"insert into latest_metrics {columns} on conflict (key, run_uuid) do update set value = excluded.value,"
        " is_nan = excluded.is_nan, timestamp = excluded.timestamp, step = excluded.step"
        " where (excluded.step, excluded.timestamp, excluded.value)"
        " > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)",
        points,
    )


def _storable(value: float) -> tuple[float, bool]:
    """A figure as MLflow keeps it, and whether it is no number: SQL has neither that nor infinity."""
    if math.isnan(value):
        return 0.0, True
    return (math.copysign(sys.float_info.max, value) if math.isinf(value) else value), False


def _insert_data(connection: sqlite3.Connection, run_id: str, experiment_id: int, data: DatasetInput) -> None:
    dataset = data.dataset
    same = "where experiment_id = ? and name = ? and digest = ?"
    identity = (experiment_id, dataset.name, dataset.digest)
    connection.execute(
        "insert or ignore into datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
        " dataset_source) values (?, ?, ?, ?, ?, ?)",
        (uuid.uuid4().hex, *identity, dataset.source_type, dataset.source),
    )
    (dataset_id,) = connection.execute(f"select dataset_uuid from datasets {same}", identity).fetchone()
    connection.execute(
        "insert or ignore into inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " values (?, 'DATASET', ?, 'RUN', ?)",
        (uuid.uuid4().hex, dataset_id, run_id),
    )


def _check(values: Mapping[str, str], longest: int) -> None:
    _check_names(values)
    if any(len(value) > longest for value in values.values()):
        raise _LeaveToClientError


def _check_names(names: Iterable[str]) -> None:
    if any(len(name) > schema.LONGEST_NAME or _NAME.match(name) is None for name in names):
        raise _LeaveToClientError
