"""The sweep files that come with the package, by name: ``demo/regression`` is there from any folder."""

import difflib
import os
from functools import cache
from pathlib import Path

from sweeps.errors import SpecError

_PACKAGE = Path(__file__).parents[1]
_FOLDERS = ("demo", "paper", "recipes", "compact", "more", "rivals", "questions")
_FEW = 5


@cache
def names() -> tuple[str, ...]:
    """Return the names of all of them, as ``demo/regression``."""
    return tuple(f"{folder}/{path.stem}" for folder in _FOLDERS for path in sorted((_PACKAGE / folder).glob("*.yaml")))


def find(path: Path) -> Path:
    """Return the shipped file that ``path`` names where there is no such file, and else ``path`` as it is.

    SpecError, with names like it, where it looks like one of them and is none.
    """
    name = path.as_posix().removesuffix(".yaml")
    if os.path.exists(path) or path.is_absolute() or path.suffix not in ("", ".yaml"):
        return path
    if name in names():
        return _PACKAGE / f"{name}.yaml"
    if path.suffix == "" and path.parts[:1] and path.parts[0] in _FOLDERS:
        of_folder = [other for other in names() if other.startswith(f"{path.parts[0]}/")]
        like = difflib.get_close_matches(name, names(), n=_FEW) or of_folder[:_FEW]
        raise SpecError(f"{path}: neither a file nor a shipped sweep; shipped are, among others, {', '.join(like)}")
    return path
