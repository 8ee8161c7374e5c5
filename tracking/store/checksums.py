"""Whether the files of a replicate are still those that were written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tracking import schema

_CHUNK = 1 << 20


def describe(folder: Path) -> str:
    """Return the checksums of a replicate's files, as its tag has them: one each, and one of all its pictures."""
    sums = {path.name: _of_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
    if (folder / schema.PATTERN_FOLDER).is_dir():
        sums[schema.PATTERN_FOLDER] = _of_folder(folder / schema.PATTERN_FOLDER)
    return json.dumps(sums)


def check(folder: Path, name: str, described: str) -> None:
    """ValueError where a replicate's file (or the folder of its pictures) is not what ``described`` says of it.

    An earlier version described nothing: then it need only be there.
    """
    path = folder / name
    if not path.exists():
        raise ValueError(f"{name} is missing")
    expected = read(described).get(name)
    if expected is not None and expected != (_of_folder(path) if path.is_dir() else _of_file(path)):
        raise ValueError(f"{name} is damaged: its checksum is another one")


def damage_note(label: str, seed: int, error: Exception) -> str:
    """Return a sentence that names a method's replicate and the error that ``check`` raised for it."""
    return f"{label}, seed {seed}: {error}."


def read(described: str) -> Mapping[str, str]:
    """Return checksums by name, as ``describe`` gives them; none of an empty text."""
    return dict(json.loads(described)) if described else {}


def _of_folder(folder: Path) -> str:
    """Files whose name begins with a dot are not ours: what a killed worker or a file manager has left."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    lines = [f"{path.name} {_of_file(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
