import os
from pathlib import Path

import pytest

from tracking.errors import StoreError
from tracking.store import secret_files


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    secret_files.write(path, "of a file\n")
    return path


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret_files.secret_from_env("DN_X") is None
    monkeypatch.setenv("DN_X", "of the environment")
    assert secret_files.secret_from_env("DN_X") == "of the environment"


def test_a_secret_comes_from_a_file(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DN_X_FILE", str(secret))
    assert secret_files.secret_from_env("DN_X") == "of a file"


def test_two_secrets_of_one_name_are_refused(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DN_X", "of the environment")
    monkeypatch.setenv("DN_X_FILE", str(secret))
    with pytest.raises(StoreError, match="DN_X and DN_X_FILE are both set"):
        secret_files.secret_from_env("DN_X")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(StoreError, match=rf"DN_X_FILE: other users can open .* \(mode {mode:o}\): chmod 600"):
        secret_files.read(secret, "DN_X_FILE")


def test_a_file_without_a_secret_is_refused(secret: Path, tmp_path: Path) -> None:
    secret.write_text(" \n")
    with pytest.raises(StoreError, match="is empty"):
        secret_files.read(secret, "DN_X_FILE")
    with pytest.raises(StoreError, match=r"cannot read .*absent"):
        secret_files.read(tmp_path / "absent", "DN_X_FILE")


def test_a_pipe_is_no_file_with_a_secret(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(StoreError, match=r"cannot read .*pipe \(not a regular file\)"):
        secret_files.read(tmp_path / "pipe", "DN_X_FILE")


def test_a_kept_secret_is_drawn_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    drawn = secret_files.load_or_create_secret(tmp_path / "a")
    assert secret_files.load_or_create_secret(tmp_path / "a") == drawn
    assert secret_files.load_or_create_secret(tmp_path / "b") != drawn
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_file_in_the_home_is_found(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(secret.parent))
    monkeypatch.setenv("DN_X_FILE", f"~/{secret.name}")
    assert secret_files.secret_from_env("DN_X") == "of a file"
