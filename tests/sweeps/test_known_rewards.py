"""Optuna is told of whole cells alone: finite means over all seeds."""

import math

import pytest

from sweeps.tune.search import known_rewards
from tests.tracking.fabricated import make_cell, make_row
from tracking.results.cells import CellResult

OBJECTIVE = "validation/nmse/after_pruning"


def tried(l1: float, *values: float) -> CellResult:
    """A cell of two seeds with these objectives."""
    cell = make_cell(l1=l1)
    rows = tuple(make_row(cell, seed, validation__nmse__after_pruning=value) for seed, value in enumerate(values))
    return CellResult("L1", None, cell, rows, (), num_expected=2)


@pytest.mark.parametrize("values", [(), (0.5,), (0.5, math.inf), (0.5, math.nan)], ids=["none", "one", "inf", "nan"])
def test_a_cell_that_is_not_whole_is_no_reward(values: tuple[float, ...]) -> None:
    whole = tried(0.1, 0.25, 0.75)
    points, rewards = known_rewards(
        [whole, tried(0.2, *values)], OBJECTIVE, lambda cell: {"l1": cell.regularization["l1"]}
    )
    assert (points, rewards) == ([{"l1": 0.1}], [[0.5]])


def test_a_second_objective_is_the_mean_size_over_seeds() -> None:
    result = tried(0.1, 0.25, 0.75)
    sizes = [row.counts.dense_size for row in result.rows]
    _, rewards = known_rewards([result], OBJECTIVE, lambda cell: {"l1": cell.regularization["l1"]}, "dense_size")
    assert rewards == [[0.5, sum(sizes) / 2]]
    assert all(sizes)


def test_a_cell_that_the_search_cannot_propose_is_no_reward() -> None:
    assert known_rewards([tried(0.1, 0.25, 0.75)], OBJECTIVE, lambda _: None) == ([], [])
