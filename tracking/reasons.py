"""Why a file from elsewhere is refused, in one line."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError

from dn_distributed.text import one_line
from tracking.errors import StoreError

_LONGEST_REASON = 300
_UNREADABLE = (
    ValueError, KeyError, OverflowError, OSError, EOFError, RuntimeError,
    zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile, SafetensorError,
)  # fmt: skip
"""What is raised over zip, JSON and safetensors that are not what they should be."""


@contextlib.contextmanager
def as_store_error(path: Path, part: str = "") -> Iterator[None]:
    """Turn what is raised over the content of ``path`` into a StoreError of one line. ``part``: what of it was read."""
    try:
        yield
    except _UNREADABLE as error:
        text = ": ".join(filter(None, [part, _reason(error)]))
        raise StoreError(f"{path}: {one_line(text, _LONGEST_REASON)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
