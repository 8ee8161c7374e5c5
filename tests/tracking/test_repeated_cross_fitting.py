"""Estimates at equal score over many cuts of the seeds, whose errors hold what the choice adds."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.test_results_page import module_at
from tracking.results import cross_fitting, repeated_cross_fitting
from tracking.results.fronts import Measured, Point
from tracking.results.repeated_cross_fitting import Estimate, compare, estimates

SEEDS = range(6)


def points(densities: list[float], scores: list[float], *, spread: float = 0.0) -> list[Point]:
    random = np.random.default_rng(0)
    return [
        Point(
            "cell",
            density,
            {
                seed: Measured({"density": density * math.exp(random.normal(0, spread))}, score, score - 0.01)
                for seed in SEEDS
            },
        )
        for density, score in zip(densities, scores, strict=True)
    ]


def read(methods: dict[str, list[Point]], drop: float, *, higher_is_better: bool = True) -> dict[str, Estimate | None]:
    found = estimates(methods, methods, ["density"], [drop], higher_is_better=higher_is_better)
    return found["density", drop]


def test_seeds_that_agree_have_the_value_of_the_line_and_no_error() -> None:
    (found,) = read({"a": points([0.1, 0.4], [0.90, 0.94])}, 0.02).values()
    assert found is not None
    assert math.exp(found.mean) == pytest.approx(0.2)
    assert found.test == pytest.approx(0.91)
    assert found.interval.high - found.interval.low == pytest.approx(0, abs=1e-12)


def test_errors_lie_on_lines_of_logarithms_and_less_is_better() -> None:
    methods = {"a": [*points([0.9], [0.02]), *points([0.1], [0.08])]}
    (found,) = read(methods, 1.0, higher_is_better=False).values()  # twice the best error: half way by logarithms
    assert found is not None
    assert math.exp(found.mean) == pytest.approx(0.3)


def test_one_cut_is_read_as_cross_fitting_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {"a": points([0.1, 0.2, 0.4], [0.90, 0.93, 0.94], spread=0.3), "b": points([0.3], [0.95])}
    halves = cross_fitting.halves(SEEDS)
    at = [(half, cross_fitting.best_score(methods, half, higher_is_better=True) - 0.03) for half in halves]
    readings = cross_fitting.read(methods["a"], "density", at, higher_is_better=True)
    expected = sum(math.log(reading.left) for reading in readings.values()) / len(SEEDS)
    monkeypatch.setattr(repeated_cross_fitting, "_cuts", lambda seats: [(seats[:3], seats[3:]), (seats[3:], seats[:3])])
    found = read(methods, 0.03)["a"]
    assert found is not None
    assert found.mean == pytest.approx(expected)


@pytest.mark.parametrize("what", ["not reached", "nothing left"])
def test_what_has_no_size_at_the_level_has_no_estimate(what: str) -> None:
    low = points([0.1], [0.5]) if what == "not reached" else points([0.0, 0.4], [0.93, 0.94])
    found = read({"low": low, "high": points([0.3], [0.95])}, 0.005 if what == "not reached" else 0.018)
    assert (found["low"] is None) == (what == "not reached")
    assert found["high"] is not None


def test_the_error_of_a_difference_is_the_jackknifes() -> None:
    first, second = Estimate(1.0, 0.9, (0.9, 1.0, 1.1)), Estimate(0.5, 0.9, (0.5, 0.5, 0.5))
    item = compare("size", ("a", "b"), first, second)
    error = math.sqrt(2 / 3 * 0.02)  # (n - 1) / n times the sum of squares
    assert item.difference == 0.5
    assert item.interval.high == pytest.approx(0.5 + 4.302653 * error, rel=1e-6)
    assert item.p == pytest.approx(0.050, abs=0.01)
    assert compare("size", ("a", "a"), second, second).p == 1


def test_it_finds_no_difference_where_there_is_none_and_one_cut_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_cross_fitting, "SPLITS", 6)
    script = module_at(Path(__file__).parents[2] / "docs" / "results" / "calibration.py")
    planned, used = zip(*script.trials(24, *script.SPREADS[0], seed=1), strict=True)
    assert script.found(used) <= 0.15
    assert script.found(planned) > 0.3
