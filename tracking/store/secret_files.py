"""Secrets: given by the environment or by files, kept in files that only their owner can read."""

import os
import secrets
import stat
from pathlib import Path

from dn_distributed.files import open_regular
from tracking.errors import StoreError

_MOST_BYTES = 1 << 16


def secret_from_env(name: str) -> str | None:
    """Return the secret in the variable ``name``, or in the file that ``name_FILE`` names; None without either.

    StoreError where both are set, or the file is absent, empty, or open to other users.
    """
    value, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if value and file:
        raise StoreError(f"{name} and {name}_FILE are both set: unset one")
    return read(Path(file), f"{name}_FILE") if file else value or None


def read(path: Path, named_by: str) -> str:
    """Return the secret in ``path``, without the line's end; StoreError as ``secret_from_env``."""
    path = Path(os.path.expanduser(path))
    try:
        with open_regular(path) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_MOST_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{named_by}: cannot read {path} ({getattr(error, 'strerror', None) or error})") from error
    if mode & 0o077:
        raise StoreError(f"{named_by}: other users can open {path} (mode {mode:o}): chmod 600 {path}")
    if not text:
        raise StoreError(f"{named_by}: {path} is empty")
    return text


def load_or_create_secret(path: Path) -> str:
    """Return the secret in ``path``, drawn and written there once."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32))
    return read(path, "secret")


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can open, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.rename(path)
