import socket
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tracking import store, writer
from tracking.store import StoreError, StoreLocation


def test_the_embedded_store_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = store.locate()
    assert location.database == tmp_path / "dn-store" / "mlflow.db"
    assert location.artifact_root == (tmp_path / "dn-store" / "artifacts").as_uri()
    assert location.scratch == tmp_path / "dn-store" / "ray"


def test_a_folder_with_a_space_is_found_again(tmp_path: Path) -> None:
    assert store.locate(folder=tmp_path / "my store").database == tmp_path / "my store" / "mlflow.db"


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "https://mlflow.example.org/base"])
def test_a_server_keeps_its_address_and_its_artifacts(address: str) -> None:
    location = store.locate(address)
    assert location == StoreLocation(address)
    assert location.database is None
    assert store.exists(location)


def test_a_sqlite_address_is_an_embedded_store(tmp_path: Path) -> None:
    location = store.locate(f"sqlite:///{tmp_path}/other%20name.db")
    assert location.database == tmp_path / "other name.db"
    assert location.artifact_root == (tmp_path / "artifacts").as_uri()


@pytest.mark.parametrize("address", ["", "file:///tmp/x", "/tmp/x", "sqlite:", "postgresql://host/db", "ftp://host"])
def test_other_addresses_are_refused_with_the_remedy(address: str) -> None:
    with pytest.raises(StoreError, match=r"is not supported: use http://HOST:PORT .* or sqlite:///PATH"):
        store.locate(address)


def test_a_prepared_store_has_a_write_ahead_log(location: StoreLocation) -> None:
    assert location.database is not None
    assert store.exists(location)
    with sqlite3.connect(location.database) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_commit_does_not_wait_for_the_disk(location: StoreLocation) -> None:
    writer.client(location)
    with create_engine(location.uri).connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 1  # NORMAL


def test_a_store_that_was_not_made_does_not_exist(tmp_path: Path) -> None:
    assert not store.exists(store.locate(folder=tmp_path))


def test_a_store_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot open the store .*taken/mlflow\.db"):
        store.prepare(store.locate(folder=tmp_path / "taken"))


def test_preparing_a_server_does_nothing() -> None:
    store.prepare(store.locate("http://127.0.0.1:1"))


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        location = store.locate(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StoreError, match=r"no MLflow server answers at http://127\.0\.0\.1"):
            store.check_answers(location)
