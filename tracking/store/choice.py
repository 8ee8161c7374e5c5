"""How the runs of a store are read and written: the quickest way that it knows."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tracking.store.client import ClientQueries
from tracking.store.connection import connect
from tracking.store.http import HttpQueries
from tracking.store.location import StoreLocation
from tracking.store.queries import LoggedPoint, RunQueries, RunQuery, StoredRun
from tracking.store.sqlite import SqliteQueries

if TYPE_CHECKING:  # importing it takes MLflow, which those who only read do without
    from tracking.store.run_writer import RunWriter

Answer = TypeVar("Answer")


def queries_of(location: StoreLocation) -> RunQueries:
    """Return what reads a store: by SQL from an embedded one, in one answer from a server of ours, else the client."""
    if location.database is None:
        return HttpQueries(location)
    return _SqlFirst(SqliteQueries(location.database), ClientQueries(location))


def writer_of(location: StoreLocation) -> "RunWriter":
    """Return what makes and ends the runs of a store: by SQL in an embedded one, by requests to a server."""
    from tracking.store.run_writer import ClientWriter
    from tracking.store.server_writer import ServerWriter
    from tracking.store.sqlite_writer import SqliteWriter

    client = connect(location)
    if location.database is None:
        return ServerWriter(location, client)
    return SqliteWriter(location.database, ClientWriter(client))


class _SqlFirst(RunQueries):
    """By SQL, and by MLflow's client where MLflow has other tables than are known here."""

    def __init__(self, sql: SqliteQueries, client: ClientQueries) -> None:
        self._sql, self._client = sql, client

    def experiment(self, name: str) -> tuple[str, str] | None:
        return self._first(lambda queries: queries.experiment(name))

    def experiment_names(self) -> list[str]:
        return self._first(lambda queries: queries.experiment_names())

    def find(self, query: RunQuery) -> list[StoredRun]:
        return self._first(lambda queries: queries.find(query))

    def histories(self, run_ids: Sequence[str], wanted: Callable[[str], bool]) -> list[LoggedPoint]:
        return self._first(lambda queries: queries.histories(run_ids, wanted))

    def artifact_folders(self, run_ids: Sequence[str]) -> dict[str, Path | None]:
        found = self._first(lambda queries: queries.artifact_folders(run_ids))
        absent = [run_id for run_id in run_ids if run_id not in found]
        return found | self._client.artifact_folders(absent) if absent else found  # it says what is wrong with them

    def _first(self, ask: Callable[[RunQueries], Answer]) -> Answer:
        try:
            return ask(self._sql)
        except sqlite3.OperationalError:
            return ask(self._client)
