"""``dn list``. As ``dn status``, it imports no torch and no Ray."""

import json
import time

import click

from sweeps.cli import options
from sweeps.console import notify, out
from sweeps.exit_codes import OK


@click.command("list")
@options.as_json
@options.tracking_uri
def command(as_json: bool, tracking_uri: str | None) -> int:
    """Print the sweeps of a store, and how far each is.

    One line for each, by name. `dn status NAME` says more of one.
    """
    from tracking.results import status
    from tracking.store import access

    now = time.time()
    found = status.read_all(access.locate_existing(tracking_uri), notify)
    if as_json:
        out.say(json.dumps([item.as_json(now) for item in found], indent=1))
    else:
        out.say("\n".join(item.lines(now)[0] for item in found) or "the store holds no sweep")
    return OK
