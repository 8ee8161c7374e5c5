"""The pages of ``dn ui``: ``/`` lists the sweeps, ``/sweeps/NAME`` is a report, ``/mlflow`` is MLflow's own page.

They are paths of MLflow's application: a request has to pass what it has to pass for MLflow's own. A page is made when
it is asked for, and again when the store has changed since, by a process of its own: the server answers others
meanwhile.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from flask import Flask, Response, send_file

from tracking import variables
from tracking.errors import StoreError
from tracking.server import mlflow_internals
from tracking.store import ui_view
from tracking.store.location import StoreLocation, locate
from tracking.store.sweep_store import SweepStore

_SWEEPS = "/sweeps"
_INDEX, _REPORT = "index.html", "report.html"
_MAKE = ("-m", "tracking.report")

_State = tuple[tuple[int, int] | None, ...]


def add_to(application: Flask, environment: Mapping[str, str] = os.environ) -> None:
    """Serve the pages of the store that ``dn ui`` has named in the environment; without one leave all as it is."""
    store, folder = environment.get(variables.UI_STORE), environment.get(variables.UI_FOLDER)
    if not store or not folder:
        return
    pages = SweepPages(locate(store), Path(folder))
    mlflow_internals.move_page(f"/{ui_view.PAGE}")
    mlflow_internals.replace_page(lambda: _answer(pages, None))
    application.add_url_rule(f"{_SWEEPS}/<path:name>", "dn_report", lambda name: _answer(pages, name))


def _answer(pages: "SweepPages", name: str | None) -> Response:
    try:
        page = pages.make(name)
    except StoreError as error:
        return Response(f"{error}\n", status=500, mimetype="text/plain")
    if page is None:
        return Response(f"no sweep {name!r} in the store\n", status=404, mimetype="text/plain")
    return send_file(page, max_age=0)


class SweepPages:
    """The pages of an embedded store, in a folder. One of them is made at a time."""

    def __init__(self, location: StoreLocation, folder: Path) -> None:
        self._location, self._folder = location, folder
        self._made: dict[Path, _State] = {}
        """The state of the store that each page shows."""
        self._lock = Lock()

    def make(self, name: str | None) -> Path | None:
        """Return the report of a sweep as it is now, or without a name the page over all; None of what is no sweep.

        StoreError says in a line why a page cannot be made.
        """
        if name is not None and SweepStore.find_or_none(self._location, name) is None:
            return None
        folder = self._folder / ("sweeps" if name is None else hashlib.sha256(name.encode()).hexdigest())
        page = folder / (_INDEX if name is None else _REPORT)
        with self._lock:
            state = self._state()
            if self._made.get(page) != state:
                words = [sys.executable, *_MAKE, self._location.uri, str(folder), *filter(None, [name])]
                done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
                if done.returncode:
                    raise StoreError((done.stderr.strip().splitlines() or ["the page cannot be made"])[-1])
                self._made[page] = state
        return page

    def _state(self) -> _State:
        """What changes with everything that is written to the database."""
        database = self._location.database
        assert database is not None
        return tuple(_stamp(path) for path in (database, database.with_name(f"{database.name}-wal")))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
