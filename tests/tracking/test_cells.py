import math
from collections.abc import Sequence

import pytest

from dn_distributed.config import Cell
from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.manifest import Selection
from tracking.results.cells import CellResult, Stat, choose, gather, stat
from tracking.results.rows import Ended, Row, Snapshot
from tracking.store.runs import State

OBJECTIVE = "validation/nmse/after_pruning"
LOWEST = Selection(objective=OBJECTIVE, higher_is_better=False)
HIGHEST = Selection(objective=OBJECTIVE, higher_is_better=True)


def tried(l1: float, rows: Sequence[Row] | None = None, *, expected: int = 2, **metrics: float) -> CellResult:
    """A configuration with two replicates of these figures."""
    cell = make_cell(l1=l1)
    made = [make_row(cell, seed, **metrics) for seed in range(2)] if rows is None else rows
    return CellResult("M", None, cell, tuple(made), (), expected)


def rows_of(l1: float, *errors: float, density: float = 0.5) -> list[Row]:
    cell = make_cell(l1=l1)
    return [make_row(cell, seed, density=density, **{OBJECTIVE: error}) for seed, error in enumerate(errors)]


def test_statistics_of_some_values() -> None:
    assert stat([1.0, 2.0, 6.0]) == Stat(3.0, math.sqrt(7), 3)


def test_one_value_has_no_standard_deviation() -> None:
    assert stat([4.0]) == Stat(4.0, None, 1)


def test_no_value_has_no_statistics() -> None:
    assert stat([]) is None


def test_a_missing_value_is_not_averaged_around() -> None:
    assert stat([1.0, None, 3.0]) is None


def test_nan_is_not_averaged_around() -> None:
    found = stat([1.0, math.nan])
    assert found is not None
    assert math.isnan(found.mean)


def test_a_cell_gathers_its_own_replicates_with_the_seeds_of_the_sweep() -> None:
    one, other = make_cell(l1=1.0), make_cell(l1=2.0)
    rows = [make_row(cell, seed) for cell in (one, other) for seed in (0, 1, 2)]
    ended = Ended(one.key, one.replicate_key(3), 3, "failed", "why")
    manifest = make_manifest({"A": [one], "B": [other]}, seeds=(0, 2, 3))
    first, second = gather(manifest, Snapshot(tuple(rows), (ended,)))
    assert first.chosen is not None
    assert [row.seed for row in first.chosen.rows] == [0, 2]
    assert first.chosen.ended == (ended,)
    assert not first.chosen.complete
    assert [row.cell_key for row in second.tried[0].rows] == [other.key] * 2
    assert second.tried[0].ended == ()


@pytest.mark.parametrize(
    ("finished", "ended", "to_run"),
    [((), {}, 3), ((0,), {1: "failed"}, 1), ((), {0: "stopped"}, 0), ((0,), {1: "stopped"}, 2), ((0, 1, 2), {}, 0)],
)
def test_what_is_still_to_run_of_a_cell(finished: Sequence[int], ended: dict[int, State], to_run: int) -> None:
    """A search has stopped the cell where none of its replicates is finished; else those that it stopped run again."""
    cell = make_cell(l1=1.0)
    without = tuple(Ended(cell.key, cell.replicate_key(seed), seed, state, "") for seed, state in ended.items())
    rows = tuple(make_row(cell, seed) for seed in finished)
    assert CellResult("M", None, cell, rows, without, 3).num_to_run == to_run


def test_methods_keep_the_order_of_the_sweep() -> None:
    methods = {label: [make_cell(l1=float(place + 1))] for place, label in enumerate("CAB")}
    assert [method.label for method in gather(make_manifest(methods), Snapshot((), ()))] == ["C", "A", "B"]


def test_without_a_search_the_only_cell_stands_for_its_method_even_incomplete() -> None:
    result = tried(1.0, rows=[])
    assert choose([result], None) is result


def test_a_method_without_a_search_stands_for_itself_beside_one_that_is_searched() -> None:
    """Though a seed of it is missing: nothing is chosen there."""
    plain, grid = make_cell(l1=1.0), [make_cell(l1=2.0), make_cell(l1=3.0)]
    rows = [make_row(cell, 0) for cell in (plain, *grid)]
    manifest = make_manifest({"plain": [plain], "grid": grid}, selection=LOWEST)
    single, searched = gather(manifest, Snapshot(tuple(rows), ()))
    assert single.chosen is not None
    assert [row.seed for row in single.chosen.rows] == [0]
    assert searched.chosen is None  # several configurations, and none complete


