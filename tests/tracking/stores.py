"""Real stores without the seconds that a schema takes: copies of an empty one."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tracking.store import location as store
from tracking.store.location import StoreLocation


def copy_of(empty: StoreLocation, folder: Path) -> StoreLocation:
    """A store in ``folder``, with what is in the database of ``empty``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = store.locate(folder=folder)
    assert empty.database is not None
    assert made.database is not None
    with closing(sqlite3.connect(empty.database)) as source, closing(sqlite3.connect(made.database)) as target:
        source.backup(target)
    return made
