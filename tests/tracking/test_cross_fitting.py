"""Half the seeds choose, the others report, and then the other way round."""

import math

import pytest

from tracking.results import cross_fitting, fronts
from tracking.results.fronts import Measured, Point

SEEDS = (0, 1, 2, 3)


def point(threshold: float, densities: dict[int, float], validation: dict[int, float], test: float = 0.9) -> Point:
    seeds = {seed: Measured({"density": densities[seed]}, validation[seed], test + seed / 1000) for seed in densities}
    return Point("cell", threshold, seeds)


def same(value: float) -> dict[int, float]:
    return dict.fromkeys(SEEDS, value)


def test_halves_are_even_and_in_order() -> None:
    assert cross_fitting.halves([3, 1, 0, 2]) == ((0, 1), (2, 3))
    assert cross_fitting.halves([4, 2, 9]) == ((2,), (4, 9))


def test_a_seed_is_read_at_the_place_that_the_other_half_chose() -> None:
    small = point(0.2, {0: 0.1, 1: 0.1, 2: 0.2, 3: 0.4}, same(0.90), test=0.8)
    large = point(0.1, {0: 0.4, 1: 0.4, 2: 0.8, 3: 0.4}, same(0.94), test=0.9)
    found = cross_fitting.read([large, small], "density", [((0, 1), 0.92), ((2, 3), 0.94)], higher_is_better=True)
    assert sorted(found) == [0, 1, 2, 3]
    assert found[2].left == pytest.approx(0.4)  # half way from 0.2 to 0.8 by logarithms: chosen by seeds 0 and 1
    assert found[2].test == pytest.approx(0.852)
    assert found[3].left == pytest.approx(0.4)
    assert found[0].left == pytest.approx(0.4)  # chosen by seeds 2 and 3, at the end of their front
    assert found[1].test == pytest.approx(0.901)


def test_a_seed_takes_no_part_in_its_own_choice() -> None:
    lucky = point(0.3, {0: 0.01, 1: 0.5, 2: 0.5, 3: 0.5}, {0: 0.99, 1: 0.5, 2: 0.5, 3: 0.5})
    plain = point(0.1, same(0.5), same(0.95))
    found = cross_fitting.read([lucky, plain], "density", [((0, 1), 0.9), ((2, 3), 0.9)], higher_is_better=True)
    assert found[0].left == 0.5


def test_a_half_that_does_not_reach_the_score_chooses_nothing() -> None:
    found = cross_fitting.read(
        [point(0.1, same(0.5), {0: 0.9, 1: 0.9, 2: 0.8, 3: 0.8})],
        "density",
        [((0, 1), 0.85), ((2, 3), 0.85)],
        higher_is_better=True,
    )
    assert sorted(found) == [2, 3]


def test_errors_lie_on_lines_of_logarithms_and_less_is_better() -> None:
    methods = {"a": [point(0.1, same(0.9), same(0.01)), point(0.2, same(0.1), same(0.04))], "b": []}
    assert cross_fitting.best_score(methods, (0, 1), higher_is_better=False) == 0.01
    levels = [((0, 1), 0.02), ((2, 3), 0.02)]
    found = cross_fitting.read(methods["a"], "density", levels, higher_is_better=False)
    assert found[1].left == pytest.approx(math.sqrt(0.9 * 0.1))


def test_a_seed_with_nothing_left_at_a_point_has_no_place_on_the_line() -> None:
    small = point(0.2, {0: 0.1, 1: 0.1, 2: 0.0, 3: 0.4}, same(0.90))
    large = point(0.1, same(0.4), same(0.94))
    found = cross_fitting.read([large, small], "density", [((0, 1), 0.92), ((2, 3), 0.92)], higher_is_better=True)
    assert sorted(found) == [0, 1, 3]


@pytest.mark.parametrize("order", [1, -1])
def test_a_score_that_is_no_number_is_the_best_of_none(order: int) -> None:
    methods = {"a": [point(0.1, same(0.5), same(0.9)), point(0.2, same(0.4), same(math.nan))][::order]}
    assert cross_fitting.best_score(methods, (0, 1), higher_is_better=True) == 0.9
    assert fronts.levels(methods["a"], higher_is_better=False)[0] == pytest.approx(0.9 * 1.05)
