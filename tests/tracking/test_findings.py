"""What the statistics say in words and grids, on results made up so that the answer is plain."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from dn_distributed.config import Cell
from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.results.cells import gather
from tracking.results.equal_score import EqualScore
from tracking.results.rows import Snapshot
from tracking.tables import findings, formats, grids, number_text
from tracking.tables import table as tables
from tracking.tables.findings import Findings
from tracking.tables.grids import Grid

SMALL, LARGE, LIKE = (make_cell(l1=float(place)) for place in (1, 2, 3))


@pytest.fixture(scope="module")
def found() -> Findings:
    """Two methods whose error differs plainly, and one that is like the first but for noise."""
    rows = []
    for seed in range(6):
        wobble = (seed % 3) / 1000
        rows.append(make_row(SMALL, seed, test__nmse__after_pruning=0.1 + wobble))
        rows.append(make_row(LARGE, seed, test__nmse__after_pruning=0.9 + 2 * wobble))
        rows.append(make_row(LIKE, seed, test__nmse__after_pruning=0.1 + (5 - seed) % 4 / 1000))
    manifest = make_manifest({"small": [SMALL], "large": [LARGE], "like|it": [LIKE]}, seeds=range(6))
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    return findings.find(tables.build(manifest, methods), methods, EqualScore())


def lines(found: Findings, title: str) -> list[list[str]]:
    """A grid of the findings with its head; empty where there is none."""
    return [list(line) for grid in grids.of_findings(found).grids if grid.title == title for line in grid.lines]


def sentences(found: Findings) -> list[str]:
    return list(grids.of_findings(found).sentences)


def markdown(found: Findings) -> str:
    return formats.statistics_markdown(grids.of_findings(found))


def test_a_sentence_says_which_order_holds_and_which_is_noise(found: Findings) -> None:
    (sentence,) = (text for text in sentences(found) if text.startswith("test nmse after P"))
    assert sentence == "test nmse after P: large > like|it ≈ small."


def test_a_pair_that_is_not_told_apart_is_named_where_it_does_not_stand_side_by_side() -> None:
    wide, narrow = (-0.4, 0.5, -0.5, 0.4, 0.3, -0.2), (0.0, 0.001, 0.0, 0.001, 0.0, 0.001)
    rows = []
    for cell, middle, wobble in ((SMALL, 0.1, wide), (LARGE, 0.2, narrow), (LIKE, 0.3, narrow[::-1])):
        rows += [make_row(cell, seed, test__nmse__after_pruning=middle + by) for seed, by in enumerate(wobble)]
    manifest = make_manifest({"wild": [SMALL], "low": [LARGE], "high": [LIKE]}, seeds=range(6))
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    assert "test nmse after P: high > low ≈ wild; not shown: high against wild." in sentences(found)


def sentence_of(errors: Mapping[str, Sequence[float]], cells: Mapping[str, Cell]) -> str:
    rows = [
        make_row(cells[label], seed, test__nmse__after_pruning=value)
        for label, values in errors.items()
        for seed, value in enumerate(values)
    ]
    seeds = range(max(map(len, errors.values())))
    manifest = make_manifest({label: [cells[label]] for label in cells}, seeds=seeds)
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    return sentences(findings.find(tables.build(manifest, methods), methods, EqualScore()))[0]


def test_a_difference_that_no_single_step_shows_is_named() -> None:
    middle = [0.5, 20.0, 0.4, 30.0, 0.6, 9.0]
    errors = {"low": [1.0, 1.1, 0.9, 1.0, 1.05, 0.95], "middle": middle, "high": [5.0, 5.5, 4.5, 5.1, 4.9, 5.2]}
    cells = {"low": SMALL, "middle": LARGE, "high": LIKE}
    assert sentence_of(errors, cells) == "test nmse after P: high ≈ middle ≈ low; what holds besides: high > low."


def test_methods_are_ordered_by_the_seeds_that_all_of_them_have() -> None:
    """The seventh seed of ``b`` alone would turn the order of the means over."""
    errors = {"a": [2.0, 2.1, 1.9, 2.0, 2.05, 1.95], "b": [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1e9]}
    assert sentence_of(errors, {"a": SMALL, "b": LARGE}) == "test nmse after P: a > b."


def test_of_fewer_than_five_seeds_nothing_is_said_to_hold_and_intervals_stay() -> None:
    """The page's answer gives no verdict of them either."""
    rows = [make_row(SMALL, seed, test__nmse__after_pruning=0.1 + seed / 1000) for seed in range(4)]
    rows += [make_row(LARGE, seed, test__nmse__after_pruning=0.9 + seed / 1000) for seed in range(4)]
    manifest = make_manifest({"a": [SMALL], "b": [LARGE]}, seeds=range(4))
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    few = findings.find(tables.build(manifest, methods), methods, EqualScore())
    (error,) = (item for item in few.compared if item.quantity == "test nmse after P")
    assert error.p_corrected < 0.01
    assert "test nmse after P: no verdict of fewer than 5 seeds; from the largest mean: b, a." in sentences(few)
    _, *compared = lines(few, "Comparisons")
    assert {line[-1] for line in compared} == {"n < 5"}
    assert all(" to " in line[4] for line in compared)
    assert {line["holds"] for line in csv.DictReader(io.StringIO(formats.comparisons_csv(few.compared)))} == {""}
    assert any("of fewer than 5 seeds (n < 5) there is no verdict" in rule for rule in grids.of_findings(few).rules)


