"""One process at a time, of those of one machine."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tracking.errors import StoreError

_PAUSE = 0.1
_SECONDS_TO_WAIT = 600.0  # as long as a migration may take


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of the file ``path``, which is made and stays: it ends with the process at the latest.

    StoreError where another process holds it for minutes. On file systems that know no locks nothing is held.
    """
    # Writable: over NFS the lock is one of bytes, which only a writer may take.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(f"another process has been preparing the store for minutes and holds {path}") from None
            time.sleep(_PAUSE)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return
            raise
