"""The answer in words, on results made up so that it is plain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from dn_distributed.config import Cell
from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.manifest import Manifest, Selection
from tracking.report import results_table
from tracking.results.cells import Stat, gather, stat
from tracking.results.equal_score import EqualScore
from tracking.results.rows import Row, Snapshot
from tracking.tables import difference_text, findings, formats, number_text
from tracking.tables import table as tables
from tracking.tables.answer import Answer, answer
from tracking.tables.columns import ALIVE, DENSITY
from tracking.tables.findings import Findings
from tracking.tables.grids import Grid
from tracking.tables.ranking import Difference, Rank

ONE, TWO, THREE = (make_cell(l1=float(place)) for place in (1, 2, 3))
WOBBLE = (0.0, 0.01, 0.02, 0.01, 0.0, 0.02)


def answer_of(manifest: Manifest, rows: Sequence[Row]) -> Answer:
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    return answer(findings.find(tables.build(manifest, methods), methods, EqualScore()))


def rows_of(cell: Cell, density: float, errors: Sequence[float]) -> list[Row]:
    return [make_row(cell, seed, density=density, test__nmse__after_pruning=value) for seed, value in enumerate(errors)]


def errors(middle: float, seeds: int = 6) -> list[float]:
    return [middle * (1 + by) for by in WOBBLE[:seeds]]


def compared(rows: Mapping[str, tuple[Cell, Sequence[Row]]], seeds: int = 6) -> Answer:
    manifest = make_manifest({label: [cell] for label, (cell, _) in rows.items()}, seeds=range(seeds))
    return answer_of(manifest, [row for _, found in rows.values() for row in found])


def detail(found: Answer, name: str) -> str:
    (text,) = (text for text in (*found.beside, *found.details) if text.startswith(name))
    return text


def test_the_answer_says_what_is_left_and_what_it_costs() -> None:
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, errors(0.128))), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert found.headline.startswith("DN leaves ")
    assert " of 26 neurons (P: " in found.headline
    assert found.headline.endswith(" and costs 28 % more test nmse (the same in every seed, n = 6).")
    assert detail(found, "Weights left: ").startswith("Weights left: fewest DN, ")
    assert "points fewer (" in detail(found, "Weights left: ")
    assert detail(found, "Dense size: ").startswith("Dense size: smallest DN, ")
    assert detail(found, "Test nmse: ").startswith(
        "Test nmse: best P, 0.1010 (DN: 0.1293; geometric means): 22 % better ("
    )
    assert not any(text.startswith("Price") for text in found.details)  # the score's own line says it
    assert "Holm" in found.rule


def test_a_method_that_is_better_in_both_pays_nothing() -> None:
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, errors(0.05))), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert " and is 50 % better in test nmse (" in found.headline


def test_a_price_of_more_than_twice_is_a_factor() -> None:
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, errors(0.3))), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert " and costs 3 times the test nmse (" in found.headline


def test_a_difference_whose_interval_holds_zero_is_not_shown() -> None:
    like = [value + by for value, by in zip(errors(0.1), (-0.01, 0.01, -0.02, 0.02, 0.01, -0.01), strict=True)]
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, like)), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert "; test nmse 0." in found.headline
    assert ": no difference shown (16 % better to 17 % worse, n = 6)" in found.headline
    assert "best" not in detail(found, "Test nmse: ")
    assert "lowest mean" in detail(found, "Test nmse: ")


WIDER = (0.0, 0.06, 0.01, 0.07, 0.02, 0.05)


def test_an_interval_of_a_pair_alone_is_said_as_that() -> None:
    """It excludes 0, and the difference does not hold where all comparisons are counted: no contradiction."""
    like = [value * (1 + by) for value, by in zip(errors(0.1), WIDER, strict=True)]
    found = compared({"DN": (ONE, rows_of(ONE, 0.5, like)), "P": (TWO, rows_of(TWO, 0.5, errors(0.1)))})
    said = detail(found, "Test nmse: lowest mean P, ")
    assert said.endswith(
        "% better by the interval of this pair alone, not beyond chance once all 5 comparisons are counted (n = 6)."
    )


def test_of_many_methods_little_stands_in_front() -> None:
    cells = {f"M{place}": make_cell(l1=float(place)) for place in range(8)}
    rows = {
        label: (
            cell,
            rows_of(cell, 0.5, [value * (1 + place * by) for value, by in zip(errors(0.1), WIDER, strict=True)]),
        )
        for place, (label, cell) in enumerate(cells.items())
    }
    rows["M7"] = (cells["M7"], [])
    found = compared(rows)
    assert 1 + len(found.beside) <= 3
    assert "; likewise " in detail(found, "Test nmse: ")
    assert "% better than M" in detail(found, "Test nmse: ")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (
            -5.3,
            -1.5,
            "1.5 to 5.3 fewer by the interval of this pair alone, not beyond chance once all 15 comparisons are ",
        ),
        (
            1.5,
            5.3,
            "1.5 to 5.3 more by the interval of this pair alone, not beyond chance once all 15 comparisons are ",
        ),
        (-5.3, 1.5, "no difference shown (5.3 fewer to 1.5 more, n = 5)"),
        (3.0, 3.0, "3.0 more in every seed, not beyond chance once all 15 comparisons are counted (n = 5)"),
        (0.004, 3.0, "0.004 to 3.0 more by "),
    ],
)
def test_intervals_are_said_with_their_direction(low: float, high: float, text: str) -> None:
    found, _ = table_of(A=[10] * 6, B=[100] * 6)
    column = next(column for column in found.table.columns if column.key == ALIVE)
    item = Difference((low + high) / 2, low, high, 5, is_ratio=False, verdict="not shown", num_comparisons=15)
    assert difference_text.said(column, item).startswith(text)


def test_the_price_against_the_best_score_is_said_where_another_method_lies_between() -> None:
    found = compared(
        {
            "DN": (ONE, rows_of(ONE, 0.1, errors(0.4)[::-1])),
            "P": (TWO, rows_of(TWO, 0.9, errors(0.1))),
            "ℓ1": (THREE, rows_of(THREE, 0.5, errors(0.2))),
        }
    )
    assert detail(found, "Price of DN").startswith("Price of DN against P: 4 times worse (3.9")


def test_below_five_seeds_there_is_no_verdict() -> None:
    seeds = 3
    found = compared(
        {
            "DN": (ONE, rows_of(ONE, 0.1, errors(0.2, seeds))),
            "P": (TWO, rows_of(TWO, 0.9, errors(0.1, seeds))),
            "ℓ1": (THREE, rows_of(THREE, 0.5, errors(0.15, seeds))),
        },
        seeds,
    )
    assert found.headline.endswith("; no verdict of fewer than 5 seeds.")
    said = " ".join([found.headline, *found.details])
    for claim in ("fewest", "smallest", "best", "costs", "better", "worse", " to "):
        assert claim not in said.replace("no verdict of fewer", "")
    assert detail(found, "Weights left: ").startswith("Weights left: lowest mean DN, ")


def test_one_seed_is_compared_with_nothing() -> None:
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, [0.2])), "P": (TWO, rows_of(TWO, 0.9, [0.1]))}, 1)
    assert "not compared" in found.headline
    assert "fewest" not in detail(found, "Weights left: ")


def test_one_method_is_described() -> None:
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, errors(0.2)))})
    assert found.headline.startswith("DN: ")
    assert found.headline.endswith(" weights (of 105), test nmse 0.2020 (geometric mean).")
    assert (found.details, found.rule) == ((), "")


def test_a_geometric_mean_is_called_so_where_the_table_has_the_other() -> None:
    rows = [
        make_row(ONE, seed, density=density, test__nmse__after_pruning=0.1) for seed, density in enumerate((0.4, 0.9))
    ]
    found = compared({"DN": (ONE, rows)}, seeds=2)
    assert " weights (geometric mean, of 105), " in found.headline
    one = compared({"DN": (ONE, rows[:1])}, seeds=1)
    assert "geometric" not in one.headline


def test_networks_with_nothing_left_are_named_in_front() -> None:
    empty = [*rows_of(ONE, 0.5, errors(0.2))[:5], make_row(ONE, 5, density=0.0, test__nmse__after_pruning=1.0)]
    found = compared({"DN": (ONE, empty), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert found.beside == ("Nothing is left between inputs and outputs in 1 of 6 networks of DN.",)


def test_methods_that_leave_the_same_are_a_tie() -> None:
    found = compared({"a": (ONE, rows_of(ONE, 1.0, errors(0.2))), "b": (TWO, rows_of(TWO, 1.0, errors(0.1)))})
    assert found.headline == "No method leaves less than the others; lowest mean test nmse: b, 0.1010 (geometric mean)."
    assert detail(found, "Weights left: ") == "Weights left: a and b, the same: 100.00 %."


def test_two_that_tie_are_ahead_of_a_third() -> None:
    found = compared(
        {
            "a": (ONE, rows_of(ONE, 0.0, errors(0.2))),
            "b": (TWO, rows_of(TWO, 0.0, errors(0.3)[::-1])),
            "P": (THREE, rows_of(THREE, 0.9, errors(0.1))),
        }
    )
    assert found.headline.startswith("a and b leave 0 of 26 neurons (P: ")
    assert "costs" not in found.headline
    assert detail(found, "Weights left: ").startswith("Weights left: fewest a and b, 0.00 % (P: ")
    assert detail(found, "Price of b").startswith("Price of b against P: 3 times worse (")


def test_what_is_missing_is_said() -> None:
    lost, absent = rows_of(ONE, 0.1, errors(0.2))[:5], make_cell(l1=9.0)
    rows = {"DN": (ONE, lost), "P": (TWO, rows_of(TWO, 0.9, errors(0.1))), "absent": (absent, [])}
    found = compared(rows)
    assert "n = 5" in found.headline
    assert detail(found, "Missing") == "Missing: DN (5 of 6 seeds) and absent (0 of 6 seeds)."


def test_configurations_that_are_still_to_run_are_missing() -> None:
    selection = Selection(objective="test/nmse/after_pruning", higher_is_better=False)
    manifest = make_manifest({"DN": [ONE, TWO, THREE]}, seeds=range(6), selection=selection)
    found = answer_of(manifest, rows_of(ONE, 0.1, errors(0.2)))
    assert detail(found, "Missing") == "Missing: DN (1 of 3 configurations)."


def test_a_score_that_is_no_number_is_not_ranked() -> None:
    found = compared(
        {"DN": (ONE, rows_of(ONE, 0.1, [float("nan"), *errors(0.2, 5)])), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))}
    )
    assert "nmse" not in found.headline
    assert detail(found, "No finite mean") == "No finite mean of test nmse: DN."


def test_one_infinite_error_leaves_the_others_their_geometric_means() -> None:
    """By the mean, of which one seed makes most, ``B`` would be ahead."""
    found = compared(
        {
            "A": (ONE, rows_of(ONE, 0.5, [math.inf, *errors(1.0, 5)])),
            "B": (TWO, rows_of(TWO, 0.5, errors(2.0))),
            "C": (THREE, rows_of(THREE, 0.5, [*errors(1.0, 5), 20.0])),
        }
    )
    assert detail(found, "Test nmse").startswith("Test nmse: lowest mean C, 1.6")


def test_nothing_finished_is_no_answer() -> None:
    found = compared({"DN": (ONE, []), "P": (TWO, [])})
    assert found.headline == "There is no answer yet: no replicate has a result."
    assert found.beside == ("Missing: DN (0 of 6 seeds) and P (0 of 6 seeds).",)


@pytest.mark.parametrize("count", [5, 6])
def test_accuracy_is_better_the_higher(count: int) -> None:
    cells = {label: make_cell("lenet300", l1=l1) for label, l1 in (("DN", 1.0), ("P", 2.0))}
    rows = [
        make_row(cells[label], seed, density=density, test__accuracy__after_pruning=accuracy + WOBBLE[seed] * by)
        for label, density, accuracy, by in (("DN", 0.001, 0.95, 0.1), ("P", 0.9, 0.97, 0.2))
        for seed in range(count)
    ]
    found = answer_of(make_manifest({label: [cell] for label, cell in cells.items()}, seeds=range(count)), rows)
    assert " and costs 2." in found.headline
    assert " points of test accuracy (" in found.headline
    assert detail(found, "Test accuracy: ").startswith("Test accuracy: best P, 97.")


def test_the_page_marks_the_best_and_says_which_way_is_better() -> None:
    rows = [*rows_of(ONE, 0.1, errors(0.128)), *rows_of(TWO, 0.9, errors(0.1)[::-1])]
    methods = gather(make_manifest({"DN": [ONE], "P": [TWO]}, seeds=range(6)), Snapshot(tuple(rows), ()))
    manifest = make_manifest({"DN": [ONE], "P": [TWO]}, seeds=range(6))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    grid = results_table.totals(found)
    marked = {(grid.body[line][0], grid.head[place]): mark for (line, place), mark in grid.marks.items()}
    assert marked[("↓ weights left (%)", "DN")] == "best"
    assert marked[("↓ test nmse after P, geometric mean", "P")] == "best"
    assert not any("fc1" in line[0] for line in grid.body)
    assert any(line[0] == "↓ weights left in fc1 (%)" for line in results_table.layers(found.table).body)
    assert 'class="reproduced best"' in formats.html_table(grid)
    few = findings.find(tables.build(manifest, methods), (), EqualScore())
    assert set(results_table.totals(few).marks.values()) == {"lead"}
    assert {item.quantity for item in results_table.in_page_words(found).compared} >= {"weights left"}


def test_a_lead_that_the_seeds_of_both_speak_against_is_said_with_that() -> None:
    """Where seeds are missing, means and differences may point to different sides."""
    low, high = rows_of(ONE, 0.4, errors(0.1)), rows_of(TWO, 0.35, errors(0.1))
    others = [make_row(ONE, seed, density=0.1, test__nmse__after_pruning=0.1) for seed in range(6, 12)]
    found = compared({"A": (ONE, [*low, *others]), "B": (TWO, high)}, seeds=12)
    said = detail(found, "Weights left: ")
    assert said.startswith("Weights left: lowest mean A, ")
    assert "more (" in said
    lead = Difference(0.05, 0.04, 0.06, 6, is_ratio=False, verdict="holds")
    manifest = make_manifest({"A": [ONE]}, seeds=range(6))
    columns = tables.build(manifest, gather(manifest, Snapshot(tuple(low), ()))).columns
    column = next(column for column in columns if column.key == DENSITY)
    ranked = Rank(column, {"A": 0.3, "B": 0.35}, {"B": lead})
    assert not ranked.is_ahead_of("B")
    assert Rank(column, {"A": 0.3, "B": 0.35}, {"B": lead.mirrored}).is_ahead_of("B")


def test_a_label_that_holds_another_one_takes_no_comparison_of_it() -> None:
    """Methods that are the same networks are called ``a = b``: a label may look like that too."""
    found = compared(
        {
            "DN = 1": (ONE, rows_of(ONE, 0.5, errors(0.9))),
            "DN": (TWO, rows_of(TWO, 0.5, errors(0.1))),
            "Z": (THREE, rows_of(THREE, 0.5, errors(0.5)[::-1])),
        }
    )
    assert " 80 % better " in detail(found, "Test nmse: lowest mean DN, ")


def test_best_is_not_said_where_no_method_leaves_less_and_no_difference_is_shown() -> None:
    like = [value + by for value, by in zip(errors(0.1), (-0.01, 0.01, -0.02, 0.02, 0.01, -0.01), strict=True)]
    found = compared({"A": (ONE, rows_of(ONE, 0.5, like)), "B": (TWO, rows_of(TWO, 0.5, errors(0.1)))})
    assert found.headline.startswith("No method leaves less than the others; lowest mean test nmse: ")


def known(values: Sequence[float]) -> Stat:
    found = stat(values)
    assert found is not None
    return found


def table_of(**sizes: Sequence[float]) -> tuple[Findings, Grid]:
    """Findings of two methods whose networks have these dense sizes, and the page's table of them."""
    rows = [*rows_of(ONE, 0.1, errors(0.1)), *rows_of(TWO, 0.9, errors(0.1))]
    methods = gather(make_manifest({"A": [ONE], "B": [TWO]}, seeds=range(6)), Snapshot(tuple(rows), ()))
    built = tables.build(make_manifest({"A": [ONE], "B": [TWO]}, seeds=range(6)), methods)
    changed = tuple(replace(row, stats={**row.stats, "dense_size": known(sizes[row.label])}) for row in built.rows)
    found = findings.find(replace(built, rows=changed), (), EqualScore())
    return found, results_table.totals(found)


