"""``dn report``. Torch is imported only where a figure needs it, and Ray never."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli import options
from sweeps.console import notify, out
from sweeps.exit_codes import OK

if TYPE_CHECKING:
    from tracking.store.location import StoreLocation


@click.command("report")
@click.argument("name", metavar="NAME", required=False)
@click.option(
    "--from",
    "rows",
    type=options.PATH,
    metavar="ROWS",
    help="Rebuild the tables from the rows.json of an earlier report instead of a sweep's NAME; needs no store.",
)
@click.option(
    "--out", "folder", type=options.FOLDER, required=True, metavar="DIR", help="Folder to write to; made if absent."
)
@options.data_dir
@options.imports
@options.as_json
@options.tracking_uri
def command(
    name: str | None,
    rows: Path | None,
    folder: Path,
    data_dir: Path | None,
    imports: tuple[str, ...],
    as_json: bool,
    tracking_uri: str | None,
) -> int:
    """Write tables, figures and one self-contained page about a sweep.

    Compute tables and figures of the sweep NAME from the store alone, write them to a folder, and attach them to the
    sweep's report run. Without NAME, write index.html: one page over all sweeps of the store, with links to the reports
    in folders of the same names beside it.
    """
    if name is not None and rows is not None:
        raise click.UsageError("give the NAME of a sweep or --from ROWS, not both")
    from sweeps.spec.own_modules import own_modules
    from tracking import report as writer
    from tracking.store import access

    own_modules(imports).load()
    if rows is not None:
        page = writer.write_from_rows(rows, folder)
    elif name is not None:
        page = _write(access.locate_existing(tracking_uri), name, folder, data_dir)
    else:
        page = writer.write_index(access.locate_existing(tracking_uri), folder, notify)
    out.say(json.dumps({"report": str(page)}) if as_json else f"report: {page}")
    return OK


def write(location: "StoreLocation", name: str, folder: Path, data_dir: Path | None) -> None:
    """Write the report of the sweep ``name`` to ``folder`` and say where it is."""
    out.say(f"report: {_write(location, name, folder, data_dir)}")


def _write(location: "StoreLocation", name: str, folder: Path, data_dir: Path | None) -> Path:
    from sweeps.planning.data_dir import resolve_data_dir
    from tracking import report as writer

    return writer.write(location, name, folder, resolve_data_dir(data_dir), notify)