def test_a_method_without_any_result_is_chosen_nowhere_beside_a_search() -> None:
    """As tables of earlier versions have it."""
    manifest = make_manifest({"plain": [make_cell(l1=1.0)]}, selection=LOWEST)
    assert gather(manifest, Snapshot((), ()))[0].chosen is None


def test_the_first_proposal_of_a_search_does_not_stand_for_it_before_it_is_complete() -> None:
    cell = make_cell(l1=1.0)
    manifest = make_manifest({"M": [cell]}, selection=LOWEST)
    begun = manifest.methods[0].model_copy(update={"to_propose": 2})
    (found,) = gather(manifest.model_copy(update={"methods": (begun,)}), Snapshot((make_row(cell, 0),), ()))
    assert found.chosen is None


def test_a_method_whose_search_has_proposed_nothing_has_no_cell() -> None:
    assert choose([], None) is None
    assert choose([], LOWEST) is None


def test_the_best_validation_figure_is_chosen() -> None:
    low, high = tried(1.0, validation__nmse__after_pruning=0.1), tried(2.0, validation__nmse__after_pruning=0.2)
    assert choose([high, low], LOWEST) is low
    assert choose([high, low], HIGHEST) is high


def test_test_figures_do_not_take_part_in_the_choice() -> None:
    """The configuration that is worse on validation data is better on all that must not be seen."""
    good = tried(1.0, validation__nmse__after_pruning=0.1, test__nmse__after_pruning=9.0, density=0.9)
    bad = tried(2.0, validation__nmse__after_pruning=0.2, test__nmse__after_pruning=0.0, density=0.1)
    assert choose([bad, good], LOWEST) is good


def test_within_the_tolerance_the_sparsest_is_chosen() -> None:
    best = tried(1.0, validation__nmse__after_pruning=0.100, density=0.9)
    sparse = tried(2.0, validation__nmse__after_pruning=0.104, density=0.3)
    sparser_but_worse = tried(3.0, validation__nmse__after_pruning=0.2, density=0.1)
    results = [best, sparse, sparser_but_worse]
    assert choose(results, LOWEST.model_copy(update={"tolerance": 0.005})) is sparse
    assert choose(results, LOWEST.model_copy(update={"tolerance": 0.001})) is best


@pytest.mark.parametrize("rule", [LOWEST, HIGHEST, LOWEST.model_copy(update={"average": "geometric"})])
def test_of_exact_equals_the_sparsest_is_chosen_without_a_tolerance_too(rule: Selection) -> None:
    results = [tried(l1, validation__nmse__after_pruning=0.1, density=l1 / 10) for l1 in (9.0, 8.0, 1.0, 2.0, 3.0)]
    orders = (results, sorted(results, key=lambda result: result.cell.key))
    assert [choose(order, rule) for order in orders] == [results[2]] * 2
    assert min(results, key=lambda result: result.cell.key) is not results[2]  # by which nothing is to be chosen


def test_the_tolerance_counts_down_where_higher_is_better() -> None:
    best = tried(1.0, validation__nmse__after_pruning=0.99, density=0.9)
    sparse = tried(2.0, validation__nmse__after_pruning=0.98, density=0.3)
    assert choose([best, sparse], HIGHEST.model_copy(update={"tolerance": 0.02})) is sparse


def test_a_geometric_mean_weighs_factors_alike() -> None:
    """One seed's error, ten thousand times the others', decides a mean alone."""
    often = tried(1.0, rows=rows_of(1.0, 1e-6, 0.2))
    once = tried(2.0, rows=rows_of(2.0, 1e-2, 0.1))
    geometric = LOWEST.model_copy(update={"average": "geometric"})
    assert choose([often, once], LOWEST) is once
    assert choose([often, once], geometric) is often


def test_the_tolerance_of_a_geometric_mean_is_a_share() -> None:
    best, sparse = tried(1.0, rows=rows_of(1.0, 1e-6, 1e-4)), tried(2.0, rows=rows_of(2.0, 1.04e-6, 1e-4, density=0.1))
    geometric = LOWEST.model_copy(update={"average": "geometric"})
    assert choose([best, sparse], geometric.model_copy(update={"tolerance": 0.05})) is sparse
    assert choose([best, sparse], geometric.model_copy(update={"tolerance": 0.01})) is best
    assert choose([best, sparse], geometric.model_copy(update={"higher_is_better": True, "tolerance": 0.01})) is sparse