def test_a_method_that_misses_seeds_is_in_the_order_without_a_verdict() -> None:
    errors = {"a": [2.0, 2.1, 1.9, 2.0, 2.05, 1.95], "b": [1.0, 1.1, 0.9, 1.0, 1.05, 0.95], "c": [0.1, 0.11, 0.12]}
    said = sentence_of(errors, {"a": SMALL, "b": LARGE, "c": LIKE})
    assert said == "test nmse after P: a > b, c (a comma: n < 5, no verdict)."


@pytest.mark.parametrize(
    ("middle", "said"),
    [
        ({}, "c, a < b (a comma: n < 5, no verdict); means"),
        ({"d": [1.02] * 2}, "c, a, d, b (a comma: n < 5, no verdict); what holds besides: b > a; means"),
    ],
)
def test_what_holds_on_the_seeds_of_a_pair_is_said_that_way_round(middle: dict[str, list[float]], said: str) -> None:
    """``c`` has two seeds, on which ``a`` is a little larger than ``b``; on ten it is half as large."""
    noise = [1, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015, 1.0, 0.985]
    halves = [by * (1.05 if seed < 2 else 0.5) for seed, by in enumerate(noise)]
    errors = {"a": halves, "b": noise[::-1], "c": [3.0, 3.1], **middle}
    cells = dict(zip(errors, (SMALL, LARGE, LIKE, make_cell(l1=4.0)), strict=False))
    sentence = sentence_of(errors, cells)
    assert sentence.startswith(f"test nmse after P: {said} order the methods, ")


def test_errors_are_ordered_and_compared_by_their_logarithms() -> None:
    """One seed in six that fails makes a mean; every other says the opposite."""
    errors = {"lucky": [1e-6] * 5 + [1.0], "steady": [1e-2, 2e-2, 3e-2, 2e-2, 1e-2, 2e-2]}
    assert sentence_of(errors, {"lucky": SMALL, "steady": LARGE}).startswith("test nmse after P: steady ≈ lucky")


def test_rows_of_the_same_networks_are_compared_once_where_they_agree() -> None:
    rows = [make_row(SMALL, seed, test__nmse__after_pruning=0.1 + seed / 10) for seed in range(3)]
    rows += [make_row(LARGE, seed, test__nmse__after_pruning=0.5 + seed / 10) for seed in range(3)]
    manifest = make_manifest({"as described": [SMALL], "as scripted": [SMALL], "other": [LARGE]}, seeds=range(3))
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    assert len(found.compared) == len(findings.COMPARED)
    assert {item.first for item in found.compared} == {"as described = as scripted"}


def test_every_pair_and_quantity_is_compared_once(found: Findings) -> None:
    comparisons = lines(found, "Comparisons")
    assert len(comparisons) == 1 + 5 * 3
    assert len({(line[0], line[1]) for line in comparisons}) == len(comparisons)


def test_markdown_has_as_many_cells_in_every_line_of_a_grid(found: Findings) -> None:
    section = markdown(found).partition("## Comparisons")[2]
    set_lines = [line.replace("\\|", "") for line in section.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in set_lines} == {len(lines(found, "Comparisons")[0]) + 1}


