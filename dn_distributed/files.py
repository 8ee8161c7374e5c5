"""Files that the user names: only regular ones are read and replaced, never a device, a pipe or a socket."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open the regular file ``path``, or what a link of that name leads to, for reading bytes.

    OSError for anything else: a pipe that nobody writes to would be waited for without end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_regular(found: os.stat_result) -> None:
    """OSError where this is no regular file."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def check_replaceable(path: Path) -> None:
    """OSError where ``path`` is there and no regular file: a new file must not take its place."""
    try:
        check_regular(path.stat())
    except FileNotFoundError:
        return


def check_folder(path: Path) -> None:
    """OSError where files cannot be written into the folder ``path``, which may have to be made."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{there} may not be written to")
