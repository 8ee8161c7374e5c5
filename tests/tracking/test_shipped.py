"""Rows leave the store as JSON and come back the same."""

import json
import math
from pathlib import Path

import pytest
from fabricated import make_cell, make_manifest, make_row

from tracking import shipped
from tracking.reader import Ended, Snapshot
from tracking.shipped import Shipped
from tracking.store import StoreError

CELL, OTHER, FOREIGN = (make_cell(l1=float(place)) for place in (1, 2, 3))


@pytest.fixture
def sweep() -> Shipped:
    rows = [make_row(CELL, 1), make_row(CELL, 0, train__loss=math.inf), make_row(OTHER, 0, train__loss=math.nan)]
    ended = (Ended(OTHER.key, OTHER.replicate_key(1), 1, "failed", "the numbers ran away"),)
    return Shipped(make_manifest({"b": [CELL], "a": [OTHER]}), Snapshot(tuple(rows), ended), {"Software": "torch"})


def test_what_is_written_is_read(sweep: Shipped, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(shipped.as_json(sweep), encoding="utf-8")
    read = shipped.load(path)
    assert (read.manifest, read.provenance, read.snapshot.ended) == (
        sweep.manifest, {"Software": "torch"}, sweep.snapshot.ended,
    )  # fmt: skip
    by_key = {row.replicate_key: row for row in read.snapshot.rows}
    for row in sweep.snapshot.rows:
        back = by_key[row.replicate_key]
        assert (back.cell_key, back.seed, back.counts) == (row.cell_key, row.seed, row.counts)
        assert back.metrics == pytest.approx(row.metrics, rel=0, abs=0, nan_ok=True)
    assert shipped.as_json(read) == shipped.as_json(sweep)


def test_rows_are_in_order_and_only_those_of_the_sweep(sweep: Shipped) -> None:
    more = (*sweep.snapshot.rows, make_row(FOREIGN, 0), make_row(CELL, 7))
    text = shipped.as_json(Shipped(sweep.manifest, Snapshot(more, ()), {}))
    assert [(row["method"], row["seed"]) for row in json.loads(text)["replicates"]] == [("a", 0), ("b", 0), ("b", 1)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sweep": 3}', '{"sweep": {}, "replicates": []}', "\x00"])
def test_another_file_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="no rows of a sweep") as error:
        shipped.load(path)
    assert "\n" not in str(error.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        shipped.load(tmp_path / "rows.json")