def test_every_rule_is_printed(found: Findings) -> None:
    rules = grids.of_findings(found).rules
    assert len(rules) == 2
    assert all(rule in markdown(found) for rule in rules)


def test_the_rule_names_what_is_compared_as_ratios(found: Findings) -> None:
    assert {item.quantity for item in found.compared if item.is_ratio} == {"test nmse after P", "dense size"}
    assert "; errors and dense sizes are compared on their logarithms, " in markdown(found)


def test_published_figures_stand_beside_what_one_more_run_would_give_and_its_width() -> None:
    errors = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    rows = [make_row(SMALL, seed, test__nmse__after_pruning=value) for seed, value in enumerate(errors)]
    manifest = make_manifest({"a": [SMALL]}, seeds=range(5), published={"a": "ℓ1+DN+P"})
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    head, *body = lines(found, "Published figures")
    assert head == [
        "method", "quantity", "n", "reproduced", "published", "one more run", "its width", "verdict"
    ]  # fmt: skip
    assert len(body) == 9
    line = next(line for line in body if line[1] == "test nmse after P")
    assert line == ["a", "test nmse after P", "5", "0.002880", "3.58e-04", "3.86e-06 to 0.2487", "69460 %", "inside"]
    (sentence,) = (text for text in sentences(found) if text.startswith("Published figures: "))
    assert sentence.startswith("Published figures: 9 (")
    assert "; that do not follow from others, 6 (" in sentence


def test_a_published_figure_without_a_counterpart_is_counted() -> None:
    """A compression rate is not defined where a network has nothing left."""
    manifest = make_manifest({"a": [SMALL]}, seeds=range(5), published={"a": "ℓ1+DN+P"})
    rows = tuple(make_row(SMALL, seed, density=0.0 if seed == 3 else 0.5) for seed in range(5))
    methods = gather(manifest, Snapshot(rows, ()))
    table = tables.build(manifest, methods)
    assert table.count_verdicts().all.total() == 9
    found = findings.find(table, methods, EqualScore())
    assert ["a", "compression rate", "5", "—", "35.0", "—", "—", "—"] in lines(found, "Published figures")


def test_an_interval_of_a_quantity_with_a_zero_says_what_it_is_of() -> None:
    rows = [make_row(SMALL, seed, test__nmse__after_pruning=float(seed)) for seed in range(3)]
    manifest = make_manifest({"a": [SMALL]}, seeds=range(3))
    methods = gather(manifest, Snapshot(tuple(rows), ()))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    by_heading = {name: cells for name, *cells in lines(found, "Intervals")}
    assert by_heading["test nmse after P: 95 % interval"] == ["0.000 to 3.484 (of the mean)"]
    assert "of the mean" not in by_heading["dense size (of 105): 95 % interval"][0]


def test_csv_has_full_precision(found: Findings) -> None:
    read = list(csv.DictReader(io.StringIO(formats.comparisons_csv(found.compared))))
    assert [float(line["difference"]) for line in read] == [item.difference for item in found.compared]


def test_csv_has_no_formula_of_a_label(found: Findings) -> None:
    written = formats.comparisons_csv([replace(found.compared[0], first="=1", second="@x")])
    read = list(csv.DictReader(io.StringIO(written)))
    assert [(line["first"], line["second"]) for line in read] == [("'=1", "'@x")]
    assert float(read[0]["difference"]) == found.compared[0].difference < 0


def test_html_escapes() -> None:
    assert "<i>" not in formats.html_table(Grid("title", [["<i>", "a"], ["b & c", "<b>"]]))


def test_one_seed_has_no_statistics() -> None:
    manifest = make_manifest({"small": [SMALL], "large": [LARGE]}, seeds=[0])
    methods = gather(manifest, Snapshot((make_row(SMALL, 0), make_row(LARGE, 0)), ()))
    found = findings.find(tables.build(manifest, methods), methods, EqualScore())
    assert (lines(found, "Intervals"), lines(found, "Comparisons"), sentences(found)) == ([], [], [])


@pytest.mark.parametrize(("p", "words"), [(0.0, "< 1e-6"), (0.0123, "0.012"), (1.0, "1")])
def test_p_in_words(p: float, words: str) -> None:
    assert number_text.p_value(p) == words
