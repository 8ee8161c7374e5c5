"""``dn status``. It answers at once: no torch, no Ray, and MLflow only where the store is a server."""

import json
import time
from typing import TYPE_CHECKING

import click

from sweeps.cli import options
from sweeps.console import out
from sweeps.exit_codes import FAILED, OK

if TYPE_CHECKING:
    from tracking.results.status import Status

WATCH_SECONDS = 5.0


@click.command("status")
@options.sweep_name
@click.option("--watch", is_flag=True, help="Keep printing until the sweep is complete.")
@options.as_json
@options.tracking_uri
def command(name: str, watch: bool, as_json: bool, tracking_uri: str | None) -> int:
    """Print how far a sweep is.

    Print what of the sweep NAME is done, running, left and failed, and why, from the store alone: any machine that
    reaches it can ask. Exit code 1 where replicates have failed. For the plan of a file: dn sweep FILE --dry-run.
    """
    if watch and as_json:
        raise click.UsageError("give --watch or --json, not both")
    from rich.live import Live
    from rich.text import Text

    from tracking.results import status
    from tracking.store import access
    from tracking.store.sweep_store import SweepStore

    location = access.locate_existing(tracking_uri)
    sweep = SweepStore.find(location, name)
    found = status.read(sweep)
    if as_json:
        out.say(json.dumps(found.as_json(time.time()), indent=1))
        return _code(found)
    if not watch:
        out.say("\n".join(found.lines(time.time())))
        return _code(found)
    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(Text("\n".join(found.lines(time.time()))), refresh=True)
            if found.done:
                return _code(found)
            time.sleep(WATCH_SECONDS)
            found = status.read(sweep)


def _code(found: "Status") -> int:
    return FAILED if found.count("failed") else OK
