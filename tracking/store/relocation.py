"""A store that lies elsewhere than when it was written: moved, copied, or seen from a container.

MLflow records of every experiment and run where its files are, as an absolute address. Nothing here believes it: files
are read and written beside the database. MLflow's UI does, so the records are put right when the store is written to.
"""

import sqlite3
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tracking.store import database_file

ARTIFACTS = "artifacts"
"""Name of the folder beside the database, and of a run's own folder."""


def path_of(database: Path, recorded: str) -> Path | None:
    """Return the folder of a run's files beside ``database``, by the address that MLflow has recorded of it.

    The recorded path where that is no place of ours (``…/artifacts/EXPERIMENT/RUN/artifacts``); None where the address
    is not of a file system.
    """
    path = _path(recorded)
    if path is None:
        return None
    if path.parts[-4:-3] == (ARTIFACTS,) and path.name == ARTIFACTS:
        return database.parent.joinpath(*path.parts[-4:])
    return Path(path)


def relocate(database: Path, home: Path) -> None:
    """Have the records of MLflow say that the files lie in ``home``; others than those of our places stay as they are.

    Nothing is written where they say so already.
    """
    with database_file.read(database) as connection:
        moved = _moved(home, connection)
    if not moved:
        return
    with database_file.write(database) as connection:
        for experiment_id, old, new in _moved(home, connection):
            connection.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?) where experiment_id = ? "
                "and substr(artifact_uri, 1, ?) = ?",
                [f"{new}/", len(old) + 2, experiment_id, len(old) + 1, f"{old}/"],
            )
            connection.execute(
                "update experiments set artifact_location = ? where experiment_id = ?", [new, experiment_id]
            )


def _moved(home: Path, connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    """Id, recorded address and present one of the experiments of ours whose files are recorded elsewhere."""
    found = []
    ours = (
        "select experiment_id, name, artifact_location, exists (select 1 from runs join tags using (run_uuid) "
        "where runs.experiment_id = experiments.experiment_id and tags.key = 'dn.kind') from experiments"
    )
    for experiment_id, name, recorded, has_runs in connection.execute(ours).fetchall():
        path = _path(recorded or "")
        if path is None or path.parent.name != ARTIFACTS:
            continue
        now = (home / ARTIFACTS / path.name).as_uri()
        if now != recorded and (has_runs or path.name in (name, str(experiment_id))):
            found.append((experiment_id, recorded, now))
    return found


def _path(recorded: str) -> PurePosixPath | None:
    """The path in a recorded address: a ``file:`` URI, or a path as it is; None for others."""
    parts = urlsplit(recorded)
    if parts.scheme not in ("", "file"):
        return None
    return PurePosixPath(unquote(parts.path) if parts.scheme else recorded)
