"""What each method keeps at equal score, and whether the difference between two is shown."""

import pytest
from fabricated import make_cell, make_manifest

from tracking import equal_score
from tracking.equal_score import EqualScore
from tracking.fronts import Point

CELL = make_cell("lenet300")


def point(density: float, validation: float, noise: float = 0.001) -> Point:
    """Of three seeds, around a density."""
    left, left_std = {"density": density, "hidden_alive": 1000 * density}, {"density": density / 10, "hidden_alive": 2}
    by_seed = {
        "density": {seed: density + noise * (seed - 1) for seed in range(3)},
        "hidden_alive": dict.fromkeys(range(3), 1000 * density),
    }
    return Point("cell", 0.01, left, left_std, validation, validation, 0.001, 3, by_seed)


def test_at_equal_score_the_method_that_keeps_least_is_seen() -> None:
    manifest = make_manifest({"a": [CELL], "b": [CELL]})
    points = {"a": [point(0.1, 0.98), point(0.05, 0.97)], "b": [point(0.08, 0.976)], "none": []}
    head, *lines = equal_score.at_equal_score(manifest, points).grid
    assert head == ["validation score", "a (of 2)", "b (of 1)"]
    by_heading = {name: values for name, *values in lines}
    assert by_heading["accuracy ≥ 0.979: fewest weights"] == [
        "10.00 ± 1.00 % (test accuracy 0.98 ± 0.001)",
        "not reached",
    ]
    assert by_heading["accuracy ≥ 0.975: fewest hidden neurons alive"][1] == "80.0 ± 2.0 (test accuracy 0.976 ± 0.001)"
    assert by_heading["accuracy ≥ 0.97: fewest weights"][0].startswith("5.00 ± 0.50 %")


def test_without_curves_there_is_no_comparison_at_equal_score() -> None:
    assert equal_score.at_equal_score(make_manifest({"a": [CELL]}), {"a": []}) == EqualScore()


def test_methods_are_compared_by_seed_where_both_reach_the_score() -> None:
    manifest = make_manifest({"a": [CELL], "b": [CELL]})
    found = equal_score.at_equal_score(manifest, {"a": [point(0.05, 0.98)], "b": [point(0.08, 0.976, noise=0.002)]})
    weights = [item for item in found.compared if item.quantity.endswith("fewest weights")]
    levels = [item.quantity.partition(":")[0] for item in weights]
    assert levels == ["accuracy ≥ 0.975", "accuracy ≥ 0.97", "accuracy ≥ 0.96"]
    for item in weights:
        assert (item.first, item.second, item.n) == ("a", "b", 3)
        assert item.difference == pytest.approx(-0.03)
        assert item.p_corrected >= item.p
    assert set(found.columns) >= {item.quantity for item in found.compared}


def test_a_method_that_does_not_reach_a_score_is_not_compared() -> None:
    manifest = make_manifest({"a": [CELL], "b": [CELL]})
    found = equal_score.at_equal_score(manifest, {"a": [point(0.05, 0.98)], "b": [point(0.08, 0.9)]})
    assert found.compared == ()
