"""Options that several verbs share, and the types of their values: a wrong value ends the command before any work."""

import glob
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dn_distributed.files import check_folder
from dn_distributed.text import quoted


class Checked(click.ParamType[Any]):
    """A value that a function reads from text; its ValueError is the message."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        """``name`` is what the value is, for the documentation of the command line."""
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that the text is. BadParameter if it is none."""
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave files and folders to the shell."""
        kind = {"path": "file", "folder": "dir"}.get(self.name)
        return [CompletionItem(incomplete, type=kind)] if kind else []


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))


def _folder(text: str) -> Path:
    path = _path(text)
    try:
        check_folder(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return path


def whole(low: int, high: int) -> Checked:
    """Return the type of a whole number of a range."""

    def read(text: str | int) -> int:
        try:
            value = int(text) if len(str(text)) < 20 else high + 1
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, not {quoted(text)}")
        return value

    return Checked("whole number", read)


def _seconds(text: str | float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"expected a number of seconds, 0 or more, not {quoted(text)}")
    return value


PATH = Checked("path", _path)
"""A path; ``~`` at its beginning is the home, also where a shell has left it (``--out=~/x``)."""
FOLDER = Checked("folder", _folder)
"""A folder to write to, which is made when it is needed: whether that can be is known now."""
SECONDS = Checked("seconds", _seconds)
PORT = whole(1, 65535)
NUM_CPUS = whole(1, 100_000)
NUM_WORKERS = whole(1, 1000)

tracking_uri = click.option(
    "--tracking-uri",
    metavar="URI",
    help="Address of an MLflow server (http://HOST:PORT), or a folder that is there.  [default: $DN_TRACKING_URI, else "
    "the folder ./dn-store is the store]",
)
data_dir = click.option(
    "--data-dir",
    type=PATH,
    metavar="DIR",
    help="Folder of the image datasets, in torchvision's layout.  [default: $DN_DATA_DIR, else ./data]",
)
imports = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="Python module to import first: it registers tasks, datasets or penalties of your own. May be repeated.",
)


def task(what: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Return ``--task``, which says ``what`` a file is of."""
    as_in_files = "A name, or '{name: lenet5, filters: true}' with options as in a sweep file."
    return click.option("--task", metavar="TASK", help=f"{what}. {as_in_files}")


def _names_of_sweeps(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the sweeps of the store whose names begin so, for the completion of a shell: it is silent on errors."""
    from tracking.store import access
    from tracking.store.sweep_store import SweepStore

    try:
        names = SweepStore.names(access.locate_existing(context.params.get("tracking_uri")))
    except Exception:
        return []
    return [name for name in names if name.startswith(begun)]


class SweepFiles(Checked):
    """Paths of sweep files, and the names of those that come with the package."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the names that begin so, beside files and folders; where none does, leave these to the shell."""
        from sweeps.spec import shipped

        named = [name for name in shipped.names() if name.startswith(incomplete)]
        # A shell that is given words looks for no files of its own.
        files = sorted(map(str, Path().glob(f"{glob.escape(incomplete)}*"))) if named else []
        return [*super().shell_complete(ctx, param, incomplete), *map(CompletionItem, [*named, *files])]


SWEEP_FILES = SweepFiles("path", _path)
sweep_name = click.argument("name", metavar="NAME", shell_complete=_names_of_sweeps)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
