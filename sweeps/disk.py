"""Errors that come of a full disk, named as such: libraries report files that end too early, or nothing at all."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from dn_distributed.text import with_class
from tracking.errors import StoreError

FULL = 1 << 20
"""A disk counts as full with fewer bytes left than this."""


@contextlib.contextmanager
def explain_full_disk(*folders: Path) -> Iterator[None]:
    """Raise StoreError for any error of the ``with`` block while the disk of one of these folders is full."""
    try:
        yield
    except Exception as error:
        for folder in folders:
            if _bytes_left(folder) < FULL:
                remedy = "make room and run the same command to go on"
                raise StoreError(f"the disk of {folder} is full; {remedy} ({with_class(error)})") from error
        raise


def _bytes_left(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("inf")  # not there: nothing is written to it
