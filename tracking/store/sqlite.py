"""Runs of the embedded store, read by SQL from MLflow's own tables. Nothing is written.

MLflow's client takes two milliseconds a run, for it makes an object of every parameter, tag and figure there is; this
takes only what the query names.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from math import nan
from pathlib import Path
from typing import Any

from tracking.store import database_file, relocation, statements
from tracking.store.queries import LoggedPoint, RunQueries, RunQuery, StoredRun

_MOST_NAMES = 500  # in one statement: SQLite allows no more than some thousands


class SqliteQueries(RunQueries):
    """Of one file. ``sqlite3.OperationalError`` where an MLflow has made it that has other tables."""

    def __init__(self, database: Path) -> None:
        """``database``: the file."""
        self._database = database

    def experiment(self, name: str) -> tuple[str, str] | None:
        """As ``RunQueries``."""
        with database_file.read(self._database) as connection:
            query = "select experiment_id, lifecycle_stage from experiments where name = ?"
            row = connection.execute(query, [name]).fetchone()
        return (str(row[0]), row[1]) if row else None

    def experiment_names(self) -> list[str]:
        """As ``RunQueries``."""
        with database_file.read(self._database) as connection:
            query = "select name from experiments where lifecycle_stage = 'active'"
            return [name for (name,) in connection.execute(query)]

    def find(self, query: RunQuery) -> list[StoredRun]:
        """As ``RunQueries``."""
        with database_file.read(self._database) as connection:
            runs, named = statements.find(connection.execute, query)
            found = {run[0]: StoredRun(*run) for run in runs}
            for kind, triples in named.items():
                for run_id, name, value in triples:
                    getattr(found[run_id], kind)[sys.intern(name)] = value
        return list(found.values())

    def histories(self, run_ids: Sequence[str], wanted: Callable[[str], bool]) -> list[LoggedPoint]:
        """As ``RunQueries``."""
        query = "select run_uuid, key, step, value, is_nan from metrics where run_uuid in ({}) "
        rows = self._of_runs(f"{query}order by timestamp, step, value", run_ids)
        return [
            (run_id, sys.intern(name), step, nan if is_nan else value)
            for run_id, name, step, value, is_nan in rows
            if wanted(name)
        ]

    def artifact_folders(self, run_ids: Sequence[str]) -> dict[str, Path | None]:
        """As ``RunQueries``: beside the database. Runs that are not there are left out."""
        rows = self._of_runs("select run_uuid, artifact_uri from runs where run_uuid in ({})", run_ids)
        return {run_id: relocation.path_of(self._database, recorded) for run_id, recorded in rows}

    def _of_runs(self, query: str, run_ids: Sequence[str]) -> Iterator[Any]:
        """The rows of ``query``, which has ``{}`` where the marks of the runs belong."""
        with database_file.read(self._database) as connection:
            for start in range(0, len(run_ids), _MOST_NAMES):
                part = run_ids[start : start + _MOST_NAMES]
                yield from connection.execute(query.format(", ".join("?" * len(part))), part)
