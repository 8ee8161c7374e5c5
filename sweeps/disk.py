"""A full disk is told as what it is: libraries tell of files that end too early, or of nothing."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tracking.store.location import StoreError

FULL = 1 << 20
"""With fewer bytes left than this, what goes wrong is the disk's doing."""


@contextlib.contextmanager
def full_disk_told(*folders: Path) -> Iterator[None]:
    """StoreError for whatever goes wrong in the ``with`` block while the disk of one of these folders is full."""
    try:
        yield
    except Exception as error:
        for folder in folders:
            if _bytes_left(folder) < FULL:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise StoreError(
                    f"the disk of {folder} is full; make room and run the same command to go on ({reason})"
                ) from error
        raise


def _bytes_left(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("inf")  # not there: nothing is written to it
