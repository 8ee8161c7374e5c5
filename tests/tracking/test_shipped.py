"""Rows leave the store as JSON and come back the same."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.errors import StoreError
from tracking.results import rows_file
from tracking.results.rows import Ended, Snapshot
from tracking.results.rows_file import Shipped

CELL, OTHER, FOREIGN = (make_cell(l1=float(place)) for place in (1, 2, 3))


@pytest.fixture
def sweep() -> Shipped:
    rows = [make_row(CELL, 1), make_row(CELL, 0, train__loss=math.inf), make_row(OTHER, 0, train__loss=math.nan)]
    ended = (Ended(OTHER.key, OTHER.replicate_key(1), 1, "failed", "the numbers ran away"),)
    return Shipped(make_manifest({"b": [CELL], "a": [OTHER]}), Snapshot(tuple(rows), ended), {"Software": "torch"})


def test_what_is_written_is_read(sweep: Shipped, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(rows_file.as_json(sweep), encoding="utf-8")
    read = rows_file.load(path)
    assert (read.manifest, read.provenance, read.snapshot.ended) == (
        sweep.manifest, {"Software": "torch"}, sweep.snapshot.ended,
    )  # fmt: skip
    by_key = {row.replicate_key: row for row in read.snapshot.rows}
    for row in sweep.snapshot.rows:
        back = by_key[row.replicate_key]
        assert (back.cell_key, back.seed, back.counts) == (row.cell_key, row.seed, row.counts)
        assert back.metrics == pytest.approx(row.metrics, rel=0, abs=0, nan_ok=True)
    assert rows_file.as_json(read) == rows_file.as_json(sweep)


def test_rows_are_in_order_and_only_those_of_the_sweep(sweep: Shipped) -> None:
    more = (*sweep.snapshot.rows, make_row(FOREIGN, 0), make_row(CELL, 7))
    text = rows_file.as_json(Shipped(sweep.manifest, Snapshot(more, ()), {}))
    assert [(row["method"], row["seed"]) for row in json.loads(text)["replicates"]] == [("a", 0), ("b", 0), ("b", 1)]


def test_a_replicate_carries_its_dense_size(sweep: Shipped) -> None:
    for replicate in json.loads(rows_file.as_json(sweep))["replicates"]:
        (row,) = (row for row in sweep.snapshot.rows if row.replicate_key == replicate["replicate_key"])
        inputs, hidden, outputs = (unit.alive for unit in row.counts.units)
        assert replicate["dense_size"] == inputs * hidden + hidden * outputs
        assert replicate["dense_compression"] == 105 / replicate["dense_size"]


def edited(sweep: Shipped, tmp_path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    value = json.loads(rows_file.as_json(sweep))
    edit(value)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_rows_of_an_earlier_version_have_no_dense_size(sweep: Shipped, tmp_path: Path) -> None:
    def as_before(value: dict[str, Any]) -> None:
        for replicate in value["replicates"]:
            del replicate["dense_size"], replicate["dense_compression"]

    assert rows_file.as_json(rows_file.load(edited(sweep, tmp_path, as_before))) == rows_file.as_json(sweep)


def of_first(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["replicates"][0].update({name: value})


def metric_of_first(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["replicates"][0]["metrics"].update({name: value})


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda whole: whole["replicates"].append(whole["replicates"][0]), "seed 0, stands there twice"),
        (of_first("seed", 7), "has seed 7, which the sweep does not ask for"),
        (of_first("seed", "0"), "replicates.0.seed: Input should be a valid integer"),
        (of_first("seed", True), "replicates.0.seed: Input should be a valid integer"),
        (of_first("seed", -1), "replicates.0.seed: Input should be greater than or equal to 0"),
        (of_first("cell_key", FOREIGN.key), "is of a cell that the sweep does not have"),
        (of_first("layers", [["fc1", "5", 20]]), "replicates.0.layers.0.1: Input should be a valid integer"),
        (of_first("metrics", []), "replicates.0.metrics: Input should be an object"),
        (metric_of_first("test/nmse/after_pruning", "abc"), "test/nmse/after_pruning: Input should be a valid number"),
        (metric_of_first("test/nmse/after_pruning", None), "test/nmse/after_pruning: Input should be a valid number"),
        (metric_of_first("layers/fc1/num_nonzero", 0.5), "layers/fc1/num_nonzero is 0.5, which counts nothing"),
        (metric_of_first("layers/fc1/num_nonzero", "Infinity"), "layers/fc1/num_nonzero is inf, which counts nothing"),
        (metric_of_first("layers/fc1/num_nonzero", 101.0), "101 of 100 are left in fc1"),
        (metric_of_first("neurons/input/alive", -1.0), "-1 of 20 are left in input"),
        (lambda whole: whole["replicates"][0]["metrics"].pop("neurons/fc1/alive"), "'neurons/fc1/alive' is missing"),
        (lambda whole: whole["sweep"]["methods"][1].update(label="b"), "the label 'b' stands there twice"),
        (lambda whole: whole.update(replicates={}), "replicates: Input should be a valid"),
    ],
)
def test_what_would_be_counted_wrongly_is_refused_in_one_line(
    sweep: Shipped, tmp_path: Path, edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    path = edited(sweep, tmp_path, edit)
    with pytest.raises(StoreError, match=re.escape(reason)) as error:
        rows_file.load(path)
    assert str(error.value).startswith(f"{path}: no rows of a sweep")
    assert "\n" not in str(error.value)


def test_what_ended_is_counted_once_and_only_without_a_result(sweep: Shipped, tmp_path: Path) -> None:
    def twice(value: dict[str, Any]) -> None:
        finished = value["replicates"][0]
        again = {**value["ended"][0], **{name: finished[name] for name in ("cell_key", "replicate_key", "seed")}}
        value["ended"] += [value["ended"][0], again]

    assert rows_file.load(edited(sweep, tmp_path, twice)).snapshot.ended == sweep.snapshot.ended


def test_a_reason_is_one_line(sweep: Shipped, tmp_path: Path) -> None:
    path = edited(sweep, tmp_path, lambda value: value["ended"][0].update(reason="red\x1b[31m\nlines"))
    assert rows_file.load(path).snapshot.ended[0].reason == "red\\x1b[31m lines"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="not a regular file"):
        rows_file.load(tmp_path / "pipe")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sweep": 3}', '{"sweep": {}, "replicates": []}', "\x00"])
def test_another_file_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="no rows of a sweep") as error:
        rows_file.load(path)
    assert "\n" not in str(error.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        rows_file.load(tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sweep": {"seeds": [-1]}}, "expected different whole numbers"),
        ({"sweep": {"methods": [{"label": str(i), "cells": []} for i in range(10_000)]}}, "10000 methods are too many"),
        ({"sweep": {"methods": [{"label": "\x1b[31m", "cells": []}]}}, r"printable characters, not '\\x1b\[31m'"),
        ({"sweep": {"name": "../up"}}, "no name of a sweep"),
        ({"replicates": {"seed": 2**63}}, "replicates.0.seed"),
        ({"ended": {"state": "\x1b[31m"}}, r"ended\.0\.state"),
    ],
)
def test_the_limits_of_a_sweep_file_hold(
    change: dict[str, dict[str, object]], reason: str, sweep: Shipped, tmp_path: Path
) -> None:
    value = json.loads(rows_file.as_json(sweep))
    for part, changed in change.items():
        (value[part] if part == "sweep" else value[part][0]).update(changed)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError, match=reason):
        rows_file.load(path)


def test_what_is_shown_of_a_file_is_a_printable_line(sweep: Shipped, tmp_path: Path) -> None:
    value = json.loads(rows_file.as_json(sweep))
    value["ended"][0]["reason"] = "\x1b[31mred\n" + "x" * 400_000
    value["provenance"]["Software"] = "\x1b]0;title\x07"
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(value))
    read = rows_file.load(path)
    (ended,) = read.snapshot.ended
    assert ended.reason.startswith("\\x1b[31mred xxx")
    assert len(ended.reason) == 1000
    assert read.provenance == {"Software": "\\x1b]0;title\\x07"}
