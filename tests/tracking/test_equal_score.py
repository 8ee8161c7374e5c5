"""What each method keeps at equal score, and whether the difference between two is shown."""

import math

import pytest

from dn_distributed.config import Cell
from tests.tracking.fabricated import make_cell, make_manifest
from tracking.results import equal_score
from tracking.results.equal_score import EqualScore
from tracking.results.fronts import Measured, Point, Size
from tracking.tables import grids
from tracking.tables.grids import Grid

CELL = make_cell("lenet300")
GRID = [make_cell("lenet300", l1=value, dn_incoming=dn, dn_outgoing=dn) for value in (1.0, 2.0, 3.0) for dn in (5.0,)]


def point(density: float, validation: float, noise: float = 0.001, cell: Cell = CELL, threshold: float = 0.0) -> Point:
    """Of three seeds, around a density."""

    def left(seed: int) -> dict[Size, float]:
        return {"density": density + noise * (seed - 1), "hidden_alive": 1000 * density + 2 * (seed - 1)}

    seeds = {seed: Measured(left(seed), validation, validation + 0.001 * (seed - 1)) for seed in range(3)}
    return Point(cell.key, threshold, seeds)


def grid(found: EqualScore, *, by_steps: bool = False) -> Grid:
    return grids.of_equal_score("At equal score", found, by_steps=by_steps)


def lines(found: Grid) -> dict[str, list[str]]:
    return {name: list(values) for name, *values in found.body}


MANIFEST = make_manifest({"a": [CELL], "b": [CELL]})


def test_at_equal_score_each_front_is_read_between_its_points() -> None:
    points = {"a": [point(0.16, 0.98, noise=0), point(0.04, 0.96, noise=0)], "b": [point(0.08, 0.976)], "none": []}
    found = equal_score.at_equal_score(MANIFEST, points)
    assert grid(found).head == ["validation score", "a (of 2)", "b (of 1)"]
    by_heading = lines(grid(found))
    assert by_heading["accuracy ≥ 0.97: fewest weights"] == [
        "8.00 ± 0.00 % (test accuracy 0.97 ± 0.001)",
        "8.00 ± 0.10 % (test accuracy 0.976 ± 0.001; edge: nothing smaller tried)",
    ]
    assert by_heading["accuracy ≥ 0.979: fewest weights"][1] == "not reached"
    assert by_heading["accuracy ≥ 0.96: fewest hidden neurons alive"][0].startswith("40.0 ± 2.0 (test accuracy 0.96 ")


def test_beside_it_stands_the_reading_by_steps() -> None:
    points = {"a": [point(0.1, 0.98), point(0.05, 0.97)], "b": [point(0.08, 0.976)]}
    found = equal_score.at_equal_score(MANIFEST, points)
    by_heading = lines(grid(found, by_steps=True))
    assert grid(found, by_steps=True).head == grid(found).head
    assert by_heading["accuracy ≥ 0.979: fewest weights"] == [
        "10.00 ± 0.10 % (test accuracy 0.98 ± 0.001)",
        "not reached",
    ]
    assert by_heading["accuracy ≥ 0.975: fewest hidden neurons alive"][1] == "80.0 ± 2.0 (test accuracy 0.976 ± 0.001)"
    assert by_heading["accuracy ≥ 0.97: fewest weights"][0].startswith("5.00 ± 0.10 %")


def test_without_curves_there_is_no_comparison_at_equal_score() -> None:
    assert equal_score.at_equal_score(MANIFEST, {"a": []}) == EqualScore()


def test_methods_are_compared_by_seed_as_ratios_of_their_readings() -> None:
    points = {"a": [point(0.05, 0.98)], "b": [point(0.08, 0.976, noise=0.002)]}
    found = equal_score.at_equal_score(MANIFEST, points)
    weights = [item for item in found.compared if item.quantity.endswith("fewest weights")]
    assert [item.quantity.partition(":")[0] for item in weights] == [
        "accuracy ≥ 0.975", "accuracy ≥ 0.97", "accuracy ≥ 0.96"
    ]  # fmt: skip
    ratios = [math.log(0.049 / 0.078), math.log(0.05 / 0.08), math.log(0.051 / 0.082)]
    for item in weights:
        assert (item.first, item.second, item.n, item.is_ratio) == ("a", "b", 3, True)
        assert item.difference == pytest.approx(sum(ratios) / 3)
        assert item.p_corrected >= item.p


def test_a_method_that_does_not_reach_a_score_is_not_compared() -> None:
    found = equal_score.at_equal_score(MANIFEST, {"a": [point(0.05, 0.98)], "b": [point(0.08, 0.9)]})
    assert found.compared == ()


def test_a_method_that_only_some_seeds_reach_a_score_with_is_not_compared() -> None:
    """The lucky seeds alone would be."""
    some = Point(CELL.key, 0.0, {seed: Measured({"density": 0.1}, 0.97 + 0.005 * seed, 0.9) for seed in range(3)})
    found = equal_score.at_equal_score(MANIFEST, {"a": [point(0.05, 0.98)], "b": [some]})
    assert lines(grid(found))["accuracy ≥ 0.975: fewest weights"][1] == "reached by 2 of 3 seeds"
    assert {item.quantity for item in found.compared} == {
        "accuracy ≥ 0.97: fewest weights",
        "accuracy ≥ 0.96: fewest weights",
    }


