"""Where a store is: by default a folder with a SQLite database and artifacts, no server; else a server's address."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tracking.errors import StoreError
from tracking.store import database_file
from tracking.store.relocation import ARTIFACTS
from tracking.variables import TRACKING_PASSWORD, TRACKING_PASSWORD_FILE, TRACKING_URI, TRACKING_USER

FOLDER = "dn-store"
"""Name of the embedded store's folder in the working folder."""
EITHER_PASSWORD = f"{TRACKING_PASSWORD} or {TRACKING_PASSWORD_FILE}"
"""The variables of which one gives the password, as messages name them."""


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

    With neither, DN_TRACKING_URI is the address, if it is set. An address may be a folder that is there. StoreError for
    one that is neither that nor http(s) nor a SQLite file, or that holds a password: addresses are logged.
    """
    if tracking_uri is None and folder is None:
        tracking_uri = os.environ.get(TRACKING_URI) or None
    if tracking_uri is None:
        return _in_folder(folder or Path(FOLDER))
    _refuse_password(tracking_uri)
    if tracking_uri.startswith(("http://", "https://")):
        return StoreLocation(tracking_uri)
    if tracking_uri.startswith(database_file.SCHEME):
        return embedded_at(database_file.path_in(tracking_uri))
    if tracking_uri and (as_folder := Path(tracking_uri).expanduser()).is_dir():
        return _in_folder(as_folder)
    raise StoreError(
        f"tracking address {tracking_uri!r} is not supported: "
        f"use http://HOST:PORT of an MLflow server, sqlite:///PATH or a folder that is there, or leave it out "
        f"for ./{FOLDER}"
    )


def embedded_at(database: Path) -> StoreLocation:
    """Return the location of the embedded store with this SQLite file."""
    return StoreLocation(database_file.address(database))


def _in_folder(folder: Path) -> StoreLocation:
    return embedded_at(folder.absolute() / "mlflow.db")


def _refuse_password(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise StoreError(
            f"the tracking address holds a login: use {parts.scheme}://{parts.netloc.rpartition('@')[2]} and set "
            f"{TRACKING_USER}, and {EITHER_PASSWORD}"
        )
