"""Where the store is. Default: a folder with a SQLite database and artifacts, no server."""

import logging
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

FOLDER = "dn-store"
"""Name of the embedded store's folder in the working folder."""


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""


_SECONDS_TO_ANSWER = 10


@dataclass(frozen=True)
class StoreLocation:
    """An MLflow tracking address, and where artifacts go if no server decides that."""

    uri: str
    artifact_root: str | None = None

    @property
    def database(self) -> Path | None:
        """The SQLite file of an embedded store; None for a server."""
        return Path(unquote(self.uri.removeprefix("sqlite:///"))) if self.uri.startswith("sqlite:") else None

    @property
    def scratch(self) -> Path:
        """Folder for what is needed only while a sweep runs: Ray's experiment folders and checkpoints."""
        folder = self.database.parent if self.database else Path(FOLDER).absolute()
        return folder / "ray"


def locate(tracking_uri: str | None = None, folder: Path | None = None) -> StoreLocation:
    """Return the server at ``tracking_uri``, or the embedded store in ``folder`` (default ``./dn-store``).

    StoreError for an address that is neither http(s) nor a SQLite file.
    """
    if tracking_uri is None:
        root = (folder or Path(FOLDER)).absolute()
        return StoreLocation(f"sqlite:///{root / 'mlflow.db'}", (root / "artifacts").as_uri())
    if tracking_uri.startswith(("http://", "https://")):
        return StoreLocation(tracking_uri)
    if tracking_uri.startswith("sqlite:///"):
        path = Path(unquote(tracking_uri.removeprefix("sqlite:///"))).absolute()
        return StoreLocation(f"sqlite:///{path}", (path.parent / "artifacts").as_uri())
    raise StoreError(
        f"tracking address {tracking_uri!r} is not supported: "
        f"use http://HOST:PORT of an MLflow server or sqlite:///PATH, or leave it out for ./{FOLDER}"
    )


def prepare(location: StoreLocation) -> None:
    """Make the folder and the database schema, once, before any worker opens it.

    Several processes that open an absent SQLite file race for its schema and can break it; a write-ahead log
    lets readers and one writer work side by side.
    """
    database = location.database
    if database is None:
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        commit_without_waiting()
        _quiet_migrations()
        from mlflow import MlflowClient

        MlflowClient(location.uri).search_experiments(max_results=1)
        with sqlite3.connect(database) as connection:
            connection.execute("pragma journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {database}: {error}") from error


@cache
def commit_without_waiting() -> None:
    """Let SQLite's connections of this process hand a commit to the system and go on, as a write-ahead log allows.

    A process that is killed loses nothing. Where the machine itself stops, the last moments may be missing from the
    store, never a part of a commit: the same command trains them again. A commit that waits for the disk, of which
    a replicate has six, keeps the other workers waiting too.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("pragma synchronous=NORMAL")


def exists(location: StoreLocation) -> bool:
    """Return whether an embedded store has been made; True for a server."""
    return location.database is None or location.database.is_file()


def check_answers(location: StoreLocation) -> None:
    """StoreError where a server does not answer: MLflow's own client would try for minutes."""
    if location.database is not None:
        return
    uri = location.uri
    try:
        urllib.request.urlopen(uri, timeout=_SECONDS_TO_ANSWER).close()
    except urllib.error.HTTPError:
        return  # it answers; what it thinks of us is told by the first real call
    except (OSError, ValueError) as error:
        raise StoreError(f"no MLflow server answers at {uri} ({getattr(error, 'reason', error)})") from error


def _quiet_migrations() -> None:
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store"):
        logging.getLogger(name).setLevel(logging.ERROR)
