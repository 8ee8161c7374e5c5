"""Pages of sweeps: ``/`` lists them, ``/sweeps/NAME`` is a report, ``/mlflow`` is MLflow's own page.

They are paths of MLflow's application: a request has to pass what it has to pass for MLflow's own. A page is made when
it is asked for, and again when the store has changed since, by a process of its own: the server answers others
meanwhile. Where there is a login, the process reads the store as the user who asks, and what that user may not read is
in no page of theirs.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from flask import Flask, Response, redirect, request, send_file

from dn_distributed.text import one_line, quoted
from tracking import variables
from tracking.errors import DeniedError, NoSweepError, StoreError
from tracking.server import mlflow_internals
from tracking.store import file_lock, ui_view
from tracking.store.location import StoreLocation, locate

_SWEEPS = f"/{ui_view.SWEEPS}"
_MLFLOW = f"/{ui_view.PAGE}"
_SCRIPT = Path(__file__).with_name("mlflow_page.js")
_MAKE = ("-m", "tracking.report")

Login = tuple[str, str]
"""User and password."""


def add_to(application: Flask, environment: Mapping[str, str] = os.environ) -> None:
    """Serve the pages of the store that the environment names; without one leave all as it is."""
    store, folder = environment.get(variables.UI_STORE), environment.get(variables.UI_FOLDER)
    if not store or not folder:
        return
    location = locate(store)
    database = location.database
    state = mlflow_internals.state_of_database if database is None else lambda: state_of_file(database)
    pages = SweepPages(location, Path(folder), state)
    mlflow_internals.move_page(_MLFLOW, _SCRIPT.read_text("utf-8"))
    mlflow_internals.replace_page(lambda: _answer(pages, None))
    application.add_url_rule(f"{_SWEEPS}/<path:name>", "dn_report", lambda name: _answer(pages, name))
    for path, to in ((_SWEEPS, "./"), (f"{_SWEEPS}/", "../")):  # as addresses are shortened by hand
        application.add_url_rule(path, f"dn_{to}", partial(redirect, to), strict_slashes=True)


def is_page(path: str) -> bool:
    """Return whether a path is one of these pages, of which each user sees what they may read."""
    return path in ("/", _MLFLOW, _SWEEPS) or path.startswith(f"{_SWEEPS}/")


def _answer(pages: "SweepPages", name: str | None) -> Response:
    sent = request.authorization
    login = None if sent is None or not sent.username else (sent.username, sent.password or "")
    try:
        page = pages.make(name, login)
    except StoreError as error:
        return _line(str(error), error.http_status)
    if page is None:
        return _line(f"no sweep {quoted(name)} in the store", NoSweepError.http_status)
    return send_file(page, max_age=0, download_name=f"{name or 'sweeps'}.html")


def _line(text: str, status: int) -> Response:
    return Response(f"{one_line(text)}\n", status=status, mimetype="text/plain")


class SweepPages:
    """The pages of a store, in a folder that the processes of a server share. One of them is made at a time."""

    def __init__(self, location: StoreLocation, folder: Path, state: Callable[[], str]) -> None:
        """``state``: returns what changes with everything that is written to the store."""
        self._location, self._folder, self._state = location, folder, state

    def make(self, name: str | None, login: Login | None = None) -> Path | None:
        """Return the report of a sweep as it is now, or without a name the page over all; None of what is no sweep.

        ``login``: as whom a server is asked. StoreError says in a line why a page cannot be made; DeniedError
        that it is not for them.
        """
        if name is not None and any(unicodedata.category(character) == "Cc" for character in name):
            return None  # no sweep is called so, and no process takes a NUL among its words
        shown = hashlib.sha256(json.dumps([login and login[0], name]).encode()).hexdigest()
        page, shows = self._folder / f"{shown}.html", self._folder / f"{shown}.state"
        with file_lock.held(self._folder / "lock"):
            state = self._state()
            if not shows.exists() or shows.read_text("utf-8") != state:
                if not self._write(page, name, login):
                    return None
                shows.write_text(state, encoding="utf-8")
        return page

    def _write(self, page: Path, name: str | None, login: Login | None) -> bool:
        """Put a new page in the place of an old one, which may be on its way to somebody; False: there is no sweep."""
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            words = [sys.executable, *_MAKE, self._location.uri, made, *filter(None, [name])]
            done = subprocess.run(
                words, env=_environment(login), capture_output=True, text=True, errors="replace", check=False
            )
            if done.returncode:
                raise _why_not(name, done)
            if written := done.stdout.strip():
                Path(written).replace(page)
        return bool(written)


def _why_not(name: str | None, done: "subprocess.CompletedProcess[str]") -> StoreError:
    """What a process that could not make a page has said of it, for those who asked for the page."""
    said, status = done.stderr.strip().splitlines(), done.stdout.strip()
    if status == str(DeniedError.http_status):  # its own words name the address by which the server calls itself
        return DeniedError(f"you may not read {'the sweeps' if name is None else f'the sweep {quoted(name)}'}")
    if status == str(NoSweepError.http_status):
        return NoSweepError(said[-1])
    if not status:  # an error that nobody has foreseen: the whole of it into the server's log
        sys.stderr.write(done.stderr)
        return StoreError("the page cannot be made: the server's log says why")
    return StoreError(said[-1])


def _environment(login: Login | None) -> dict[str, str]:
    """The variables of a process that makes a page. It calls no server but this one: by no proxy."""
    user, password = login or ("", "")
    of_login = {variables.TRACKING_USER: user, variables.TRACKING_PASSWORD: password} if login else {}
    return {**os.environ, **of_login, "no_proxy": "*", "NO_PROXY": "*"}


def state_of_file(database: Path) -> str:
    """Return what changes with everything that is written to an SQLite file."""
    return json.dumps([_stamp(path) for path in (database, database.with_name(f"{database.name}-wal"))])


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
