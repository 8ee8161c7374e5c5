from pathlib import Path

import pytest

from dn_distributed.data import DataError
from sweeps.planning.data_dir import resolve_data_dir


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    for name in ("nowhere", "n" * 300):
        with pytest.raises(DataError, match=f"{name}: no such folder"):
            resolve_data_dir(tmp_path / name)


def test_a_home_in_the_variable_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DN_DATA_DIR", "~/x")
    assert resolve_data_dir(None) == tmp_path / "x"


def test_a_given_folder_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DN_DATA_DIR", "/elsewhere")
    assert resolve_data_dir(tmp_path) == tmp_path
    assert resolve_data_dir(None) == Path("/elsewhere")


def test_without_either_it_is_a_folder_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert resolve_data_dir(None) == tmp_path / "data"
