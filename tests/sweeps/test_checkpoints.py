"""Checkpoints: whole or not there, checked before use, found again by packs that were cut otherwise."""

from pathlib import Path

import pytest

from sweeps.tune.checkpoints import KEPT, CheckpointFolder, DamagedCheckpointError, RemoteCheckpoints
from tests.sweeps.conftest import SharedRay


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints")


def test_what_was_saved_is_read(checkpoints: CheckpointFolder) -> None:
    checkpoints.save("cell-pack", 7, b"state")
    (name,) = checkpoints.names("cell-pack")
    assert checkpoints.read(name) == b"state"


def test_the_newest_come_first_and_only_the_last_are_kept(checkpoints: CheckpointFolder) -> None:
    for step in (1, 5, 10, 9999, 10000):
        checkpoints.save("cell-pack", step, str(step).encode())
    states = [checkpoints.read(name) for name in checkpoints.names("cell-pack")]
    assert states == [b"10000", b"9999"]
    assert KEPT == 2


def test_own_checkpoints_come_before_those_of_other_packs_of_the_cell(checkpoints: CheckpointFolder) -> None:
    checkpoints.save("cell-other", 20, b"other")
    checkpoints.save("cell-own", 10, b"own")
    checkpoints.save("another-pack", 30, b"of another cell")
    assert [checkpoints.read(name) for name in checkpoints.names("cell-own")] == [b"own", b"other"]


@pytest.mark.parametrize("damage", [b"stat", b"stale", b""], ids=["truncated", "altered", "emptied"])
def test_a_damaged_file_is_not_taken_for_a_state(checkpoints: CheckpointFolder, damage: bytes) -> None:
    checkpoints.save("cell-pack", 1, b"state")
    (name,) = checkpoints.names("cell-pack")
    (checkpoints.folder / name).write_bytes(damage)
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        checkpoints.read(name)


def test_a_pack_that_has_ended_is_forgotten(checkpoints: CheckpointFolder) -> None:
    checkpoints.save("cell-pack", 1, b"state")
    checkpoints.save("cell-next", 1, b"next")
    checkpoints.remove("cell-pack")
    checkpoints.remove("cell-pack")
    assert [checkpoints.read(name) for name in checkpoints.names("cell-pack")] == [b"next"]


def test_nothing_is_left_of_a_write_that_failed(checkpoints: CheckpointFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save("cell-pack", 1, b"state")
    assert not [path for path in checkpoints.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> CheckpointFolder:
    return CheckpointFolder(tmp_path_factory.mktemp("remote"))


@pytest.fixture(scope="module")
def remote(folder: CheckpointFolder, shared_ray: SharedRay) -> RemoteCheckpoints:
    shared_ray.join()
    return RemoteCheckpoints(folder)


def test_the_drivers_node_keeps_them_as_a_folder_would(remote: RemoteCheckpoints) -> None:
    remote.save("cell-pack", 1, b"one")
    remote.save("cell-pack", 2, b"two")
    assert [remote.read(name) for name in remote.names("cell-pack")] == [b"two", b"one"]
    remote.remove("cell-pack")
    assert remote.names("cell-pack") == []


def test_what_is_wrong_on_the_drivers_node_is_told_in_a_line(
    remote: RemoteCheckpoints, folder: CheckpointFolder
) -> None:
    remote.save("cell-damaged", 1, b"one")
    (name,) = remote.names("cell-damaged")
    (folder.folder / name).write_bytes(b"two")
    with pytest.raises(DamagedCheckpointError) as damaged:
        remote.read(name)
    assert str(damaged.value) == f"checkpoint {name} is damaged"
    with pytest.raises(FileNotFoundError):
        remote.read("cell-none/1-0.safetensors")
