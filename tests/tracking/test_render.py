import csv
import io
import math

import pytest
from fabricated import make_cell, make_manifest, make_row
from rich.console import Console

from tracking import render, tables
from tracking.cells import gather
from tracking.columns import Column
from tracking.reader import Snapshot
from tracking.tables import Table

CELLS = [make_cell(l1=float(place)) for place in (1, 2, 3)]
AWKWARD = 'a|b & 100% <i>_{x}$\\"~^ℓ'
"""A label with every character that some format gives a meaning to."""


@pytest.fixture(scope="module")
def table() -> Table:
    """A whole method with published figures, one of two seeds out of three, and one without any."""
    rows = [make_row(CELLS[0], seed, test__nmse__after_pruning=1 / (3 + seed)) for seed in range(3)]
    rows += [make_row(CELLS[1], seed) for seed in range(2)]
    methods = {"whole": [CELLS[0]], AWKWARD: [CELLS[1]], "none": [CELLS[2]]}
    manifest = make_manifest(methods, seeds=range(3), published={"whole": "ℓ1+DN+P"})
    return tables.build(manifest, gather(manifest, Snapshot(tuple(rows), ())))


def markdown_lines(table: Table) -> list[list[str]]:
    lines = [line for line in render.markdown(table).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[2:-2].replace("\\|", "¦").split(" | ")] for line in lines]


def markdown_columns(table: Table) -> list[list[str]]:
    """Method by method: its label, then a value for every quantity."""
    head, _, *body = markdown_lines(table)
    return [list(column) for column in zip(head, *body, strict=True)]


def test_markdown_has_a_cell_for_every_method_in_every_line(table: Table) -> None:
    assert [len(line) for line in markdown_lines(table)] == [6] * (2 + len(table.columns) + 1)


def test_markdown_has_mean_and_deviation_then_published_then_difference(table: Table) -> None:
    quantities, whole, published, difference, *_ = markdown_columns(table)
    place = quantities.index("test nmse after P")
    assert (whole[0], published[0], difference[0]) == ("**whole**", "*published*", "*difference*")
    assert (whole[place], published[place], difference[place]) == (
        "0.2611 ± 0.0674",
        "3.58e-04",
        "+0.2608, outside by 0.0712",
    )
    assert (whole[-1], published[-1], difference[-1]) == ("3", "1", "")


def test_a_mean_has_as_many_decimals_as_its_deviation(table: Table) -> None:
    quantities, whole, published, *_ = markdown_columns(table)
    place = quantities.index("neurons fc2 (of 1)")
    assert whole[place] == "1.0 ± 0.0"
    assert published[place] == "1"


def test_what_is_missing_prints_as_missing(table: Table) -> None:
    label, *values, n = markdown_columns(table)[-1]
    assert label == "**none**"
    assert values == [render.MISSING] * len(table.columns)
    assert n == "0 of 3"


def test_fewer_replicates_than_asked_for_are_counted(table: Table) -> None:
    assert markdown_columns(table)[4][-1] == "2 of 3"


def test_markdown_keeps_a_bar_in_a_label(table: Table) -> None:
    assert markdown_columns(table)[4][0] == f"**{AWKWARD.replace('|', '¦')}**"


def test_markdown_has_every_note(table: Table) -> None:
    assert all(f"- {note}\n" in render.markdown(table) for note in table.notes)


def test_csv_has_full_precision(table: Table) -> None:
    lines = {(line["method"], line["quantity"]): line for line in csv.DictReader(io.StringIO(render.as_csv(table)))}
    stats = table.rows[0].stats["score_after"]
    line = lines["whole", "score_after"]
    assert (float(line["mean"]), float(line["std"])) == (stats.mean, stats.std)
    assert float(line["difference"]) == stats.mean - 3.58e-4
    assert (line["n"], line["n_expected"]) == ("3", "3")
    assert len(lines) == 3 * len(table.columns)


def test_csv_leaves_missing_values_empty(table: Table) -> None:
    lines = [line for line in csv.DictReader(io.StringIO(render.as_csv(table))) if line["method"] == "none"]
    assert lines
    assert all((line["mean"], line["std"], line["n"]) == ("", "", "0") for line in lines)


def test_csv_quotes_a_label(table: Table) -> None:
    assert {line["method"] for line in csv.DictReader(io.StringIO(render.as_csv(table)))} == {"whole", AWKWARD, "none"}


def test_latex_escapes_what_it_gives_a_meaning_to(table: Table) -> None:
    label = r"a|b \& 100\% <i>\_\{x\}\$\textbackslash{}" + '"' + r"\textasciitilde{}\^{}$\ell$"
    text = render.latex(table)
    assert f"& {label} &" in text
    assert r"0.2611 $\pm$ 0.0674" in text


def test_latex_has_a_cell_for_every_method_in_every_line(table: Table) -> None:
    lines = [line for line in render.latex(table).splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + len(table.columns) + 1  # head, quantities, n
    assert {line.replace(r"\&", "").count("&") for line in lines} == {5}  # three methods, published, difference


def test_html_escapes_labels_and_marks_kinds_of_lines(table: Table) -> None:
    text = render.as_html(table)
    assert "a|b &amp; 100% &lt;i&gt;" in text
    assert "<i>" not in text
    for kind, count in (("reproduced", 3), ("published", 1), ("difference", 1)):
        assert text.count(f'<th class="{kind}">') == count
        assert text.count(f'<td class="{kind}">') == count * (len(table.columns) + 1)


def test_a_terminal_table_has_published_figures_under_reproduced_ones(table: Table) -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render.terminal(table))
    text = console.export_text()
    assert "3.58e-04 (+0.2608, outside by 0.0712)" in text
    assert "2 of 3" in text


@pytest.mark.parametrize(
    ("kind", "value", "plain", "spread", "beside"),
    [
        ("percent", 0.12345, "12.35", 0.001, "0.10"),
        ("ratio", 10.085, "10.09", 0.5, "0.50"),
        ("count", 12.0, "12", 3.0, "3.0"),
        ("count", 12.5, "12.5", 0.25, "0.2"),
        ("score", 0.0121184, "0.01212", 0.0001898, "0.00019"),
        ("score", 0.539, "0.5390", 0.0123, "0.0123"),
        ("score", 3.58e-4, "3.58e-04", 2.1e-5, "2.10e-05"),
        ("score", 0.0, "0", 0.0, "0"),
        ("score", 15256.5, "15256", 12.7, "13"),
        ("score", math.nan, "nan", math.nan, "nan"),
        ("score", math.inf, "inf", math.nan, "nan"),
    ],
)
def test_values_are_written_by_their_kind(kind: str, value: float, plain: str, spread: float, beside: str) -> None:
    column = Column("key", "title", lambda _row: value, kind)  # type: ignore[arg-type]
    assert column.format(value) == plain
    assert column.format(spread, beside=value) == beside


def test_a_difference_has_its_sign() -> None:
    column = Column("key", "title", lambda _row: 0.0, "score")
    assert column.format(0.0001898, beside=0.0121184, signed=True) == "+0.00019"


def test_every_format_has_an_ending() -> None:
    assert set(render.FORMATS) == {"md", "csv", "tex", "html"}
