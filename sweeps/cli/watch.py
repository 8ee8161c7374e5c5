"""``dn status``. It answers at once: no torch, no Ray, and MLflow only where the store is a server."""

import argparse
import time

from rich.live import Live
from rich.text import Text

from sweeps.console import Output
from sweeps.exit_codes import FAILED, OK
from tracking.results import status as tracking_status
from tracking.store import location as store
from tracking.store import runs

WATCH_SECONDS = 5.0


def status(arguments: argparse.Namespace, out: Output) -> int:
    """Print how far a sweep is, with ``--watch`` until it is complete; FAILED where replicates have failed."""
    location = store.locate_existing(arguments.tracking_uri)
    experiment_id = runs.find_experiment(location, arguments.name)
    found = tracking_status.read(location, experiment_id)
    if not arguments.watch:
        out.say("\n".join(found.lines(time.time())))
        return _code(found)
    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(Text("\n".join(found.lines(time.time()))), refresh=True)
            if found.done:
                return _code(found)
            time.sleep(WATCH_SECONDS)
            found = tracking_status.read(location, experiment_id)


def _code(found: tracking_status.Status) -> int:
    return FAILED if found.count("failed") else OK
