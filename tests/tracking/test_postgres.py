"""A real PostgreSQL of our own, and the addresses of others."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking.errors import StoreError
from tracking.server import postgres, postgres_programs, postmaster
from tracking.server.database import Database, database_from_env
from tracking.server.postgres import Postgres
from tracking.server.postmaster import Postmaster
from tracking.store import secret_files

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def own(open_folder: Path) -> Iterator[Postgres]:
    made = Postgres(open_folder / "a postgres", open_folder, open_folder / "log")
    made.start()
    yield made
    made.stop()


def number(own: Postgres) -> int:
    return int((own._postmaster.data / "postmaster.pid").read_text().split()[0])


def test_it_serves_a_database_to_a_role_that_may_do_nothing_else(own: Postgres) -> None:
    psycopg = pytest.importorskip("psycopg")
    own.database.check()
    with psycopg.connect(own.database.address, password=own.database.password) as connection:
        assert connection.execute("select current_database()").fetchone() == ("mlflow",)
        assert connection.execute("show is_superuser").fetchone() == ("off",)


@pytest.mark.parametrize("password", ["wrong", None])
def test_it_wants_the_password(own: Postgres, password: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises(StoreError, match=r"cannot use the database postgresql://mlflow@.*password"):
        Database(own.database.address, password).check()


def test_only_its_owner_reaches_it(own: Postgres) -> None:
    assert own._folder.stat().st_mode & 0o777 == 0o700
    lock = (own._postmaster.data / "postmaster.pid").read_text().splitlines()
    assert lock[5].strip() == ""  # the address that it listens on besides the socket


def test_one_that_runs_already_is_taken_over(own: Postgres) -> None:
    before = number(own)
    other = Postgres(own._folder, own._secrets, own.log)
    assert other.is_running()
    other.start()
    assert number(own) == before


def test_after_a_kill_it_starts_again(own: Postgres) -> None:
    before = number(own)
    os.kill(before, signal.SIGKILL)
    while own.is_running():
        time.sleep(0.1)
    own.start()
    assert number(own) != before
    own.database.check()


def test_a_lock_whose_number_another_process_has_got_does_not_hinder(own: Postgres) -> None:
    lock = (own._postmaster.data / "postmaster.pid").read_text()
    own.stop()
    with subprocess.Popen(["sleep", "600"], **own._account) as other:
        (own._postmaster.data / "postmaster.pid").write_text(lock.replace(lock.split()[0], str(other.pid), 1))
        assert not own.is_running()
        own.start()
        own.database.check()
        other.kill()


def test_stopping_is_harmless_where_nothing_runs(own: Postgres) -> None:
    own.stop()
    assert not own.is_running()
    own.stop()
    own.start()


def test_half_made_data_are_made_anew(open_folder: Path) -> None:
    (open_folder / "half" / "data.partial").mkdir(parents=True)
    (open_folder / "half" / "data.partial" / "PG_VERSION").write_text("half")
    made = Postgres(open_folder / "half", open_folder, open_folder / "log")
    made.start()
    made.stop()


def test_data_of_another_version_are_named(own: Postgres, tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("7.4\n")
    with pytest.raises(StoreError, match=r"was made by PostgreSQL 7\.4, installed is \d+.*: install 7\.4, or name"):
        postgres_programs.binaries(tmp_path)


def test_a_path_too_long_for_a_socket_is_one_line(own: Postgres) -> None:
    deep = own._folder / ("x" * 100)
    with pytest.raises(StoreError, match=r"too long for PostgreSQL's socket .* choose a shorter --folder"):
        Postgres(deep, own._secrets, own.log).start()


def test_one_that_neither_starts_nor_ends_is_not_waited_for_without_end(
    own: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "_SECONDS_OF_SILENCE", 0)
    monkeypatch.setattr(Postmaster, "is_running", lambda _: True)
    monkeypatch.setattr(Postmaster, "_lock_file", lambda _: [])
    with pytest.raises(StoreError, match=rf"is not ready after 0 s; its last line is .* \(log: {own.log}\)"):
        own.start()


def test_programs_that_do_not_end_are_not_waited_for_without_end(
    own: Postgres, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "programs").mkdir()
    (open_folder / "programs" / "initdb").write_text("#!/bin/sh\necho at work\nexec sleep 600\n")
    (open_folder / "programs" / "initdb").chmod(0o755)
    monkeypatch.setattr(postgres_programs, "binaries", lambda _: open_folder / "programs")
    monkeypatch.setattr(postgres, "_SECONDS_TO_MAKE", 0.5)
    made = Postgres(open_folder / "stuck", open_folder, open_folder / "stuck.log")
    with pytest.raises(StoreError, match=r"initdb has not ended after 0\.5 s: at work \(log: .*stuck\.log\)"):
        made.start()


def test_one_that_does_not_end_is_named(own: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sh", "-c", "trap '' INT QUIT; while :; do sleep 1; done"]) as stubborn:
        monkeypatch.setattr(postmaster, "_SECONDS_TO_STOP", 0)
        monkeypatch.setattr(Postmaster, "_serving", lambda _: stubborn.pid)
        with pytest.raises(StoreError, match=rf"\(process {stubborn.pid}\) has not ended .* \(log: "):
            own.stop()
        stubborn.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_folder_that_the_other_user_cannot_enter_is_one_line(own: Postgres, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StoreError, match=r"the user postgres, .* cannot enter .*: choose a --folder"):
        Postgres(closed / "postgres", tmp_path, tmp_path / "log").start()


def test_without_programs_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "_candidates", lambda: [Path("/nowhere")])
    with pytest.raises(StoreError, match=r"no PostgreSQL is installed: .*DN_DATABASE_URL"):
        postgres_programs.binaries()


def test_no_database_is_given_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DN_DATABASE_URL", "DN_DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert database_from_env() is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://u:p%40ss@h:1/d", Database("postgresql://u@h:1/d", "p@ss")),
        ("postgres://u@h/d", Database("postgresql://u@h/d", None)),
        ("postgresql+psycopg2://u@h/d?sslmode=require", Database("postgresql://u@h/d?sslmode=require", None)),
        ("postgresql://u@h/d?password=p&sslmode=require", Database("postgresql://u@h/d?sslmode=require", "p")),
    ],
)
def test_a_password_leaves_the_address(address: str, expected: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DN_DATABASE_URL", address)
    found = database_from_env()
    assert found == expected
    assert found.for_sqlalchemy.startswith("postgresql+psycopg://u@h")


def test_address_and_password_may_be_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"DN_DATABASE_URL": "postgresql://u@h/d", "DN_DATABASE_PASSWORD": "p"}.items():
        secret_files.write(tmp_path / name, text)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    assert database_from_env() == Database("postgresql://u@h/d", "p")


@pytest.mark.parametrize("address", ["sqlite:///x.db", "mysql://u:secret@h/d", "postgresql://u:secret@h", "secret"])
def test_what_is_no_database_is_refused_without_its_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DN_DATABASE_URL", address)
    with pytest.raises(StoreError, match="expected postgresql://") as refused:
        database_from_env()
    assert "secret" not in str(refused.value)


def test_a_database_that_does_not_answer_is_one_line() -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"postgresql://u@127.0.0.1:{taken.getsockname()[1]}/d"
        with pytest.raises(
            StoreError, match=r"cannot use the database postgresql://u@127\.0\.0\.1.*refused"
        ) as refused:
            Database(address, "a secret").check()
    assert "a secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
