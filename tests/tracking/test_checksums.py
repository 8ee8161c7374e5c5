"""Files of a store that are not what was written: told by whoever reads them, and never exported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tracking.fabricated import Recorder, make_cell
from tracking import report, schema
from tracking.errors import StoreError
from tracking.portable.exporting import export
from tracking.store import checksums, embedded

CELL = make_cell(l1=1.0)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES = [
    pytest.param(schema.WEIGHTS_FILE, flip, "weights.safetensors is damaged", id="a bit of the weights"),
    pytest.param(schema.WEIGHTS_FILE, cut, "weights.safetensors is damaged", id="the end of the weights"),
    pytest.param(schema.WEIGHTS_FILE, Path.unlink, "weights.safetensors is missing", id="the weights"),
    pytest.param(schema.MASKS_FILE, flip, "masks.safetensors is damaged", id="a bit of the masks"),
    pytest.param("sparsity/fc1.png", flip, "sparsity is damaged", id="a bit of a picture"),
]


@pytest.mark.parametrize(("name", "damage", "reason"), DAMAGES)
def test_a_damaged_file_is_named_and_not_exported(
    recorder: Recorder, tmp_path: Path, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    recorder.finish(CELL, 0, 1)
    recorder.announce({"M": [CELL]})
    damage(recorder.artifact(recorder.read().rows[1].run_id, name))
    with pytest.raises(StoreError, match=rf"^M seed 1 cannot be exported: {reason}.*; delete its run, and `dn sweep`"):
        export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_report_tells_what_it_could_not_use(recorder: Recorder, tmp_path: Path, seed: int) -> None:
    recorder.finish(CELL, 0, 1, epochs=1)
    recorder.announce({"M": [CELL]})
    flip(recorder.artifact(recorder.read().rows[seed].run_id, schema.WEIGHTS_FILE))
    told: list[str] = []
    page = report.write(recorder.location, recorder.name, tmp_path, Path("unused"), told.append)
    (line,) = told
    assert line == f"M, seed {seed}: weights.safetensors is damaged: its checksum is another one."
    assert line in page.read_text()


def test_a_report_of_a_store_that_can_only_be_read_is_not_attached(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.finish(CELL, 0, 1)
    recorder.announce({"M": [CELL]})
    monkeypatch.setattr(embedded, "is_writable", lambda _: False)
    told: list[str] = []
    report.write(recorder.location, recorder.name, tmp_path, Path("unused"), told.append)
    assert told == ["the store can only be read: the report is not attached to it"]
    (run,) = recorder.runs("report")
    assert not [item.path for item in recorder.store.list_artifacts(run.info.run_id) if item.path == "report"]


def test_what_an_earlier_version_wrote_needs_only_be_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("whatever")
    checksums.check(tmp_path, "x", "")
    with pytest.raises(ValueError, match="y is missing"):
        checksums.check(tmp_path, "y", "")


def test_files_that_are_not_ours_damage_nothing(recorder: Recorder, tmp_path: Path) -> None:
    """What a killed worker has left, and what a file manager makes."""
    recorder.finish(CELL, 0)
    recorder.announce({"M": [CELL]})
    pictures = recorder.artifact(recorder.read().rows[0].run_id, "sparsity/fc1.png").parent
    for name in (".fc1.png.123.part", ".DS_Store"):
        (pictures / name).write_text("x")
    export(recorder.location, recorder.name, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").exists()
