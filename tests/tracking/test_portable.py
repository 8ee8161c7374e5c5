import json
import math
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dn_distributed import sparsity
from tests.tracking.archives import (
    Edit,
    Entries,
    add,
    change,
    in_record,
    put,
    read_entries,
    remove,
    remove_record,
    rename,
    repack,
    with_file,
    with_nested,
)
from tests.tracking.fabricated import Recorder, make_cell
from tracking import schema
from tracking.errors import StoreError
from tracking.portable import archive, checks
from tracking.portable.importing import import_file
from tracking.store import location
from tracking.store.masks import save_masks


def refused(path: Path, folder: Path) -> str:
    """Import into a store that is not there yet, see that none is made, and return what is said."""
    target = location.locate(folder=folder / "never")
    with pytest.raises(StoreError) as raised:
        import_file(target, path)
    assert not (folder / "never").exists()
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


def test_a_truncated_file_is_refused(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    data = exported[1].read_bytes()
    for number, length in enumerate((0, 10, len(data) // 2, len(data) - 1)):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data[:length])
        assert refused(path, tmp_path)


def test_any_flipped_byte_is_refused_or_changes_nothing(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    """Some bytes of a zip say nothing, as the version that made it."""
    data, path = exported[1].read_bytes(), tmp_path / "x.zip"
    with zipfile.ZipFile(exported[1]) as file:
        content = next(entry.header_offset for entry in file.infolist() if entry.filename.endswith("fc1.png")) + 200
    places = [content, *range(0, len(data), len(data) // 60)]
    outcomes = Counter[bool]()
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            with archive.opened(path):
                same = read_entries(path) == read_entries(exported[1])
        except StoreError:
            outcomes[True] += 1
            continue
        assert same
        assert place != content
    assert outcomes[True] > len(places) / 2


REFUSALS: list[tuple[Edit, str]] = [
    (remove("weights.safetensors"), "weights.safetensors is missing"),
    (remove("fc2.png"), "fc2.png is missing"),
    (remove_record, "replicate.json is missing"),
    (remove("sweep.json"), "sweep.json is missing"),
    (remove("cells.json"), "cells.json is missing"),
    (add("notes.txt"), "'notes.txt' does not belong there"),
    (add("../sweep.json"), "does not belong there"),
    (add("/etc/passwd.json"), "does not belong there"),
    (add("replicates/KEY/"), "does not belong there"),
    (add("replicates/KEY/../weights.safetensors"), "does not belong there"),
    (add("replicates/KEY/sparsity/../../x.png"), "does not belong there"),
    (add("replicates/KEY/sparsity/...png"), "does not belong there"),
    (add("replicates\\KEY\\replicate.json"), "does not belong there"),
    (add("replicates/KEY/weights.pickle"), "does not belong there"),
    (add("replicates/KEY/sparsity/other.png"), "other.png does not belong there"),
    (add("replicates/KEY/thresholds.json"), "thresholds.json does not belong there"),
    (add(f"replicates/{'0' * 32}/replicate.json"), f"replicates/{'0' * 32}: key: Field required"),
    (put("sweep.json", b"\x80\x04\x95pickle"), "sweep.json: Invalid JSON"),
    (put("sweep.json", b"[" * 1000), "sweep.json: Invalid JSON"),
    (rename("../elsewhere"), "sweep.json: no name of a sweep: '../elsewhere'"),
    (rename(""), "no name of a sweep"),
    (rename("x" * 300), "no name of a sweep"),
    (change("sweep.json", more=1), "sweep.json: more: Extra inputs are not permitted"),
    (change("sweep.json", seeds=[0, 0]), "sweep.json: expected different whole numbers"),
    (change("sweep.json", seeds=["0"]), "sweep.json: seeds.0: Input should be a valid integer"),
    (change("sweep.json", methods=[]), "sweep.json: a sweep has methods"),
    (change("sweep.json", seeds=[-1]), "sweep.json: expected different whole numbers from 0 to"),
    (change("sweep.json", seeds=[2**63]), "sweep.json: expected different whole numbers from 0 to"),
    (change("sweep.json", seeds=list(range(100_001))), "sweep.json: 100001 seeds are too many"),
    (
        change("sweep.json", methods=[{"label": str(i), "cells": []} for i in range(10_000)]),
        "10000 methods are too many",
    ),
    (change("sweep.json", methods=[{"label": "x" * 101, "cells": []}]), "at most 100 printable characters"),
    (change("sweep.json", methods=[{"label": " ", "cells": []}]), "each method needs a label"),
    (change("sweep.json", methods=[{"label": "P", "cells": []}] * 2), "the label 'P' stands there twice"),
    (change("sweep.json", deviations=["\x1b[31m"]), "control characters"),
    (change("sweep.json", deviations=["x" * 5000]), "a text of 5000 characters"),
    (change("checksums.json", format=2), "an export of format 2; this version of dn reads format 1"),
    (change("checksums.json", result_version=99), "results of version 99"),
    (in_record(key="0" * 32), "its key is not that of its cell and seed"),
    (in_record(cell_key=make_cell().key), "its key is not that of its cell and seed"),
    (in_record(cell_key="0" * 32), "there is no cell 0000"),
    (in_record(seed=5), "its parameter 'seed' is not its seed 5"),
    (in_record(seed=True), "seed: Input should be a valid integer"),
    (in_record(state="incomplete"), "state: Input should be"),
    (in_record(reason="why"), "a finished replicate has data and no reason"),
    (in_record(label="\x1b[2J"), "printable characters"),
    (in_record(start=0), "start: Input should be greater than"),
    (in_record(end=2**60), "end: Input should be less than"),
    (in_record(data={"name": "digits", "digest": "0"}), "its data are not those of its cell"),
    (in_record(curves={"train/loss": [[2, 1.0], [1, 1.0]]}), "the epochs of train/loss do not rise"),
    (in_record(curves={"density": [[1, 1.0]]}), "final figures and curves are mixed up: density"),
    (with_nested("metrics", epoch=1.0), "final figures and curves are mixed up: epoch"),
    (with_nested("metrics", density="many"), "metrics.density: Input should be a valid number"),
    (with_nested("metrics", **{"../x": 1.0}), "String should match pattern"),
    (with_nested("metrics", **{"layers/fc1/num_nonzero": 0.0}), "its figures are not those of its masks"),
    (with_nested("metrics", **{"layers/fc1/num_nonzero": "NaN"}), "cannot convert float NaN to integer"),
    (with_nested("tags", **{"mlflow.user": "me"}), "String should match pattern"),
    (with_nested("params", layers="[]"), "Tuple should have at least 1 item"),
    (with_nested("params", layers='[["fc1", 5, 20], ["../x", 1, 5]]'), "String should match pattern"),
    (with_nested("params", layers='[["fc1", 6, 20], ["fc2", 1, 6]]'), "layer 'fc1' is not 6 × 20 numbers"),
    (put("weights.safetensors", b"\x80\x04\x95pickle"), "Error while deserializing header"),
    (put("weights.safetensors", (2**40).to_bytes(8, "little")), "Error while deserializing header"),
    (put("fc1.png", b"<script>"), "sparsity/fc1.png: not a PNG of 5 × 20 pixels"),
]


@pytest.mark.parametrize(("edit", "reason"), REFUSALS)
def test_what_does_not_fit_is_refused(exported: tuple[Recorder, Path], tmp_path: Path, edit: Edit, reason: str) -> None:
    assert reason in refused(repack(exported[1], tmp_path / "x.zip", edit), tmp_path)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (put("weights.safetensors", b"other"), "weights.safetensors is damaged: its checksum is another one"),
        (remove("fc1.png"), "fc1.png is missing"),
        (remove("checksums.json"), "checksums.json is missing"),
        (add(f"replicates/{'0' * 32}/replicate.json"), "replicate.json does not belong there"),
    ],
)
def test_what_the_checksums_do_not_cover_is_refused(
    exported: tuple[Recorder, Path], tmp_path: Path, edit: Edit, reason: str
) -> None:
    assert reason in refused(repack(exported[1], tmp_path / "x.zip", edit, sums=False), tmp_path)


def test_weights_and_masks_must_be_those_of_the_layers(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    right = {"fc1.weight": torch.rand(5, 20), "fc2.weight": torch.rand(1, 5)}
    masks = {"fc1": torch.rand(5, 20) < 0.5, "fc2": torch.rand(1, 5) < 0.5}
    weights_file, masks_file = schema.WEIGHTS_FILE, schema.MASKS_FILE
    packed = {"fc1": torch.zeros(1, dtype=torch.uint8), "fc2": torch.zeros(1, dtype=torch.uint8)}
    shapes = {"shapes": '{"fc1": [5, 20], "fc2": [1, 5]}'}
    huge = {"shapes": '{"fc1": [500000, 2000000], "fc2": [1, 5]}'}
    cases: list[tuple[str, Callable[[Path], None], str]] = [
        (weights_file, lambda path: save_file({"fc1.weight": right["fc1.weight"]}, path), "no weights of layer 'fc2'"),
        (weights_file, lambda path: save_file({**right, "fc2.weight": torch.rand(5)}, path), "'fc2' is not 1 × 5"),
        (weights_file, lambda path: save_file({k: v.int() for k, v in right.items()}, path), "numbers of type I32"),
        (weights_file, lambda path: save_file({**right, "b": torch.rand(1).bfloat16()}, path), "numbers of type BF16"),
        (masks_file, lambda path: save_masks(masks, path), "its figures are not those of its masks"),
        (masks_file, lambda path: save_masks({"fc1": masks["fc1"]}, path), "not the masks of these layers"),
        (masks_file, lambda path: save_file(packed, path), "Invalid JSON"),
        (masks_file, lambda path: save_file(packed, path, huge), "not the masks of these layers"),
        (masks_file, lambda path: save_file(packed, path, shapes), "layer 'fc1' is not packed as 5 × 20 bits"),
        (masks_file, lambda path: save_file({"fc1": packed["fc1"]}, path, shapes), "not one mask a layer"),
    ]
    for name, write, reason in cases:
        edit = with_file(name, write, tmp_path)
        assert reason in refused(repack(exported[1], tmp_path / "x.zip", edit), tmp_path)


def test_cells_must_be_such_as_are_known_here(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    def with_cell(**values: Any) -> Edit:
        def edit(entries: Entries) -> None:
            found = json.loads(entries[archive.CELLS])
            found[0]["cell"] |= values
            entries[archive.CELLS] = json.dumps(found).encode()

        return edit

    def twice(entries: Entries) -> None:
        found = json.loads(entries[archive.CELLS])
        entries[archive.CELLS] = json.dumps([*found, found[0]]).encode()

    for edit, reason in (
        (with_cell(task={"name": "regression", "hidden": [0]}), "hidden.0: Input should be greater than"),
        (with_cell(task={"name": "regression", "more": 1}), "more: Extra inputs are not permitted"),
        (with_cell(task={"hidden": [5]}), "a cell whose task has no name"),
        (with_cell(task={"name": "own", "depth": math.inf}), "Out of range float values"),
        (with_cell(task={"name": "own", "text": "x" * 9000}), "a cell of more than 8000 characters"),
        (with_cell(task={"name": "own", "a//b": 1}), "String should match pattern"),
        (with_cell(regularization={"l1": "1"}), "regularization.l1: Input should be a valid number"),
        (twice, "a cell stands there twice"),
    ):
        message = refused(repack(exported[1], tmp_path / "x.zip", edit), tmp_path)
        assert message.startswith("cells.json: ")
        assert reason in message


def test_entries_that_are_no_plain_files_are_refused(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    def written(change_entry: Callable[[zipfile.ZipInfo], None]) -> Path:
        """The export with the directory of the zip changed for one entry."""
        path = tmp_path / "x.zip"
        repack(exported[1], path, lambda entries: None)
        with zipfile.ZipFile(path, "a") as file:
            change_entry(next(entry for entry in file.infolist() if entry.filename.endswith("fc1.png")))
            file._didModify = True  # type: ignore[attr-defined]
        return path

    def set_to(**values: int) -> Callable[[zipfile.ZipInfo], None]:
        def change(entry: zipfile.ZipInfo) -> None:
            for name, value in values.items():
                setattr(entry, name, value)

        return change

    for change_entry, reason in (
        (set_to(external_attr=(stat.S_IFLNK | 0o777) << 16), "is no file but a link or a folder"),
        (set_to(external_attr=0x10), "is no file but a link or a folder"),
        (set_to(flag_bits=0x1), "is not packed as `dn export` packs it"),
        (set_to(compress_type=zipfile.ZIP_DEFLATED), "is not packed as `dn export` packs it"),
        (set_to(file_size=17 << 20, compress_size=17 << 20), "too many"),
        (set_to(file_size=10 << 20, compress_size=10 << 20), "its entries overlap"),
        (set_to(file_size=10 << 20), "far more than it can"),
        (set_to(file_size=20), "fc1.png"),
    ):
        assert reason in refused(written(change_entry), tmp_path)


def test_a_name_that_stands_there_twice_is_refused(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    path = repack(exported[1], tmp_path / "x.zip", lambda entries: None)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(archive.SWEEP, "{}", zipfile.ZIP_DEFLATED)
    assert "sweep.json stands there twice" in refused(path, tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(exported: tuple[Recorder, Path], tmp_path: Path) -> None:
    for size, reason in ((60 << 20, "far more than it can"), (65 << 20, "too many")):
        path = repack(exported[1], tmp_path / "x.zip", put("sweep.json", b" " * size))
        assert path.stat().st_size < 1 << 20
        assert reason in refused(path, tmp_path)


def test_what_is_no_file_or_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")
    assert refused(tmp_path / "x.zip", tmp_path) == "File is not a zip file"
    assert refused(tmp_path / "absent.zip", tmp_path) == "No such file or directory"
    assert refused(tmp_path, tmp_path) == "is a folder, not a file"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe", tmp_path) == "not a regular file"


def test_filters_that_masks_do_not_tell_to_be_alive_are_no_contradiction() -> None:
    """Those whose constant ends at a border are alive besides what lies on paths."""
    masks = {"one": torch.ones(4, 1, 3, 3) > 0, "two": torch.ones(2, 4, 3, 3) > 0, "three": torch.ones(3, 2) > 0}
    masks["one"][:2] = False
    counted = sparsity.count(masks)
    said = sparsity.count(masks, needed={"one": (4, 1), "two": (2, 4), "three": (3, 2)})
    assert said.dense_size > counted.dense_size
    assert checks._recounted(said) == checks._recounted(counted)
    masks["two"][0, 0] = False
    assert checks._recounted(said) != checks._recounted(sparsity.count(masks))
    without = {name: masks[name] for name in ("two", "three")}  # a first convolution alone: paths tell all
    assert checks._recounted(sparsity.count(without)) != checks._recounted(
        sparsity.count(without, needed={"two": (3, 4), "three": (3, 2)})
    )
