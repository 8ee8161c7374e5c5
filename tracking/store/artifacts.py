"""The files of runs: in the folder beside an embedded store's database, else by MLflow's client."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.store.choice import queries_of
from tracking.store.connection import connect, location_of
from tracking.store.location import StoreLocation

if TYPE_CHECKING:
    from mlflow import MlflowClient


def has(location: StoreLocation, run_id: str, path: str) -> bool:
    """Return whether a run has a file or folder of this name."""
    folder = _folders(location, [run_id])[run_id]
    if folder is not None:
        return (folder / path).exists()
    return any(item.path == path for item in connect(location).list_artifacts(run_id))


def path_of(location: StoreLocation, run_id: str, path: str) -> Path:
    """Return a local path of a run's file or folder; an embedded store's own file is not copied."""
    return paths_of(location, [run_id], path)[0]


def paths_of(location: StoreLocation, run_ids: Sequence[str], path: str) -> list[Path]:
    """Return local paths of the file or folder that several runs have under the same name."""
    folders = _folders(location, run_ids)
    return [_local(location, run_id, path, folders[run_id]) for run_id in run_ids]


@contextlib.contextmanager
def all_of(location: StoreLocation, run_id: str) -> Iterator[Path]:
    """Give a folder with the files of a run; what a server sent is removed afterwards."""
    stored = _folders(location, [run_id])[run_id]
    if stored is not None:
        yield stored
        return
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        yield Path(connect(location).download_artifacts(run_id, "", folder))


def add_folder(store: "MlflowClient", run_id: str, folder: Path, under: str = "") -> None:
    """Give a run the files of a folder, in its folder ``under``."""
    target = _folders(location_of(store), [run_id])[run_id]
    if target is None:
        store.log_artifacts(run_id, str(folder), under or None)
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _put(path, target / under / path.relative_to(folder))


def add_text(store: "MlflowClient", run_id: str, text: str, name: str) -> None:
    """Give a run a file of text."""
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text(text, encoding="utf-8")
        add_folder(store, run_id, Path(folder))


def _put(source: Path, target: Path) -> None:
    """Copy a file; nobody ever sees a part of it under its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _folders(location: StoreLocation, run_ids: Sequence[str]) -> dict[str, Path | None]:
    """By run its folder on this machine; None where MLflow's client has to fetch the files."""
    return queries_of(location).artifact_folders(run_ids)


def _local(location: StoreLocation, run_id: str, path: str, stored: Path | None) -> Path:
    if stored is not None:
        return stored / path
    folder = Path(_downloads().name) / run_id  # of its own: files of the same name must not replace each other
    folder.mkdir(exist_ok=True)
    return Path(connect(location).download_artifacts(run_id, path, str(folder)))


@cache
def _downloads() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of a server, removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="dn-")
