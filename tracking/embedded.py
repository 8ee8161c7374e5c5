"""Runs of the embedded store, read by SQL from MLflow's own tables; nothing else knows them, and nothing is written.

MLflow's client takes two milliseconds a run, for it makes an object of every parameter, tag and figure there is; this
takes what is asked for. ``runs`` and ``reader`` use it where they can, and the tests hold it to what the client
returns.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from urllib.parse import quote

_SECONDS_TO_WAIT = 20.0  # for a writer, as MLflow does
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
    tags: Collection[str] = (),
    params: Collection[str] = (),
    metrics: bool = False,
) -> list[StoredRun]:
    """Return the runs that have the tags ``where``, oldest first, each with the named tags and parameters."""
    with _open(database) as connection:
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


def experiment_id(database: Path, name: str) -> str | None:
    """Return the id of the experiment ``name``; None where there is none."""
    with _open(database) as connection:
        query = "select experiment_id from experiments where name = ? and lifecycle_stage = 'active'"
        row = connection.execute(query, [name]).fetchone()
    return None if row is None else str(row[0])


def histories(database: Path, run_ids: Sequence[str]) -> Iterator[tuple[str, str, int, float]]:
    """Yield run, metric, step and value of all that the runs have logged, of each metric in the order of time."""
    with _open(database) as connection:
        for start in range(0, len(run_ids), _MOST_NAMES):
            part = run_ids[start : start + _MOST_NAMES]
            rows = connection.execute(
                "select run_uuid, key, step, value, is_nan from metrics where run_uuid in "
                f"({_marks(part)}) order by timestamp, step, value",
                part,
            )
            for run_id, name, step, value, is_nan in rows:
                yield run_id, sys.intern(name), step, nan if is_nan else value


def artifact_addresses(database: Path, run_ids: Sequence[str]) -> dict[str, str]:
    """Return by run where its files are, as a URI."""
    found: dict[str, str] = {}
    with _open(database) as connection:
        for start in range(0, len(run_ids), _MOST_NAMES):
            part = run_ids[start : start + _MOST_NAMES]
            found |= connection.execute(
                f"select run_uuid, artifact_uri from runs where run_uuid in ({_marks(part)})", part
            )
    return found


@contextlib.contextmanager
def _open(database: Path) -> Iterator[sqlite3.Connection]:
    """All that one call reads is of one moment, whatever is written meanwhile."""
    address = f"file:{quote(str(database))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=_SECONDS_TO_WAIT, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("begin")
        yield connection


def _texts(connection: sqlite3.Connection, table: str, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield run, name and value from a table of names and texts, of the runs that were found."""
    if not names:
        return
    yield from connection.execute(
        f"select run_uuid, key, value from {table} "
        f"where run_uuid in (select run_uuid from found) and key in ({_marks(names)})",
        list(names),
    )


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))
