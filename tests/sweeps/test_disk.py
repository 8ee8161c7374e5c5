"""On a full disk the message is the disk."""

from pathlib import Path

import pytest

from sweeps import disk
from tracking.errors import StoreError


def test_what_goes_wrong_on_a_full_disk_is_its_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "FULL", float("inf"))
    with (
        pytest.raises(StoreError, match=rf"the disk of {tmp_path} is full; .* \(EOFError: Ran out of input\)"),
        disk.explain_full_disk(tmp_path / "absent", tmp_path),
    ):
        raise EOFError("Ran out of input")


def test_with_room_left_an_error_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "FULL", 0)
    with pytest.raises(EOFError), disk.explain_full_disk(tmp_path):
        raise EOFError("Ran out of input")