def test_an_error_of_nothing_has_the_lowest_geometric_mean() -> None:
    geometric = LOWEST.model_copy(update={"average": "geometric", "tolerance": 0.1})
    perfect, good = tried(1.0, rows=rows_of(1.0, 0.0, 1.0)), tried(2.0, rows=rows_of(2.0, 0.1, 0.1, density=0.1))
    assert choose([good, perfect], geometric) is perfect
    assert choose([good, perfect], geometric.model_copy(update={"higher_is_better": True})) is good
    assert choose([tried(1.0, rows=rows_of(1.0, -1.0, 1.0))], geometric) is None


def test_the_choice_does_not_depend_on_the_order() -> None:
    results = [tried(l1, validation__nmse__after_pruning=0.1) for l1 in (1.0, 2.0, 3.0)]
    found = choose(results, LOWEST)
    assert found is not None
    assert choose(results[::-1], LOWEST) is found


def test_an_incomplete_cell_cannot_be_chosen() -> None:
    cell = make_cell(l1=1.0)
    incomplete = tried(1.0, rows=[make_row(cell, 0, validation__nmse__after_pruning=0.0)])
    complete = tried(2.0, validation__nmse__after_pruning=0.5)
    assert choose([incomplete, complete], LOWEST) is complete
    assert choose([incomplete], LOWEST) is None


def test_a_cell_without_the_objective_cannot_be_chosen() -> None:
    def without_objective(cell: Cell, seed: int) -> Row:
        row = make_row(cell, seed)
        del row.metrics[OBJECTIVE]
        return row

    cell = make_cell(l1=1.0)
    rows = [make_row(cell, 0), without_objective(cell, 1)]
    assert choose([tried(1.0, rows=rows)], LOWEST) is None


def test_a_cell_whose_objective_is_nan_cannot_be_chosen() -> None:
    broken, good = tried(1.0, validation__nmse__after_pruning=math.nan), tried(2.0)
    assert choose([broken, good], LOWEST) is good
    assert choose([good, broken], LOWEST) is good


@pytest.mark.parametrize(
    ("selection", "rule"),
    [
        (HIGHEST, f"highest mean {OBJECTIVE}"),
        (LOWEST, f"lowest mean {OBJECTIVE}"),
        (
            LOWEST.model_copy(update={"tolerance": 0.01}),
            f"fewest non-zero weights within 0.01 of the lowest mean {OBJECTIVE}",
        ),
        (
            LOWEST.model_copy(update={"average": "geometric", "tolerance": 0.1}),
            f"fewest non-zero weights within 10 % of the lowest geometric mean {OBJECTIVE}",
        ),
    ],
)
def test_the_rule_is_told_in_words(selection: Selection, rule: str) -> None:
    assert selection.rule == rule


def test_scores_with_dropout_on_stand_for_a_method_that_shows_them() -> None:
    cell = make_cell(dropout=0.5)
    row = make_row(cell, 0, test__nmse__after_pruning=0.1, test_with_dropout__nmse__after_pruning=0.7)
    manifest = make_manifest({"off": [cell], "on": [cell]}, seeds=[0])
    off, on = manifest.methods
    shown = manifest.model_copy(update={"methods": (off, on.model_copy(update={"dropout_at_test": True}))})
    found = gather(shown, Snapshot((row,), ()))
    scores = [method.tried[0].rows[0].metrics["test/nmse/after_pruning"] for method in found]
    assert scores == [0.1, 0.7]
    assert [method.tried[0].rows[0].replicate_key for method in found] == [row.replicate_key] * 2


@pytest.mark.parametrize("best", range(4500, 5001, 25))
def test_the_very_edge_of_the_tolerance_is_within(best: int) -> None:
    """In floats it is not: 0.9 - 0.898 > 0.002."""
    within = HIGHEST.model_copy(update={"tolerance": 0.002})
    dense = tried(1.0, validation__nmse__after_pruning=best / 5000, density=0.9)
    sparse, beyond = (
        tried(l1, validation__nmse__after_pruning=(best - less) / 5000, density=density)
        for l1, less, density in ((2.0, 10, 0.3), (3.0, 11, 0.1))
    )
    assert choose([dense, sparse, beyond], within) is sparse
