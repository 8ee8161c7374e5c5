"""The embedded store on disk: made, checked, and copied where it can only be read."""

import contextlib
import os
import sqlite3
from pathlib import Path

from tracking.errors import StoreError
from tracking.store import database_file, file_lock, mlflow_internals, relocation
from tracking.store.connection import commit_without_waiting, connect
from tracking.store.location import StoreLocation, embedded_at
from tracking.store.relocation import ARTIFACTS


def prepare(location: StoreLocation) -> None:
    """Make the folder and the database, or see that it can be written to, once, before any worker opens it.

    A store that was moved learns where it lies now. StoreError in one line where the store cannot be used.
    """
    database = location.database
    if database is None:
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        if database.exists():
            check_is_store(database)
            check_writable(location)
        with file_lock.held(database.with_name(f"{database.name}.lock")):
            if not database.exists():
                _make(location, database)
            _check_version(location)
            relocation.relocate(database, database.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {database}: {error}") from error


def _make(location: StoreLocation, database: Path) -> None:
    """Make the database under another name first: one that is there is whole.

    A write-ahead log lets readers and one writer work side by side.
    """
    part = database.with_name(f".{database.name}.part")
    for path in database.parent.glob(f"{part.name}*"):  # of a process that was killed
        path.unlink()
    commit_without_waiting()
    mlflow_internals.create_database(embedded_at(part).for_mlflow, (database.parent / ARTIFACTS).as_uri())
    with contextlib.closing(sqlite3.connect(part)) as connection:
        connection.execute("pragma journal_mode=WAL")
    part.replace(database)


def _check_version(location: StoreLocation) -> None:
    """StoreError where MLflow cannot use the database: another version has made it, or it is damaged."""
    from mlflow.exceptions import MlflowException

    from tracking.store import outages

    try:
        connect(location).search_experiments(max_results=1)
    except MlflowException as error:
        raise StoreError(f"the store {location.database} cannot be used: {outages.reason(error)}") from error


def check_is_store(database: Path) -> None:
    """StoreError where a SQLite file is none of a store."""
    with database_file.read(database) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    if not {"experiments", "runs", "tags"} <= names:
        raise StoreError(f"{database} is no store: it is a database of something else, or of nothing yet")


def is_writable(location: StoreLocation) -> bool:
    """Return whether a store can be written to; of a server that is not known before it is tried."""
    database, artifacts = location.database, location.artifacts
    if database is None or artifacts is None:
        return True
    return os.access(artifacts if artifacts.exists() else artifacts.parent, os.W_OK) and database_file.is_writable(
        database
    )


def check_writable(location: StoreLocation) -> None:
    """StoreError where an embedded store can only be read."""
    if not is_writable(location):
        raise StoreError(
            f"the store {location.database} can only be read from here: `dn status`, `dn report` and `dn export` work, "
            "and `dn import` adds an export to a store of your own"
        )


def copy_into(folder: Path, location: StoreLocation) -> StoreLocation:
    """Return a copy of an embedded store's database in ``folder``; its files are those of the original."""
    database = location.database
    assert database is not None
    copy = folder / database.name
    with database_file.read(database) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    relocation.relocate(copy, database.parent)
    return embedded_at(copy)
