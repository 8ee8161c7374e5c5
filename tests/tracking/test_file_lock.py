"""A lock between processes, as file systems have it."""

import fcntl
from pathlib import Path

import pytest

from tracking.store import file_lock


def test_a_lock_of_bytes_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS has no other: Linux then takes the one for the other, and asks for a file that may be written."""
    monkeypatch.setattr(fcntl, "flock", fcntl.lockf)
    with file_lock.held(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()
