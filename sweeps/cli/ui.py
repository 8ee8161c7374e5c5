"""``dn ui``: the sweeps of a store and MLflow's own UI, on the loopback address."""

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli import options
from sweeps.console import notify, out
from sweeps.exit_codes import OK

if TYPE_CHECKING:
    from tracking.store.location import StoreLocation

_LOOPBACK = "127.0.0.1"


@click.command("ui")
@click.option("--port", type=options.PORT, default=5000, show_default=True, metavar="N", help=f"Port on {_LOOPBACK}.")
@options.tracking_uri
def command(port: int, tracking_uri: str | None) -> int:
    """Open the sweeps of the store and the MLflow UI, on this machine only.

    Serve the page over all sweeps of the embedded store, their reports and the MLflow UI on the loopback address until
    Ctrl-C.
    """
    from tracking.server import mlflow_process
    from tracking.store import access, embedded, ui_view

    location = access.locate_answering(tracking_uri)
    if location.database is None:
        out.say(f"the server at {location.uri} has its own UI:")
        _print_links(location, ui_view.page_of(location.uri))
        return OK
    access.check_exists(location)
    mlflow_process.check_port_is_free(_LOOPBACK, port)
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        if embedded.is_writable(location):
            embedded.prepare(location)
            shown = location
        else:
            shown = embedded.copy_into(Path(folder), location)
            notify("the store can only be read: a copy is shown, as it is now, and what is changed in it is not kept")
        return _serve(shown, location, port, Path(folder))


def _serve(shown: "StoreLocation", location: "StoreLocation", port: int, folder: Path) -> int:
    """Serve the database of ``shown`` with the artifacts of ``location`` until a signal ends it.

    ``folder``: for the pages that are made. StoreError where the server ends by itself.
    """
    from sweeps.planning.data_dir import resolve_data_dir
    from tracking import variables
    from tracking.server import mlflow_process
    from tracking.server.supervisor import ended_by_signals
    from tracking.store import ui_view

    names = mlflow_process.loopback_names(port)
    command = mlflow_process.command(_LOOPBACK, port, 1, names)
    assert location.artifacts is not None
    for option in ("--default-artifact-root", "--artifacts-destination"):
        command += [option, location.artifacts.as_uri()]
    of_pages = {
        variables.UI_STORE: location.uri,
        variables.UI_FOLDER: str(folder),
        variables.DATA_DIR: str(resolve_data_dir(None)),
    }
    environment = mlflow_process.environment(shown.for_mlflow, of_pages)
    server = mlflow_process.MlflowServer(command, environment, folder / "mlflow.log")
    with ended_by_signals() as check_signals, contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        server.wait_until_ready(_LOOPBACK, port)
        address = f"http://{names[0]}"
        out.say(f"sweeps: {address}  (Ctrl-C ends it)")
        out.say(f"MLflow UI: {address}/{ui_view.PAGE}")
        _print_links(shown, f"{address}/{ui_view.PAGE}")
        server.wait(check_signals)
    return OK


def _print_links(location: "StoreLocation", page: str) -> None:
    """Where the UI, whose page is at ``page``, opens each sweep on the comparison of its methods."""
    from tracking.store import ui_view
    from tracking.store.connection import connect

    for experiment in connect(location).search_experiments():
        if ui_view.TAG in experiment.tags:
            link = ui_view.link(page, experiment.experiment_id)
            out.say(f"  {experiment.name}: {link}")