@pytest.mark.parametrize(
    ("place", "threshold", "edge"),
    [
        (0, 0.1, "; edge: l1 smallest"),
        (1, 0.1, ""),
        (2, 0.1, "; edge: l1 largest"),
        (1, 0.2, "; edge: threshold largest"),
    ],
)
def test_a_choice_at_the_edge_of_what_was_tried_is_told_in_its_cell(place: int, threshold: float, edge: str) -> None:
    manifest = make_manifest({"a": GRID})
    best = point(0.05, 0.98, cell=GRID[place], threshold=threshold)
    others = [point(0.5, 0.5, cell=cell, threshold=0.2) for cell in GRID]
    found = equal_score.at_equal_score(manifest, {"a": [best, *others]})
    cell = lines(grid(found, by_steps=True))["accuracy ≥ 0.979: fewest weights"][0]
    assert cell == f"5.00 ± 0.10 % (test accuracy 0.98 ± 0.001{edge})"


def test_both_ends_of_a_line_are_looked_at_for_edges() -> None:
    manifest = make_manifest({"a": GRID})
    ends = [point(0.05, 0.96, cell=GRID[0]), point(0.1, 0.98, cell=GRID[2])]
    found = equal_score.at_equal_score(manifest, {"a": ends})
    assert "edge: l1 largest, l1 smallest)" in lines(grid(found))["accuracy ≥ 0.97: fewest weights"][0]


def test_what_is_still_to_run_is_no_edge_of_what_was_tried() -> None:
    tried = [make_cell(l1=float(value)) for value in range(1, 6)]
    manifest = make_manifest({"a": tried})
    points = {"a": [point(0.1, 0.98, cell=tried[1])]}
    (found, *_) = equal_score.at_equal_score(manifest, points).levels
    assert "l1 smallest" not in found.on_fronts["a"].edges
    (found, *_) = equal_score.at_equal_score(manifest, points, {tried[0].key, tried[4].key}).levels
    assert "l1 smallest" in found.on_fronts["a"].edges


def test_how_exact_validation_accuracy_is_stands_beside_the_spacing_of_levels() -> None:
    points = {"a": [point(0.1, 4921 / 5000), point(0.05, 4907 / 5000), point(0.01, 0.9)]}
    (note,) = grids.equal_score_notes(equal_score.at_equal_score(MANIFEST, points))
    assert "that of 5000 images" in note
    assert "its standard error at 98.32 % is 0.18 points, and the levels lie 0.15 to 1.00 points apart." in note


def test_how_many_samples_there_are_is_said_where_it_is_known() -> None:
    """Four accuracies of 60 samples are shares of 20 as well; and 5000 images would have been held out."""
    points = {"a": [point(0.1 / place, share) for place, share in enumerate((0.95, 0.9, 0.85, 0.8), 1)]}
    (note,) = grids.equal_score_notes(equal_score.at_equal_score(MANIFEST, points))
    assert "that of at least 20 samples" in note
    assert " % is at most " in note


def test_of_errors_no_such_thing_is_known() -> None:
    cell = make_cell("autoencoder")
    found = equal_score.at_equal_score(make_manifest({"a": [cell]}), {"a": [point(0.1, 0.01, cell=cell)]})
    assert found.levels
    assert grids.equal_score_notes(found) == []


def test_methods_that_are_the_same_networks_are_one() -> None:
    """Rows that leave dropout on while testing are shown beside those that do not: by their networks they are equal."""
    others = [make_cell("lenet300", l1=1.0)]
    manifest = make_manifest({"a": [CELL], "a as scripted": [CELL], "b": others})
    scripted = manifest.methods[1].model_copy(update={"dropout_at_test": True})
    manifest = manifest.model_copy(update={"methods": (manifest.methods[0], scripted, manifest.methods[2])})
    twins = [point(0.05, 0.98), point(0.04, 0.97)]
    points = {"a": twins, "a as scripted": list(twins), "b": [point(0.08, 0.98, noise=0.002, cell=others[0])]}
    found = equal_score.at_equal_score(manifest, points)
    assert grid(found).head == ["validation score", "a = a as scripted (of 2)", "b (of 1)"]
    assert {(item.first, item.second) for item in found.compared} == {("a = a as scripted", "b")}
    alone = equal_score.at_equal_score(MANIFEST.model_copy(update={"methods": manifest.methods[::2]}), {
        label: points[label] for label in ("a", "b")
    })  # fmt: skip
    assert [item.p_corrected for item in found.compared] == [item.p_corrected for item in alone.compared]
    assert "dropout off, also those of a as scripted, which the table has with" in grids.equal_score_notes(found)[-1]
    assert len(grids.equal_score_notes(alone)) == 1


def test_methods_with_other_configurations_stay_apart_whatever_they_leave() -> None:
    same = [point(0.05, 0.98)]
    manifest = make_manifest({"a": [CELL], "b": [CELL, make_cell("lenet300", l1=1.0)]})
    assert len(grid(equal_score.at_equal_score(manifest, {"a": same, "b": list(same)})).head) == 3
