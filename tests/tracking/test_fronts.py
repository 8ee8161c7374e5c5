"""Fronts on points whose order is plain, and chosen on validation data only."""

from dataclasses import replace
from pathlib import Path

import pytest
from fabricated import Recorder, make_cell, make_manifest, make_outcome, make_row

from dn_distributed.config import Pruning
from tracking import fronts
from tracking.cells import gather
from tracking.fronts import Point
from tracking.manifest import Manifest
from tracking.reader import Snapshot


def point(density: float, validation: float, test: float = 0.0) -> Point:
    left = {"density": density, "neurons_alive": 100 * density}
    return Point("cell", 0.01, left, dict.fromkeys(left), validation, test, None, 1)


POINTS = [point(0.5, 0.98), point(0.1, 0.95), point(0.2, 0.94), point(0.05, 0.5), point(0.3, 0.97), point(0.9, 0.98)]


def test_a_front_has_what_no_other_point_beats() -> None:
    best = fronts.front(POINTS, "density", higher_is_better=True)
    assert [(p.left["density"], p.validation) for p in best] == [(0.05, 0.5), (0.1, 0.95), (0.3, 0.97), (0.5, 0.98)]


def test_where_lower_is_better_the_front_turns_over() -> None:
    errors = [point(p.left["density"], 1 - p.validation) for p in POINTS]
    best = fronts.front(errors, "density", higher_is_better=False)
    assert [p.left["density"] for p in best] == [0.05, 0.1, 0.3, 0.5]


def test_test_scores_take_no_part() -> None:
    tempting = [*POINTS, point(0.2, 0.90, test=1.0)]
    assert all(p.test == 0.0 for p in fronts.front(tempting, "density", higher_is_better=True))


@pytest.mark.parametrize(("level", "density"), [(0.94, 0.1), (0.96, 0.3), (0.98, 0.5), (0.4, 0.05)])
def test_the_smallest_at_a_level(level: float, density: float) -> None:
    found = fronts.smallest_within(POINTS, "density", level, higher_is_better=True)
    assert found is not None
    assert found.left["density"] == density


def test_no_point_reaches_too_high_a_level() -> None:
    assert fronts.smallest_within(POINTS, "density", 0.99, higher_is_better=True) is None


def curve(*densities: float) -> list[dict[str, float]]:
    return [
        {"threshold": t, "density": d, "neurons_alive": 10 * d, "validation/nmse": 1 - d, "test/nmse": 2 - d}
        for t, d in enumerate(densities)
    ]


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest({"M": [make_cell(l1=1.0), make_cell(l1=2.0)]})


def test_points_are_means_over_the_seeds_of_complete_configurations(manifest: Manifest) -> None:
    whole, half = manifest.methods[0].cells
    rows = (make_row(whole, 0), make_row(whole, 1), make_row(half, 0))
    (method,) = gather(manifest, Snapshot(rows, ()))
    curves = {whole.key: {0: curve(0.5, 0.25), 1: curve(0.7, 0.35)}, half.key: {0: curve(0.1, 0.1)}}
    found = fronts.points(manifest, method, curves)
    assert [(p.cell_key, p.threshold, p.n) for p in found] == [(whole.key, 0, 2), (whole.key, 1, 2)]
    assert [p.left["density"] for p in found] == pytest.approx([0.6, 0.3])
    assert found[0].left_std["neurons_alive"] == pytest.approx(2**0.5)
    assert fronts.savings(found) == ["density", "neurons_alive"]
    assert fronts.savings([]) == []
    assert [p.test for p in found] == pytest.approx([1.4, 1.7])
    assert found[0].test_std == pytest.approx(0.1 * 2**0.5)


def test_curves_are_read_of_every_replicate_that_has_one(recorder: Recorder) -> None:
    plain = make_cell(l1=1.0)
    measured = plain.model_copy(update={"pruning": Pruning(threshold=0.01, curve=(0.0, 0.1))})
    recorder.finish(plain, 0)
    for run, densities in zip(recorder.start(measured, 0, 1), ((0.5, 0.25), (0.7, 0.35)), strict=True):
        run.finish(replace(make_outcome(measured, 0), curve=tuple(curve(*densities))), "cpu")
    methods = gather(make_manifest({"A": [plain], "B": [measured]}), recorder.read())
    found = fronts.read(recorder.location, methods)
    assert found == {measured.key: {0: curve(0.5, 0.25), 1: curve(0.7, 0.35)}}


def test_curves_are_shipped_and_read_again(tmp_path: Path) -> None:
    curves = {"cell": {0: curve(0.5, 0.25), 12: curve(0.7, 0.35)}}
    path = tmp_path / "curves.json"
    path.write_text(fronts.as_json(curves))
    assert fronts.load(path) == curves
    assert fronts.load(tmp_path / "absent.json") == {}
