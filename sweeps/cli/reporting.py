"""``dn report``. Torch is imported only where a figure needs it, and Ray never."""

import argparse
from pathlib import Path

from sweeps.console import Output, tell
from sweeps.planning.data_dir import resolve_data_dir
from tracking.report import write as tracking_report
from tracking.store import location as store
from tracking.store.location import StoreLocation


def report(arguments: argparse.Namespace, out: Output) -> int:
    """Write tables, figures and one page."""
    if arguments.rows is not None:
        _say(tracking_report.write_from_rows(arguments.rows, arguments.out), out)
        return 0
    location = store.locate_existing(arguments.tracking_uri)
    write(location, arguments.name, arguments.out, arguments.data_dir, out)
    return 0


def write(location: StoreLocation, name: str, folder: Path, data_dir: Path | None, out: Output) -> None:
    """Write the report of the sweep ``name`` to ``folder`` and say where it is."""
    _say(tracking_report.write(location, name, folder, resolve_data_dir(data_dir), tell), out)


def _say(page: Path, out: Output) -> None:
    out.say(f"report: {page}")
