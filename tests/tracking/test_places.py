"""Where a store lies, whatever its folder is called, was called, or allows."""

import codecs
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder, make_cell
from tests.tracking.stores import copy_of
from tracking import schema
from tracking.errors import StoreError
from tracking.portable.exporting import export
from tracking.results import status
from tracking.store import access, artifacts, database_file, embedded, report_run
from tracking.store import location as store
from tracking.store.client import search
from tracking.store.connection import connect, location_of
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore

CELL = make_cell(l1=1.0)
NAMES = (
    "job%41", "50% off", "a#b", "what?", "what?uri=true", "a b", "ümläut ℓ1", "it's", 'say "x"', "a:b", "a;b&c=d",
    "new\nline", "[x]{y}", "back\\slash", "a@b", "~", "+", "file:x",
)  # fmt: skip
_NOBODY = 65534


def fill(location: StoreLocation, *seeds: int, name: str = "sweep") -> Recorder:
    recorder = Recorder(location, name)
    recorder.finish(CELL, *(seeds or (0,)), epochs=1)
    recorder.announce({"M": [CELL]}, seeds=seeds or (0,))
    return recorder


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def recorded(location: StoreLocation) -> set[str]:
    """Every address of files that MLflow has, less that of the experiment that it makes itself."""
    assert location.database is not None
    with closing(sqlite3.connect(location.database)) as connection:
        query = "select artifact_location from experiments where experiment_id > 0 union select artifact_uri from runs"
        return {text for (text,) in connection.execute(query)}


def assert_whole(location: StoreLocation, folder: Path) -> None:
    """All that is read of the sweep comes from ``folder``, and MLflow finds its files there too."""
    sweep = SweepStore.find(location, "sweep")
    assert status.read(sweep).done
    export(location, "sweep", folder / "x.zip", force=True)
    for run in search(sweep.client, sweep.experiment_id, {schema.KIND: "replicate"}):
        path = artifacts.path_of(location, run.info.run_id, schema.WEIGHTS_FILE)
        assert path.is_relative_to(folder)
        with tempfile.TemporaryDirectory() as copy:
            theirs = connect(location).download_artifacts(run.info.run_id, schema.WEIGHTS_FILE, copy)
            assert Path(theirs).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_be_called_anything(empty: StoreLocation, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "within" / name
    folder.mkdir(parents=True)
    location = copy_of(empty, folder)
    embedded.prepare(location)
    fill(location)
    assert_whole(location, folder)
    assert store.locate(location.uri) == location
    assert location_of(connect(location)) == location
    assert [path.name for path in tmp_path.iterdir()] == ["within"]
    assert [path.name for path in folder.parent.iterdir()] == [name]


def test_a_store_is_made_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "job%41 #1?"
    location = store.locate(folder=folder)
    embedded.prepare(location)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} >= {"mlflow.db", "mlflow.db.lock"}


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the name of the folder '.*\\udcff' is not UTF-8"):
        store.locate(folder=tmp_path / os.fsdecode(b"\xff"))


@pytest.mark.parametrize(
    ("address", "reason"),
    [("sqlite:///x.db?mode=ro", "has options: write [?] as %3F"), ("sqlite:///", "names no file")],
)
def test_an_address_that_says_more_than_a_path_is_refused(address: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        store.locate(address)


def test_a_folder_that_is_there_is_an_address_too(tmp_path: Path) -> None:
    assert store.locate(str(tmp_path)) == store.locate(folder=tmp_path)
    with pytest.raises(StoreError, match="or a folder that is there"):
        store.locate(str(tmp_path / "absent"))


def test_a_relative_address_is_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.locate("sqlite:///some%20folder/x.db").database == tmp_path / "some folder" / "x.db"


@pytest.fixture
def first(empty: StoreLocation, tmp_path: Path) -> Path:
    """A folder ``a`` with a store that holds a sweep."""
    (tmp_path / "a").mkdir()
    fill(copy_of(empty, tmp_path / "a"))
    return tmp_path / "a"


def test_a_store_that_was_moved_is_read_and_written_where_it_lies(first: Path) -> None:
    moved = first.rename(first.parent / "b%41")
    location = store.locate(folder=moved)
    sweep = SweepStore.find(location, "sweep")
    assert status.read(sweep).done
    export(location, "sweep", moved / "x.zip")
    fill(location, 0, 1)  # before MLflow's records are put right
    assert first.as_uri() in " ".join(recorded(location))
    assert not first.exists()
    embedded.prepare(location)
    assert_whole(location, moved)
    assert all(address.startswith(f"{moved.as_uri()}/artifacts/sweep") for address in recorded(location))
    assert not first.exists()


def test_a_copy_is_a_store_of_its_own(first: Path) -> None:
    copy = first.parent / "copy"
    shutil.copytree(first, copy)
    before = files(first)
    location = store.locate(folder=copy)
    fill(location, 0, 1)
    embedded.prepare(location)
    fill(location, 0, 1, 2)
    assert_whole(location, copy)
    assert files(first) == before
    assert_whole(store.locate(folder=first), first)


def test_a_store_is_reached_by_another_name(first: Path) -> None:
    link = first.parent / "link"
    link.symlink_to(first)
    location = store.locate(folder=link)
    fill(location, 0, 1)
    embedded.prepare(location)
    assert_whole(location, link)
    assert_whole(store.locate(folder=first), first)


def test_a_store_that_lies_where_it_was_written_is_left_alone(first: Path) -> None:
    location = store.locate(folder=first)
    before = recorded(location)
    embedded.prepare(location)
    assert recorded(location) == before


def test_experiments_of_others_keep_their_places(first: Path) -> None:
    client = connect(store.locate(folder=first))
    addresses = {"bucket": "s3://bucket/artifacts/x", "folder": f"file://{first.parent}/artifacts/theirs"}
    for name, address in addresses.items():
        client.create_run(client.create_experiment(name, address))
    location = store.locate(folder=first.rename(first.parent / "b"))
    embedded.prepare(location)
    found = {item.name: item.artifact_location for item in connect(location).search_experiments()}
    assert {name: found[name] for name in addresses} == addresses


def test_a_run_without_artifacts_yet_is_written_beside_the_database(first: Path) -> None:
    location = store.locate(folder=first.rename(first.parent / "b"))
    recorder = Recorder(location, "sweep")
    report_run.attach_report(recorder.sweep, recorder.runs("report")[0].info.run_id, first.parent / "b" / "artifacts")
    assert not first.exists()


# A store that one may only read.


@pytest.fixture
def readable(empty: StoreLocation) -> Iterator[StoreLocation]:
    """A store with a sweep in a folder of somebody else, who lets everybody read."""
    folder = Path(tempfile.mkdtemp(prefix="dn-"))
    location = copy_of(empty, folder)
    fill(location)
    embedded.prepare(location)
    connect(location)._tracking_client.store.engine.dispose()
    yield location
    shutil.rmtree(folder)


codecs.lookup("cp437")  # zipfile's: the other user may not be able to read Python's own folder


@pytest.fixture
def theirs(readable: StoreLocation) -> Iterator[StoreLocation]:
    """The same, for a user who is not the owner: permissions mean nothing to root."""
    assert readable.database is not None
    folder = readable.database.parent
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    yield readable
    if root:
        os.seteuid(0)
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755)


