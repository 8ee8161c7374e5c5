"""Curves over thresholds: read from a store, shipped, and read from a file that may hold anything."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dn_distributed.config import Pruning
from tests.tracking.fabricated import Recorder, make_cell, make_curve, make_manifest, make_outcome
from tracking.errors import StoreError
from tracking.results import threshold_curves
from tracking.results.cells import gather

KEY = "0123456789abcdef" * 2


def test_curves_are_read_of_every_replicate_that_has_one(recorder: Recorder) -> None:
    plain = make_cell(l1=1.0)
    measured = plain.model_copy(update={"pruning": Pruning(threshold=0.01, curve=(0.0, 0.1))})
    recorder.finish(plain, 0)
    for run, densities in zip(recorder.start(measured, 0, 1), ((0.5, 0.25), (0.7, 0.35)), strict=True):
        run.finish(replace(make_outcome(measured, 0), curve=tuple(make_curve(*densities))), "cpu")
    methods = gather(make_manifest({"A": [plain], "B": [measured]}), recorder.read())
    found = threshold_curves.read(recorder.location, methods, [])
    assert found == {measured.key: {0: make_curve(0.5, 0.25), 1: make_curve(0.7, 0.35)}}


def test_curves_are_shipped_and_read_again(tmp_path: Path) -> None:
    curves = {KEY: {0: make_curve(0.5, 0.25), 12: make_curve(0.7, 0.35)}}
    path = tmp_path / "curves.json"
    path.write_text(threshold_curves.as_json(curves))
    assert threshold_curves.load(path, "nmse") == curves
    assert threshold_curves.load(tmp_path / "absent.json", "nmse") == {}


@pytest.mark.parametrize(
    ("curves", "reason"),
    [
        ([], "Input should be an object"),
        (
            {KEY: {"0": make_curve(0.5), "1": make_curve(0.5, 0.25)}},
            "the seeds are not measured at the same thresholds",
        ),
        ({KEY: {"0": [{"threshold": 0.0, "density": 0.5}]}}, "seed 0: a point without validation/nmse"),
        ({KEY: {"0": [{"threshold": "x"}]}}, "Input should be a valid number"),
        ({KEY: {"zero": []}}, "Input should be a valid integer"),
    ],
)
def test_what_is_no_curve_is_refused_in_one_line(curves: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    path.write_text(json.dumps(curves))
    with pytest.raises(StoreError, match=reason) as error:
        threshold_curves.load(path, "nmse")
    assert "\n" not in str(error.value)
