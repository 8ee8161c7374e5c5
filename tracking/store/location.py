"""Where the store is. Default: a folder with a SQLite database and artifacts, no server."""

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracking.errors import StoreError as StoreError
from tracking.store import database_file, file_lock, mlflow_internals, relocation
from tracking.store.relocation import ARTIFACTS
from tracking.variables import TRACKING_PASSWORD, TRACKING_PASSWORD_FILE, TRACKING_URI, TRACKING_USER

if TYPE_CHECKING:  # importing it takes a second, which not all commands need
    from mlflow import MlflowClient
    from requests import Response

FOLDER = "dn-store"
"""Name of the embedded store's folder in the working folder."""

_EITHER_PASSWORD = f"{TRACKING_PASSWORD} or {TRACKING_PASSWORD_FILE}"
_SECONDS_TO_ANSWER = 10
_CHEAP_CALL = "/api/2.0/mlflow/experiments/search?max_results=1"


@dataclass(frozen=True)
class StoreLocation:
    """Where a store is: the address of a server, or of a SQLite file with artifacts beside it."""

    uri: str
    """Of an embedded store ``sqlite:///`` and its path, with %XX for what an address cannot hold."""

    @property
    def database(self) -> Path | None:
        """The SQLite file of an embedded store; None for a server."""
        return database_file.path_in(self.uri) if self.uri.startswith("sqlite:") else None

    @property
    def shown(self) -> str:
        """The store as messages name it: the path of an embedded one."""
        return str(self.database or self.uri)

    @property
    def artifacts(self) -> Path | None:
        """The folder of an embedded store's artifacts; None for a server, which has its own place for them."""
        return self.database.parent / ARTIFACTS if self.database else None

    @property
    def for_mlflow(self) -> str:
        """The address as MLflow takes it."""
        return database_file.for_mlflow(self.uri)

    @property
    def scratch(self) -> Path:
        """Folder for what is needed only while a sweep runs: Ray's experiment folders and checkpoints."""
        folder = self.database.parent if self.database else Path(FOLDER).absolute()
        return folder / "ray"


def locate(tracking_uri: str | None = None, folder: Path | None = None) -> StoreLocation:
    """Return the server at ``tracking_uri``, or the embedded store in ``folder`` (default ``./dn-store``).

    With neither, DN_TRACKING_URI is the address, if it is set. StoreError for an address that is neither http(s) nor
    a SQLite file, or that holds a password: addresses are logged.
    """
    if tracking_uri is None and folder is None:
        tracking_uri = os.environ.get(TRACKING_URI) or None
    if tracking_uri is None:
        return _embedded((folder or Path(FOLDER)).absolute() / "mlflow.db")
    _refuse_password(tracking_uri)
    if tracking_uri.startswith(("http://", "https://")):
        return StoreLocation(tracking_uri)
    if tracking_uri.startswith(database_file.SCHEME):
        return _embedded(database_file.path_in(tracking_uri))
    raise StoreError(
        f"tracking address {tracking_uri!r} is not supported: "
        f"use http://HOST:PORT of an MLflow server or sqlite:///PATH, or leave it out for ./{FOLDER}"
    )


def _embedded(database: Path) -> StoreLocation:
    return StoreLocation(database_file.address(database))


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
            _check_is_store(database)
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
    mlflow_internals.create_database(_embedded(part).for_mlflow, (database.parent / ARTIFACTS).as_uri())
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
    return _embedded(copy)


def is_writable(location: StoreLocation) -> bool:
    """Return whether a store can be written to; of a server that is not known before it is tried."""
    database, artifacts = location.database, location.artifacts
    if database is None or artifacts is None:
        return True
    return os.access(artifacts if artifacts.exists() else artifacts.parent, os.W_OK) and database_file.is_writable(
        database
    )


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


def location_of(client: "MlflowClient") -> StoreLocation:
    """Return where the store of a client is."""
    return StoreLocation(database_file.from_mlflow(str(client.tracking_uri)))


@cache
def connect(location: StoreLocation) -> "MlflowClient":
    """Return the client of the store."""
    log_in()
    if location.database is not None:
        commit_without_waiting()
    from mlflow import MlflowClient

    return MlflowClient(location.for_mlflow)