def test_the_page_marks_a_mean_that_it_shows() -> None:
    _, grid = table_of(A=[10, 10, 10, 10, 10, 1000], B=[100] * 6)
    marked = {grid.body[line][0]: (grid.head[place], grid.body[line][place]) for line, place in grid.marks}
    assert marked["↓ dense size (of 105), geometric mean"] == ("A", "21.5 ×÷ 6.55")
    assert "↓ dense size (of 105)" not in marked


def test_a_size_has_one_mean_where_both_order_methods_alike() -> None:
    _, grid = table_of(A=[10, 10, 10, 10, 10, 20], B=[100] * 6)
    assert not any("dense size" in line[0] and "geometric" in line[0] for line in grid.body)


def test_where_errors_have_no_geometric_mean_the_mean_is_marked() -> None:
    found, _ = table_of(A=[10] * 6, B=[100] * 6)
    errors_of = {"A": [0.0, *[0.1] * 5], "B": [0.2] * 6}
    rows = tuple(replace(r, stats={**r.stats, "score_after": known(errors_of[r.label])}) for r in found.table.rows)
    grid = results_table.totals(replace(found, table=replace(found.table, rows=rows)))
    marked = {grid.body[line][0] for line, _ in grid.marks}
    assert "↓ test nmse after P" in marked
    assert "↓ test nmse after P, geometric mean" not in marked


def test_ends_that_round_alike_are_not_called_the_same() -> None:
    nearly = [1.28 * error * (1 + 1e-5 * place) for place, error in enumerate(errors(0.1))]
    found = compared({"DN": (ONE, rows_of(ONE, 0.1, nearly)), "P": (TWO, rows_of(TWO, 0.9, errors(0.1)))})
    assert found.headline.endswith(" and costs 28 % more test nmse (28.00 to 28.01, n = 6).")


def test_per_cent_have_no_needless_digits() -> None:
    assert [number_text.percent(share) for share in (0.052, 0.28, 0.9938, 1.0761)] == ["5.2", "28", "99.38", "108"]
