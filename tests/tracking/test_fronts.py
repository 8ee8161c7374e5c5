"""Fronts on points whose order is plain, and chosen on validation data only."""

import math

import pytest

from tests.near import near
from tests.tracking.fabricated import make_cell, make_curve, make_manifest, make_row
from tracking.manifest import Manifest
from tracking.results import fronts
from tracking.results.cells import gather
from tracking.results.fronts import Measured, Point
from tracking.results.rows import Snapshot


def measured(density: float, validation: float, test: float = 0.0) -> Measured:
    return Measured({"density": density, "neurons_alive": 100 * density}, validation, test)


def point(density: float, validation: float, test: float = 0.0) -> Point:
    return Point("cell", 0.01, {0: measured(density, validation, test)})


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


def test_between_two_points_a_front_is_read_on_a_straight_line_of_logarithms() -> None:
    found = [point(0.01, 0.9, test=0.8), point(0.04, 0.94, test=0.84), point(0.02, 0.85, test=1.0)]
    read = fronts.read_at(found, "density", 0, 0.92, higher_is_better=True)
    assert read is not None
    assert read.left == pytest.approx(0.02)  # the geometric mean of 0.01 and 0.04
    assert read.test == pytest.approx(0.82)
    assert [p.left["density"] for p in read.between] == [0.01, 0.04]


def test_an_error_is_read_on_its_logarithm_too() -> None:
    found = [point(0.01, 1e-2, test=4e-2), point(0.04, 1e-4, test=4e-4)]
    read = fronts.read_at(found, "density", 0, 1e-3, higher_is_better=False)
    assert read is not None
    assert (read.left, read.test) == (near(0.02), near(4e-3))


def test_a_point_at_the_level_is_read_as_it_is() -> None:
    for higher, points in ((True, POINTS), (False, [point(p.left["density"], 1 - p.validation) for p in POINTS])):
        level = 0.97 if higher else 1 - 0.97
        read = fronts.read_at(points, "density", 0, level, higher_is_better=higher)
        assert read is not None
        assert read.left == pytest.approx(0.3)


def test_where_the_smallest_is_good_enough_it_is_read_and_no_other() -> None:
    read = fronts.read_at(POINTS, "density", 0, 0.4, higher_is_better=True)
    assert read is not None
    assert (read.left, len(read.between)) == (0.05, 1)


def test_beyond_its_best_point_a_front_says_nothing() -> None:
    assert fronts.read_at(POINTS, "density", 0, 0.99, higher_is_better=True) is None
    assert fronts.read_at(POINTS, "density", 0, 0.98, higher_is_better=True) is not None


def test_networks_of_nothing_are_no_points_of_a_front() -> None:
    found = [point(0.0, 0.1), point(0.1, 0.9)]
    read = fronts.read_at(found, "density", 0, 0.5, higher_is_better=True)
    assert read is not None
    assert (read.left, len(read.between)) == (0.1, 1)


def test_each_seed_has_a_front_of_its_own() -> None:
    found = [
        Point("a", 0.1, {0: measured(0.1, 0.9), 1: measured(0.2, 0.95)}),
        Point("b", 0.1, {0: measured(0.3, 0.95), 1: measured(0.3, 0.9)}),
    ]
    reads = [fronts.read_at(found, "density", seed, 0.95, higher_is_better=True) for seed in (0, 1)]
    assert [read and read.left for read in reads] == [0.3, 0.2]
    assert found[0].validation == pytest.approx(0.925)


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest({"M": [make_cell(l1=1.0), make_cell(l1=2.0)]})


def test_points_are_means_over_the_seeds_of_complete_configurations(manifest: Manifest) -> None:
    whole, half = manifest.methods[0].cells
    rows = (make_row(whole, 0), make_row(whole, 1), make_row(half, 0))
    (method,) = gather(manifest, Snapshot(rows, ()))
    curves = {whole.key: {0: make_curve(0.5, 0.25), 1: make_curve(0.7, 0.35)}, half.key: {0: make_curve(0.1, 0.1)}}
    found = fronts.points(manifest, method, curves)
    assert [(p.cell_key, p.threshold, p.n) for p in found] == [(whole.key, 0, 2), (whole.key, 1, 2)]
    assert [p.left["density"] for p in found] == pytest.approx([0.6, 0.3])
    assert found[0].left_std["neurons_alive"] == pytest.approx(2**0.5)
    assert fronts.sizes(found) == ["density", "neurons_alive"]
    assert fronts.sizes([]) == []
    assert [p.test for p in found] == pytest.approx([1.4, 1.7])
    assert found[0].test_std == pytest.approx(0.1 * 2**0.5)


def test_fronts_are_drawn_against_dense_size_where_every_curve_has_it(manifest: Manifest) -> None:
    cell = manifest.methods[0].cells[0]
    (method,) = gather(manifest, Snapshot((make_row(cell, 0), make_row(cell, 1)), ()))
    curve = [{**at, "dense_size": 1000 * at["density"]} for at in make_curve(0.5, 0.25)]
    found = fronts.points(manifest, method, {cell.key: {0: curve, 1: curve}})
    assert fronts.sizes(found) == ["density", "neurons_alive", "dense_size"]
    assert [point.left["dense_size"] for point in fronts.front(found, "dense_size", higher_is_better=True)] == [250.0]
    found = fronts.points(manifest, method, {cell.key: {0: curve, 1: make_curve(0.5, 0.25)}})
    assert fronts.sizes(found) == ["density", "neurons_alive"]


def test_a_cell_of_which_a_seed_has_no_curve_has_no_points(manifest: Manifest) -> None:
    cell = manifest.methods[0].cells[0]
    (method,) = gather(manifest, Snapshot((make_row(cell, 0), make_row(cell, 1)), ()))
    assert fronts.points(manifest, method, {cell.key: {0: make_curve(0.5)}}) == []
    foreign = {cell.key: {0: make_curve(0.5), 1: make_curve(0.5), 7: make_curve(0.1)}}
    assert [point.n for point in fronts.points(manifest, method, foreign)] == [2]


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_has_no_place_on_a_front(score: float) -> None:
    found = [point(0.01, score), point(0.02, 0.3, test=0.3), point(0.04, 0.1, test=0.1)]
    read = fronts.read_at(found, "density", 0, 0.1, higher_is_better=False)
    assert read is not None
    assert (read.left, read.test) == (near(0.04), near(0.1))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_front_leaves_out_what_has_no_place_on_it(score: float) -> None:
    found = [point(0.01, score), point(0.0, 0.9), point(0.02, 0.3, test=score), point(0.04, 0.5, test=0.1)]
    assert fronts.front(found, "density", higher_is_better=True) == found[-1:]


@pytest.mark.parametrize("best", [0.02, -0.02])
def test_levels_of_an_error_are_worse_than_the_best_below_0_too(best: float) -> None:
    levels = fronts.levels([point(0.1, best)], higher_is_better=False)
    assert levels[:2] == near([best + 0.001, best + 0.002])
    assert levels == sorted(levels)


@pytest.mark.parametrize("best", range(4500, 5001, 25))
def test_a_score_that_is_exactly_so_much_worse_reaches_the_level(best: int) -> None:
    levels = fronts.levels([point(0.1, best / 5000)], higher_is_better=True)
    assert levels[0] == (best - 5) / 5000
    assert levels[3] == (best - 50) / 5000
