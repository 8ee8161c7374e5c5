"""Logs of the processes that a tracking server consists of."""

import os
from pathlib import Path
from typing import IO

_LIMIT = 10_000_000


def open_log(path: Path) -> IO[bytes]:
    """Open a log to append to; one that has grown large is set aside first, in place of the one before."""
    if path.exists() and path.stat().st_size > _LIMIT:
        path.rename(path.with_name(f"{path.name}.old"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def last_line(path: Path) -> str:
    """Return the last line of a log that says something."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was logged")
