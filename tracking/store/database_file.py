"""A SQLite database as a file: its address, how it is opened, and what is wrong with it, in one line."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import copyfile
from urllib.parse import quote, unquote, urlsplit

from tracking.errors import StoreError

SCHEME = "sqlite:///"
_SECONDS_TO_WAIT = 20.0  # for a writer, as MLflow does
_UNUSABLE = {
    sqlite3.SQLITE_NOTADB: "is no SQLite database, or is damaged",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_READONLY: "can only be read",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "cannot be opened",
    sqlite3.SQLITE_FULL: "has no room left",
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_IOERR: "cannot be read or written",
}


def address(database: Path) -> str:
    """Return the address of a database, whatever characters its folder has. StoreError where they are no text."""
    try:
        return SCHEME + quote(str(database))
    except UnicodeEncodeError as error:
        folder = ascii(str(database.parent))
        raise StoreError(f"the name of the folder {folder} is not UTF-8, which MLflow needs") from error


def path_in(address_: str) -> Path:
    """Return the absolute path of the database at a SQLite address. StoreError where it names no file."""
    parts = urlsplit(address_)
    if parts.query or parts.fragment:
        raise StoreError(f"the tracking address {address_!r} has options: write ? as %3F, and # as %23")
    path = Path(unquote(address_.removeprefix(SCHEME)))
    if path.name in ("", ".."):
        raise StoreError(f"the tracking address {address_!r} names no file: use {SCHEME}PATH")
    return path.absolute()


def for_mlflow(address_: str) -> str:
    """Return an address by which MLflow opens the same file.

    It would take ``sqlite:///`` and make the folders that stand there, without the meaning of ``%``.
    """
    return address_.replace("sqlite:", "sqlite+pysqlite:", 1)


def from_mlflow(address_: str) -> str:
    """Return the address that ``for_mlflow`` was given."""
    return address_.replace("sqlite+pysqlite:", "sqlite:", 1)


@contextlib.contextmanager
def read(database: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that can only read; all that it reads is of one moment, whatever is written meanwhile.

    StoreError in one line where the file cannot be read. ``sqlite3.OperationalError`` for tables that are not there.
    """
    with as_store_error(database), contextlib.closing(_open_to_read(database)) as connection:
        yield connection


@contextlib.contextmanager
def write(database: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection in a transaction that is committed at the end: nobody else writes meanwhile.

    StoreError in one line where the file cannot be written to.
    """
    uri = f"file:{quote(str(database))}?mode=rw"
    with as_store_error(database), contextlib.closing(_connect(uri)) as connection:
        connection.execute("pragma synchronous=NORMAL")  # as ``connection.commit_without_waiting`` has it
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")


def is_writable(database: Path) -> bool:
    """Return whether the file can be written to. StoreError in one line where something else is wrong with it."""
    try:
        with write(database):
            return True
    except StoreError as error:
        code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return False
        raise


@contextlib.contextmanager
def as_store_error(database: Path) -> Iterator[None]:
    """Raise StoreError, in one line, for an unusable database file. Errors of a statement stay as they are."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store {database} cannot be opened ({error.strerror or error})") from error
    except sqlite3.DatabaseError as error:
        what = _UNUSABLE.get(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF)
        if what is None:
            raise
        raise StoreError(f"the store {database} {what} ({error})") from error


def _open_to_read(database: Path) -> sqlite3.Connection:
    """A connection, in a transaction.

    A database with a write-ahead log needs files beside it that a reader without the right to write cannot make. Where
    there is no log, nobody writes, and the file can be read as it is; else a copy of both is read.
    """
    uri = f"file:{quote(str(database))}"
    try:
        return _begin_reading(f"{uri}?mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        with open(database, "rb"):  # else that is the reason
            pass
    log = _log_of(database)
    if not log.exists() or not log.stat().st_size:
        return _begin_reading(f"{uri}?mode=ro&immutable=1")
    folder = Path(_copies().name)
    for path in (database, log):
        copyfile(path, folder / path.name)
    return _begin_reading(f"file:{quote(str(folder / database.name))}?mode=rw")


def _begin_reading(uri: str) -> sqlite3.Connection:
    connection = _connect(uri)
    try:
        connection.execute("begin")
        connection.execute("select 1 from sqlite_master limit 1").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_SECONDS_TO_WAIT, isolation_level=None)


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    """A folder for copies, removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="dn-")