def test_a_store_that_one_may_only_read_is_read(theirs: StoreLocation) -> None:
    sweep = SweepStore.find(theirs, "sweep")
    access.check_answers(theirs)
    assert status.read(sweep).done
    with tempfile.TemporaryDirectory() as mine:
        assert export(theirs, "sweep", Path(mine) / "x.zip").states.total() == 1


def test_a_store_that_one_may_only_read_says_so_to_who_would_write(theirs: StoreLocation) -> None:
    assert not embedded.is_writable(theirs)
    with pytest.raises(StoreError, match=r"mlflow\.db can only be read from here: `dn status`, `dn report`"):
        embedded.prepare(theirs)


def test_what_is_not_yet_in_the_database_itself_is_read_too(readable: StoreLocation) -> None:
    """A driver was killed: its last commits are in the write-ahead log, and a reader may not make files beside it."""
    assert readable.database is not None
    folder = readable.database.parent
    with closing(sqlite3.connect(readable.database)) as connection:
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("update runs set end_time = 5 where end_time is not null")
        connection.commit()
        shutil.copytree(folder, folder / "killed", ignore=shutil.ignore_patterns("*-shm"))
    killed = folder / "killed" / "mlflow.db"
    assert killed.with_name("mlflow.db-wal").stat().st_size
    killed.parent.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0))
        os.seteuid(_NOBODY)
    try:
        with database_file.read(killed) as found:
            assert found.execute("select max(end_time) from runs").fetchone() == (5,)
    finally:
        if root:
            os.seteuid(0)
        killed.parent.chmod(0o755)


def test_the_ui_gets_a_copy_whose_files_are_the_original_s(theirs: StoreLocation) -> None:
    with tempfile.TemporaryDirectory() as mine:
        copy = embedded.copy_into(Path(mine), theirs)
        sweep = SweepStore.find(copy, "sweep")
        (run,) = search(sweep.client, sweep.experiment_id, {schema.KIND: "replicate"})
        names = {item.path for item in connect(copy).list_artifacts(run.info.run_id)}
    assert schema.WEIGHTS_FILE in names


# What is no store.


def check_quickly(location: StoreLocation, reason: str) -> None:
    """Told in one line, by whoever asks first."""
    for ask in (access.check_answers, embedded.prepare):
        with pytest.raises(StoreError, match=reason) as told:
            ask(location)
        assert "\n" not in str(told.value)


def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"something else entirely" * 100)
    check_quickly(store.locate(f"sqlite:///{tmp_path}/x.db"), r"x\.db is no SQLite database, or is damaged")


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("create table photographs (name)")
    before = (tmp_path / "x.db").read_bytes()
    check_quickly(store.locate(f"sqlite:///{tmp_path}/x.db"), r"x\.db is no store: it is a database of something else")
    assert (tmp_path / "x.db").read_bytes() == before


def test_a_store_whose_middle_is_gone_is_told_at_once(readable: StoreLocation) -> None:
    assert readable.database is not None
    whole = readable.database.read_bytes()
    readable.database.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    check_quickly(readable, r"mlflow\.db (is damaged|cannot be used: database disk image is malf)")


def test_a_folder_in_place_of_the_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    check_quickly(store.locate(f"sqlite:///{tmp_path}/x.db"), r"x\.db cannot be (opened|read)")


# Several processes.


@pytest.mark.slow
def test_a_store_is_made_once_by_processes_that_start_together(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tracking.store import embedded, location as store; "
    code += "embedded.prepare(store.locate(folder=Path(sys.argv[1])))"
    (tmp_path / ".mlflow.db.part").write_text("of a process that was killed")
    words = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    access.check_answers(store.locate(folder=tmp_path))
