"""``dn import``."""

from pathlib import Path

import click

from sweeps.cli import options
from sweeps.cli.export import failed_in_words
from sweeps.console import notify, out
from sweeps.exit_codes import OK


@click.command("import")
@click.argument("file", type=options.PATH, metavar="FILE")
@options.imports
@options.tracking_uri
def command(file: Path, imports: tuple[str, ...], tracking_uri: str | None) -> int:
    """Add a sweep from a file of dn export to the store.

    Add the replicates of the zip FILE, which `dn export` wrote, to the store. The file is checked whole before anything
    is written. What the store holds already stays as it is; interrupted, run it again.
    """
    from sweeps.spec.own_modules import own_modules
    from tracking.portable import importing
    from tracking.store import access

    own_modules(imports).load()
    done = importing.import_file(access.locate_answering(tracking_uri), file, out.track, notify)
    counts = f"{done.written.total()} replicates imported, {failed_in_words(done.written)}"
    out.say(f"{done.name}: {counts}; {done.present} were there already")
    return OK
