"""What scripts use of ``dn``: versions, lists and states as JSON, names of shipped sweeps, logs, completion."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dn_distributed import __version__
from sweeps.cli import main as cli
from sweeps.console import notify
from sweeps.errors import SpecError
from sweeps.spec import load as spec
from sweeps.spec import shipped
from tests.tracking.fabricated import Recorder, make_cell
from tests.tracking.stores import copy_of
from tracking.errors import StoreError
from tracking.store import runs
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore

ONE, TWO = make_cell(l1=0.1), make_cell(l1=0.2)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dn {__version__}\n"


def test_the_package_is_the_command_too() -> None:
    said = subprocess.run([sys.executable, "-m", "sweeps", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"dn {__version__}\n"


@pytest.fixture
def two_methods(empty: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A sweep in the store of the working folder."""
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(copy_of(empty, tmp_path / "dn-store"), "two-methods")
    recorder.announce({"first": [ONE], "second": [TWO]}, seeds=(0, 1))
    recorder.finish(ONE, 0, label="first")
    recorder.start(ONE, 1, label="first")
    recorder.start(TWO, 0, label="second")[0].fail("the numbers ran away")
    return recorder


def test_a_status_as_json(two_methods: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", two_methods.name, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    counts = {"total": 4, "done": 1, "running": 0, "interrupted": 1, "left": 1, "failed": 1, "stopped": 0}
    assert said["replicates"] == counts
    assert (said["name"], said["complete"], said["driver"], said["seconds_left"]) == (
        two_methods.name,
        False,
        None,
        None,
    )
    assert [method["label"] for method in said["methods"]] == ["first", "second"]
    assert said["methods"][1] == {**dict.fromkeys(counts, 0), "label": "second", "total": 2, "left": 1, "failed": 1}
    assert said["failures"] == [{"method": "second", "reason": "the numbers ran away", "count": 1}]


def test_the_sweeps_of_a_store(two_methods: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    two_methods.sweep.client.create_experiment("of somebody else")
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == f"{two_methods.name}: 1 of 4 done, 1 interrupted, 1 left, 1 failed\n"
    assert cli.main(["list", "--json"]) == 0
    assert [item["name"] for item in json.loads(capsys.readouterr().out)] == [two_methods.name]


def test_a_sweep_that_another_version_wrote_hides_no_other(
    two_methods: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Recorder(two_methods.location, "another")
    other.announce({"M": [ONE]}, seeds=(0,))
    read = runs.find_manifest

    def of_this_version(sweep: SweepStore) -> object:
        if sweep.experiment_id == other.sweep.experiment_id:
            raise StoreError("the store holds this sweep as another version wrote it")
        return read(sweep)

    monkeypatch.setattr(runs, "find_manifest", of_this_version)
    for words in (["list"], ["report", "--out", "pages"]):
        assert cli.main(words) == 0
        said = capsys.readouterr()
        assert said.err == "dn: another: the store holds this sweep as another version wrote it\n"
    assert two_methods.name in Path("pages/index.html").read_text("utf-8")


def test_without_a_store_there_is_nothing_to_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["list"]) == 2
    assert "there is no store at" in capsys.readouterr().err


def test_a_plan_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", "demo/regression", "--dry-run", "--json", "--slots", "2"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert (plan["name"], plan["seeds"], plan["to_run"]) == ("demo-regression", 10, 30)
    assert plan["replicates"] == plan["seeds"] * plan["cells"] == 30
    assert not (tmp_path / "dn-store").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "demo/regression", "--json"], "--json prints plans: give --dry-run as well"),
        (["status", "x", "--json", "--watch"], "give --watch or --json, not both"),
    ],
)
def test_json_of_what_is_none(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_every_shipped_sweep_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = set(Path(shipped.__file__).parents[1].glob("*/*.yaml"))
    monkeypatch.chdir(tmp_path)
    assert {shipped.find(Path(name)) for name in shipped.names()} == files
    assert shipped.find(Path("demo/regression.yaml")) == shipped.find(Path("demo/regression"))


def test_a_file_of_ones_own_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "regression").write_text("name: mine\ntask: regression\nseeds: 1\nmethods: [{label: M}]\n")
    assert spec.load("demo/regression").name == "mine"


def test_a_shipped_sweep_that_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = "neither a file nor a shipped sweep; shipped are, among others, "
    with pytest.raises(SpecError, match=rf"^demo/regresion: {message}demo/regression, paper/regression[^,]*, [^,]*"):
        spec.load("demo/regresion")
    with pytest.raises(SpecError, match=f"{message}demo/autoencoder, demo/lenet300, demo/regression$"):
        spec.load("demo/zzz")
    with pytest.raises(SpecError, match=r"^elsewhere/regression: No such file"):
        spec.load("elsewhere/regression")


def test_messages_go_to_a_file_with_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--log-file", "night.log", "status", "nothing"]) == 2
    said = capsys.readouterr().err.removeprefix("dn: ")
    assert (tmp_path / "night.log").read_text().endswith(f" ERROR dn: {said}")
    assert cli.main(["--log-file", str(tmp_path / "no" / "folder"), "list"]) == 2
    assert f"--log-file: {tmp_path}/no/folder: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(("level", "shown"), [("info", "dn: b\ndn: c\n"), ("error", "dn: c\n")])
def test_only_what_is_serious_enough_is_shown(level: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sweeps.console import logging_to

    with logging_to(None, level):
        notify("a", logging.DEBUG)
        notify("b", logging.INFO)
        notify("c", logging.ERROR)
    assert capsys.readouterr().err == shown


def test_what_takes_long_is_said_and_what_does_not_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    from sweeps.console import said_if_long

    with said_if_long("reads", seconds=0.01):
        time.sleep(0.3)
    with said_if_long("measures", seconds=60):
        pass
    assert capsys.readouterr().err == "dn: reads\n"


def test_a_shell_completes_verbs_and_names(two_methods: Recorder) -> None:
    def completed(words: str) -> list[str]:
        environment = {**os.environ, "_DN_COMPLETE": "bash_complete", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
        command = [sys.executable, "-m", "sweeps"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return said.stdout.split()

    assert completed("dn st") == ["plain,status"]
    assert completed(f"dn status {two_methods.name[:3]}") == [f"plain,{two_methods.name}"]
    names = ["plain,demo/autoencoder", "plain,demo/lenet300", "plain,demo/regression"]
    assert completed("dn sweep dem") == ["file,dem", *names]
    assert completed("dn sweep my-own") == ["file,my-own"]
