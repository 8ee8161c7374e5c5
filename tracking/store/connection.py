"""MLflow's client of a store: logged in to a server, and with commits of an embedded store that do not wait."""

import os
import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any

from tracking.errors import StoreError
from tracking.store import database_file
from tracking.store.location import StoreLocation
from tracking.variables import TRACKING_PASSWORD, TRACKING_PASSWORD_FILE, TRACKING_USER

if TYPE_CHECKING:  # importing it takes a second, which not all commands need
    from mlflow import MlflowClient


@cache
def connect(location: StoreLocation) -> "MlflowClient":
    """Return the client of the store."""
    log_in()
    if location.database is not None:
        commit_without_waiting()
    from mlflow import MlflowClient

    return MlflowClient(location.for_mlflow)


def location_of(client: "MlflowClient") -> StoreLocation:
    """Return where the store of a client is."""
    return StoreLocation(database_file.from_mlflow(str(client.tracking_uri)))


def log_in() -> None:
    """Let MLflow's client use the password in the file DN_TRACKING_PASSWORD_FILE, if there is one."""
    if not os.environ.get(TRACKING_PASSWORD_FILE) or os.environ.get(TRACKING_PASSWORD):
        return
    if not os.environ.get(TRACKING_USER):
        missing = f"{TRACKING_USER} is not: name the user whose password it is"
        raise StoreError(f"{TRACKING_PASSWORD_FILE} is set, but {missing}")
    from tracking.store import login

    login.use_password_file()


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