def locate_answering(tracking_uri: str | None) -> StoreLocation:
    """Return where the store is. StoreError where it is a server that does not answer, or not to us."""
    location = locate(tracking_uri)
    check_answers(location)
    return location


def locate_existing(tracking_uri: str | None) -> StoreLocation:
    """Return where the store is. StoreError where there is none yet."""
    location = locate_answering(tracking_uri)
    check_exists(location)
    return location


def check_exists(location: StoreLocation) -> None:
    """StoreError where an embedded store has not been made."""
    if not exists(location):
        raise StoreError(f"there is no store at {location.database}; run `dn sweep FILE` in this folder first")


def exists(location: StoreLocation) -> bool:
    """Return whether an embedded store has been made; True for a server."""
    return location.database is None or location.database.is_file()


def check_answers(location: StoreLocation) -> None:
    """StoreError where a server does not answer, or not to us, or a file is no store.

    MLflow's own client would try for minutes.
    """
    if location.database is not None:
        if location.database.exists():
            _check_is_store(location.database)
        return
    try:
        answer = ask(location, "GET", _CHEAP_CALL, timeout=_SECONDS_TO_ANSWER)
    except ConnectionError as error:
        raise StoreError(f"no MLflow server answers at {location.uri} ({error})" + _way(location)) from error
    login = mlflow_internals.credentials(location.uri)
    user = login.username if login.password or os.environ.get(TRACKING_PASSWORD_FILE) else None
    said = _refusal(answer.status_code, answer.text, user)
    if said is not None:
        way = _way(location)
        raise StoreError(f"{'what answers for' if way else 'the server at'} {location.uri} {said}{way}")


def _way(location: StoreLocation) -> str:
    """The proxy, if there is one: it may be what has answered."""
    from tracking.store import proxies

    return f" ({way})" if (way := proxies.through(location.uri)) else ""


def _check_is_store(database: Path) -> None:
    with database_file.read(database) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    if not {"experiments", "runs", "tags"} <= names:
        raise StoreError(f"{database} is no store: it is a database of something else, or of nothing yet")


def ask(location: StoreLocation, method: str, path: str, *, timeout: float, **options: Any) -> "Response":
    """Return what a server answers to one request with our login. ConnectionError where it does not answer at once.

    ``options`` as of ``requests.request``.
    """
    log_in()
    from mlflow.exceptions import MlflowException

    try:
        return mlflow_internals.request(location.uri, method, path, timeout=timeout, **options)
    except (MlflowException, OSError, ValueError) as error:
        raise ConnectionError(_reason(error)) from error


def log_in() -> None:
    """Let MLflow's client use the password in the file DN_TRACKING_PASSWORD_FILE, if there is one."""
    if not os.environ.get(TRACKING_PASSWORD_FILE) or os.environ.get(TRACKING_PASSWORD):
        return
    if not os.environ.get(TRACKING_USER):
        missing = f"{TRACKING_USER} is not: name the user whose password it is"
        raise StoreError(f"{TRACKING_PASSWORD_FILE} is set, but {missing}")
    from tracking.store import login

    login.use_password_file()


def _refuse_password(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise StoreError(
            f"the tracking address holds a login: use {parts.scheme}://{parts.netloc.rpartition('@')[2]} and set "
            f"{TRACKING_USER}, and {_EITHER_PASSWORD}"
        )


def _refusal(status: int, text: str, user: str | None) -> str | None:
    """What a server's answer to a harmless question means; None: it is at our service."""
    if status == 200 and text.lstrip().startswith("{"):
        return None
    if status == 401:
        if user is None:
            return f"wants a login: set {TRACKING_USER}, and {_EITHER_PASSWORD}"
        return f"refuses the name or the password of the user {user!r} ({TRACKING_USER}, {_EITHER_PASSWORD})"
    if status == 403 and "Host header" in text:
        return "does not want to be called by this name: start it with the name in --allowed-hosts"
    if status == 403:
        return f"does not let {'us' if user is None else f'the user {user!r}'} read experiments"
    if status in (200, 301, 302, 303, 307, 308, 404):
        return f"is no MLflow server, or stands under another address (it answers {status})"
    return f"answers {status}: {' '.join(text.split())[:200]}"


def _reason(error: BaseException) -> str:
    """What lies under the layers of an HTTP client."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())
