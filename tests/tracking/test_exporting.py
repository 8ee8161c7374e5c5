import json
import os
from pathlib import Path

import pytest

from dn_distributed.config import Pruning
from sweeps.cli import main as cli
from tests.tracking.archives import CELL, fill, read_entries, with_curve
from tests.tracking.fabricated import Recorder
from tracking import schema
from tracking.errors import StoreError
from tracking.portable.exporting import export, without_places
from tracking.results import rows as reader


def test_a_file_is_not_written_over_unless_forced(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    recorder, path = exported
    target = tmp_path / "x.zip"
    target.write_text("mine")
    with pytest.raises(StoreError, match="is there already; give another name, or --force"):
        export(recorder.location, "portable", target)
    assert target.read_text() == "mine"
    export(recorder.location, "portable", target, force=True)
    assert target.read_bytes() == path.read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("target", ["folder", "absent/x.zip"])
def test_where_no_file_can_be_is_an_error(exported: tuple[Recorder, Path], tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=target):
        export(exported[0].location, "portable", tmp_path / target, force=True)


def test_only_a_file_is_replaced(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    for target in (tmp_path / "pipe", tmp_path / "device"):
        with pytest.raises(StoreError, match=f"{target}: not a regular file"):
            export(exported[0].location, "portable", target, force=True)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "device").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_is_left_of_an_export_that_was_interrupted(
    exported: tuple[Recorder, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reader, "read_histories", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(exported[0].location, "portable", tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_a_replicate_whose_weights_are_gone_is_named(recorder: Recorder, tmp_path: Path) -> None:
    fill(recorder)
    recorder.artifact(recorder.read().rows[0].run_id, schema.WEIGHTS_FILE).unlink()
    with pytest.raises(StoreError, match=r"^M seed 0 cannot be exported: weights\.safetensors is missing"):
        export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_other_thresholds_than_the_cell_has_are_not_exported(recorder: Recorder, tmp_path: Path) -> None:
    with_curve(recorder, CELL.model_copy(update={"pruning": Pruning(threshold=0.01, curve=(0.1, 0.2))}), [0.1])
    with pytest.raises(StoreError, match="not the thresholds of its cell"):
        export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_a_failure_that_would_command_a_terminal_is_exported_as_text(recorder: Recorder, tmp_path: Path) -> None:
    first, second, third = recorder.start(CELL, 0, 1, 2)
    for run in (first, second):
        run.fail("\x1b[31mValueError\x1b[0m: loss\nis \ud800")
    recorder.store.set_tag(second.run_id, schema.FAILURE, "\x1b[31mas an earlier version wrote it")
    third.fail("  ")
    recorder.announce({"M": [CELL]}, seeds=(0, 1, 2))
    shown = [item.reason for item in recorder.read().ended]
    assert shown == [
        "\\x1b[31mValueError\\x1b[0m: loss is \\ud800",
        "\\x1b[31mas an earlier version wrote it",
        "no reason was given",
    ]
    export(recorder.location, recorder.name, tmp_path / "x.zip")
    records = [json.loads(text) for name, text in read_entries(tmp_path / "x.zip").items() if "replicate.json" in name]
    assert [item["reason"] for item in sorted(records, key=lambda item: int(item["seed"]))] == shown


def test_an_export_says_nothing_of_the_machine(recorder: Recorder, tmp_path: Path) -> None:
    manifest = fill(recorder)
    for run in recorder.runs("replicate"):
        for tag in ("mlflow.user", "mlflow.source.name", "mlflow.note.content", "token"):
            recorder.store.set_tag(run.info.run_id, tag, "secret")
        recorder.store.log_param(run.info.run_id, "password", "secret")
    recorder.start(CELL, 7)[0].fail("RuntimeError: '/home/secret/data.npy' of http://me:secret@host:5000/x")
    recorder.announce({method.label: method.cells for method in manifest.methods}, seeds=(0, 1, 7))
    export(recorder.location, recorder.name, tmp_path / "x.zip")
    text = b"".join(read_entries(tmp_path / "x.zip").values()).decode("utf-8", "ignore")
    folder = str(recorder.location.scratch.parent)
    assert "…/data.npy" in text
    for secret in ("secret", "mlflow.", "sqlite:", "file:", "/root", "/home", "/tmp", folder):
        assert secret not in text


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("loss is 1/2/3 of nan", "loss is 1/2/3 of nan"),
        ("no test/nmse/after_pruning", "no test/nmse/after_pruning"),
        ("OSError: /a/b/c.py:12: no", "OSError: …/c.py:12: no"),
        ("at sqlite:////a/b.db\nand more", "at … and more"),
        ("in '/a b/c'", "in '…/c'"),
    ],
)
def test_a_reason_names_no_place(reason: str, told: str) -> None:
    assert without_places(reason) == told


def test_without_a_store_there_is_nothing_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "x", "x.zip"]) == 2
    assert "run `dn sweep FILE` in this folder first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
