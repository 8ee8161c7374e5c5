"""Where the store is. Default: a folder with a SQLite database and artifacts, no server."""

import logging
import os
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:  # importing it takes a second, which not all commands need
    from mlflow import MlflowClient
    from mlflow.utils.rest_utils import MlflowHostCreds
    from requests import Response

FOLDER = "dn-store"
"""Name of the embedded store's folder in the working folder."""

ADDRESS = "DN_TRACKING_URI"
"""Variable with the address of the store, for where none is given."""

USER, PASSWORD, PASSWORD_FILE = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "DN_TRACKING_PASSWORD_FILE"
"""Variables for the login at a server: two that MLflow's client reads itself, and a file in place of the second."""


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""


_SECONDS_TO_ANSWER = 10
_CHEAP_CALL = "/api/2.0/mlflow/experiments/search?max_results=1"


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

    With neither, DN_TRACKING_URI is the address, if it is set. StoreError for an address that is neither http(s) nor
    a SQLite file, or that holds a password: addresses are logged.
    """
    if tracking_uri is None and folder is None:
        tracking_uri = os.environ.get(ADDRESS) or None
    if tracking_uri is None:
        root = (folder or Path(FOLDER)).absolute()
        return StoreLocation(f"sqlite:///{root / 'mlflow.db'}", (root / "artifacts").as_uri())
    _refuse_password(tracking_uri)
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


def location_of(client: "MlflowClient") -> StoreLocation:
    """Return where the store of a client is."""
    return StoreLocation(str(client.tracking_uri))


@cache
def connect(location: StoreLocation) -> "MlflowClient":
    """Return the client of the store."""
    log_in()
    if location.database is not None:
        commit_without_waiting()
    from mlflow import MlflowClient

    return MlflowClient(location.uri)


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
    """StoreError where a server does not answer, or not to us: MLflow's own client would try for minutes."""
    if location.database is not None:
        return
    try:
        answer = ask(location, "GET", _CHEAP_CALL, timeout=_SECONDS_TO_ANSWER)
    except ConnectionError as error:
        raise StoreError(f"no MLflow server answers at {location.uri} ({error})" + _way(location)) from error
    login = _login(location)
    user = login.username if login.password or os.environ.get(PASSWORD_FILE) else None
    said = _refusal(answer.status_code, answer.text, user)
    if said is not None:
        way = _way(location)
        raise StoreError(f"{'what answers for' if way else 'the server at'} {location.uri} {said}{way}")


def _way(location: StoreLocation) -> str:
    """The proxy, if there is one: it may be what has answered."""
    from tracking import proxies

    return f" ({way})" if (way := proxies.through(location.uri)) else ""


def ask(location: StoreLocation, method: str, path: str, *, timeout: float, **options: Any) -> "Response":
    """Return what a server answers to one request with our login. ConnectionError where it does not answer at once.

    ``options`` as of ``requests.request``.
    """
    log_in()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import http_request

    once = {"max_retries": 0, "raise_on_status": False, "allow_redirects": False}
    try:
        return http_request(_login(location), path, method, timeout=timeout, **once, **options)  # type: ignore[no-any-return, no-untyped-call]
    except (MlflowException, OSError, ValueError) as error:
        raise ConnectionError(_reason(error)) from error


def _login(location: StoreLocation) -> "MlflowHostCreds":
    from mlflow.utils.credentials import get_default_host_creds

    return get_default_host_creds(location.uri)  # type: ignore[no-any-return, no-untyped-call]


def log_in() -> None:
    """Let MLflow's client use the password in the file DN_TRACKING_PASSWORD_FILE, if there is one."""
    if not os.environ.get(PASSWORD_FILE) or os.environ.get(PASSWORD):
        return
    if not os.environ.get(USER):
        raise StoreError(f"{PASSWORD_FILE} is set, but {USER} is not: name the user whose password it is")
    from tracking import login

    login.use_password_file()


def _refuse_password(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise StoreError(
            f"the tracking address holds a login: use {parts.scheme}://{parts.netloc.rpartition('@')[2]} and set "
            f"{USER}, and {PASSWORD} or {PASSWORD_FILE}"
        )


def _refusal(status: int, text: str, user: str | None) -> str | None:
    """What a server's answer to a harmless question means; None: it is at our service."""
    if status == 200 and text.lstrip().startswith("{"):
        return None
    if status == 401:
        if user is None:
            return f"wants a login: set {USER}, and {PASSWORD} or {PASSWORD_FILE}"
        return f"refuses the name or the password of the user {user!r} ({USER}, {PASSWORD} or {PASSWORD_FILE})"
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


def _quiet_migrations() -> None:
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store"):
        logging.getLogger(name).setLevel(logging.ERROR)
