"""Runs of the embedded store, read by SQL from MLflow's own tables. Nothing is written.

MLflow's client takes two milliseconds a run, for it makes an object of every parameter, tag and figure there is; this
takes what is asked for. ``runs`` and ``reader`` use it where they can, and the tests hold it to what the client
returns.
"""

import sqlite3
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

from tracking.store import database_file, relocation

_MOST_NAMES = 500  # in one statement: SQLite allows no more than some thousands


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What was asked for of a run."""

    run_id: str
    status: str
    start_time: int
    """Milliseconds since 1970, as all times here."""
    end_time: int | None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""


def find(
    database: Path,
    experiment_id: str,
    where: Mapping[str, str],
    *,
    tags: Collection[str] | None = (),
    params: Collection[str] | None = (),
    metrics: bool = False,
) -> list[StoredRun]:
    """Return the runs that have the tags ``where``, oldest first, each with the named tags and parameters.

    None names them all.
    """
    with database_file.read(database) as connection:
        joins = "".join(
            f" join tags t{i} on t{i}.run_uuid = runs.run_uuid and t{i}.key = ? and t{i}.value = ?"
            for i in range(len(where))
        )
        connection.execute(
            "create temp table found as select runs.run_uuid, status, start_time, end_time from runs"
            f"{joins} where experiment_id = ? and lifecycle_stage = 'active' order by start_time, runs.run_uuid",
            [*(text for pair in where.items() for text in pair), int(experiment_id)],
        )
        records = {row[0]: StoredRun(*row) for row in connection.execute("select * from found order by rowid")}
        for run_id, name, value in _texts(connection, "tags", tags):
            records[run_id].tags[sys.intern(name)] = value
        for run_id, name, value in _texts(connection, "params", params):
            records[run_id].params[sys.intern(name)] = value
        if metrics:
            rows = connection.execute(
                "select run_uuid, key, value, is_nan from latest_metrics where run_uuid in (select run_uuid from found)"
            )
            for run_id, name, value, is_nan in rows:
                records[run_id].metrics[sys.intern(name)] = nan if is_nan else value
        return list(records.values())


def experiments(database: Path) -> dict[str, tuple[str, str]]:
    """Return by name the id and the stage (``active`` or ``deleted``) of every experiment."""
    with database_file.read(database) as connection:
        rows = connection.execute("select name, experiment_id, lifecycle_stage from experiments")
        return {name: (str(found), stage) for name, found, stage in rows}


def histories(database: Path, run_ids: Sequence[str]) -> Iterator[tuple[str, str, int, float]]:
    """Yield run, metric, step and value of all that the runs have logged, of each metric in the order of time."""
    with database_file.read(database) as connection:
        for start in range(0, len(run_ids), _MOST_NAMES):
            part = run_ids[start : start + _MOST_NAMES]
            rows = connection.execute(
                "select run_uuid, key, step, value, is_nan from metrics where run_uuid in "
                f"({_marks(part)}) order by timestamp, step, value",
                part,
            )
            for run_id, name, step, value, is_nan in rows:
                yield run_id, sys.intern(name), step, nan if is_nan else value


def artifact_folders(database: Path, run_ids: Sequence[str]) -> dict[str, Path | None]:
    """Return by run where its files are, beside the database; None where that is not in the file system."""
    found: dict[str, Path | None] = {}
    with database_file.read(database) as connection:
        for start in range(0, len(run_ids), _MOST_NAMES):
            part = run_ids[start : start + _MOST_NAMES]
            query = f"select run_uuid, artifact_uri from runs where run_uuid in ({_marks(part)})"
            for run_id, recorded in connection.execute(query, part):
                found[run_id] = relocation.path_of(database, recorded)
    return found


def _texts(connection: sqlite3.Connection, table: str, names: Collection[str] | None) -> Iterator[tuple[str, str, str]]:
    """Yield run, name and value from a table of names and texts, of the runs that were found."""
    if names is not None and not names:
        return
    named = "" if names is None else f" and key in ({_marks(names)})"
    yield from connection.execute(
        f"select run_uuid, key, value from {table} where run_uuid in (select run_uuid from found){named}",
        list(names or ()),
    )


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))
