"""``dn export``."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli import options
from sweeps.console import out
from sweeps.exit_codes import OK

if TYPE_CHECKING:
    from tracking.store.runs import State


@click.command("export")
@options.sweep_name
@click.argument("file", type=options.PATH, metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it is there already.")
@options.tracking_uri
def command(name: str, file: Path, force: bool, tracking_uri: str | None) -> int:
    """Write a sweep to one file, for another store.

    Write what the store holds of the sweep NAME to the zip FILE: figures, curves, weights, masks and pictures of every
    replicate that is decided. `dn import` adds it to another store. Files of `dn compact` are left out: it makes them
    again.
    """
    from tracking.portable import exporting
    from tracking.store import access

    done = exporting.export(access.locate_existing(tracking_uri), name, file, out.track, force=force)
    undecided = f"; {done.undecided} without a result are left out" * bool(done.undecided)
    why = "whose configuration this store does not know (of an earlier version, or deleted in the UI) are left out"
    unknown = f"; {done.unknown} {why}" * bool(done.unknown)
    out.say(f"{file}: {done.states.total()} replicates, {failed_in_words(done.states)}{undecided}{unknown}")
    if done.compacted:
        out.say(f"smaller networks are left out ({done.compacted}): `dn compact` makes them again")
    return OK


def failed_in_words(states: "Counter[State]") -> str:
    """Return how many of the replicates of a file have no result, and why."""
    stopped = f", {states['stopped']} stopped early" * bool(states["stopped"])
    return f"{states['failed']} of them failed{stopped}"
