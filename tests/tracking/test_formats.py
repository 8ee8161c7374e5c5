import csv
import html
import io
import math
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from tests.tracking.fabricated import make_cell, make_manifest, make_row
from tracking.results.cells import gather
from tracking.results.rows import Snapshot
from tracking.tables import formats, grids, number_text
from tracking.tables import table as tables
from tracking.tables.columns import Column
from tracking.tables.grids import Grid
from tracking.tables.table import Table

CELLS = [make_cell(l1=float(place)) for place in (1, 2, 3)]
AWKWARD = 'a|b & 100% <i>_{x}$\\"~^ℓ'
"""A label with every character that some format gives a meaning to."""
HOSTILE = [
    AWKWARD,
    "P [ours]",
    "P [/DN]",
    "[red]P[/red]",
    "[x](http://x)",
    "![x](y)",
    "*x* **y**",
    "_x_ __y__ a_b_c",
    "~~x~~",
    "`x`",
    "<b>x</b>",
    "<!-- x",
    "&amp; &lt; &#60; AT&T;",
    "$x_1$ $$y$$",
    "100 %",
    "back\\slash \\* \\",
    "# x #",
    "- x",
    "+ x",
    "> x",
    "1. x",
    "12) x",
    "---",
    "a || b",
    "=1+1",
    ":-",
]
"""Texts that are markup somewhere."""
LINES = 17
"""Of the table of a regression: quantities, geometric means of its errors, and n."""


@pytest.fixture(scope="module")
def table() -> Table:
    """A whole method with published figures, one of two seeds out of three, and one without any."""
    rows = [make_row(CELLS[0], seed, test__nmse__after_pruning=1 / (3 + seed)) for seed in range(3)]
    rows += [make_row(CELLS[1], seed) for seed in range(2)]
    methods = {"whole": [CELLS[0]], AWKWARD: [CELLS[1]], "none": [CELLS[2]]}
    manifest = make_manifest(methods, seeds=range(3), published={"whole": "ℓ1+DN+P"})
    return tables.build(manifest, gather(manifest, Snapshot(tuple(rows), ())))


def markdown_lines(table: Table) -> list[list[str]]:
    lines = [line for line in formats.markdown(grids.of_table(table)).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[2:-2].replace("\\|", "¦").split(" | ")] for line in lines]


def markdown_columns(table: Table) -> list[list[str]]:
    """Method by method: its label, then a value for every quantity."""
    head, _, *body = markdown_lines(table)
    return [list(column) for column in zip(head, *body, strict=True)]


def test_markdown_has_a_cell_for_every_method_in_every_line(table: Table) -> None:
    assert [len(line) for line in markdown_lines(table)] == [6] * (2 + LINES)


def test_markdown_has_mean_and_deviation_then_published_then_difference(table: Table) -> None:
    quantities, whole, published, difference, *_ = markdown_columns(table)
    place = quantities.index("test nmse after P")
    assert (whole[0], published[0], difference[0]) == ("**whole**", "*published*", "*difference*")
    assert (whole[place], published[place], difference[place]) == (
        "0.2611 ± 0.0674",
        "3.58e-04",
        "+0.2608, n < 5",
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
    assert values == [number_text.MISSING] * (LINES - 1)
    assert n == "0 of 3"


def test_fewer_replicates_than_asked_for_are_counted(table: Table) -> None:
    assert markdown_columns(table)[4][-1] == "2 of 3"


def labelled(table: Table, label: str) -> Table:
    """The table with one method more, in a title, in a note and in front of the others."""
    first = replace(table.rows[0], label=label, published={})
    return replace(table, title=label, rows=(first, *table.rows), notes=(label, f"{label} failed: {label}."))


def shown_by_markdown(text: str, tag: str) -> list[str]:
    """The text that a reader sees in each element of a kind, which must hold no other element."""
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    return [html.unescape(inner) for inner in re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)]


@pytest.mark.parametrize("label", HOSTILE)
def test_markdown_shows_a_text_as_it_is(table: Table, label: str) -> None:
    text = formats.markdown(grids.of_table(labelled(table, label)))
    assert shown_by_markdown(text, "h2") == [label]
    assert shown_by_markdown(text, "li") == [label, f"{label} failed: {label}."]
    assert shown_by_markdown(text, "th")[1] == f"<strong>{label}</strong>"
    assert text.count("\n|") == 2 + LINES


def test_markdown_escapes_dollars_for_readers_that_set_mathematics() -> None:
    assert formats.markdown_text("$x_1$") == r"\$x_1\$"


def test_markdown_leaves_ordinary_text_as_it_is() -> None:
    for text in ("ℓ1+DN+P", "p < 0.05", "-0.04, inside", "mean ± s · √(1 + 1/n)", "training.learning_rate_decay"):
        assert formats.markdown_text(text) == text


def test_what_would_be_two_lines_is_one(table: Table) -> None:
    label = "two\nlines\r\tand\x1b[31m more"
    for draw in (formats.markdown, formats.latex, formats.as_html):
        text = draw(grids.of_table(labelled(table, label)))
        assert "\x1b" not in text
        assert text.count("\n") == draw(grids.of_table(labelled(table, "one"))).count("\n")
        assert "\r" not in text


def test_markdown_has_every_note(table: Table) -> None:
    assert all(f"{formats.markdown_item(note)}\n" in formats.markdown(grids.of_table(table)) for note in table.notes)


def test_csv_has_full_precision(table: Table) -> None:
    lines = {(line["method"], line["quantity"]): line for line in csv.DictReader(io.StringIO(formats.as_csv(table)))}
    stats = table.rows[0].stats["score_after"]
    line = lines["whole", "score_after"]
    assert (float(line["mean"]), float(line["std"])) == (stats.mean, stats.std)
    assert float(line["difference"]) == pytest.approx(stats.mean - 3.58e-4, rel=1e-15)
    geometric = stats.geometric
    assert geometric is not None
    assert (float(line["geometric_mean"]), float(line["geometric_std"])) == (geometric.mean, geometric.factor)
    assert line["interval_of"] == "geometric mean"
    assert float(line["low"]) < geometric.mean < float(line["high"])
    assert (line["verdict"], line["outside_by"]) == ("", "")  # of three runs
    assert (line["n"], line["n_expected"]) == ("3", "3")
    assert len(lines) == 3 * len(table.columns)


def test_csv_leaves_missing_values_empty(table: Table) -> None:
    lines = [line for line in csv.DictReader(io.StringIO(formats.as_csv(table))) if line["method"] == "none"]
    assert lines
    assert all((line["mean"], line["std"], line["n"]) == ("", "", "0") for line in lines)


def test_csv_quotes_a_label(table: Table) -> None:
    assert {line["method"] for line in csv.DictReader(io.StringIO(formats.as_csv(table)))} == {"whole", AWKWARD, "none"}


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\t=x", "\r=x", "\n@x", "＝1", '=HYPERLINK("x")', "-2+3"])
def test_text_is_no_formula_of_a_spreadsheet(table: Table, text: str) -> None:
    lines = list(csv.reader(io.StringIO(formats.as_csv(labelled(table, text)))))
    assert lines[1][0] == f"'{text.strip()}"
    assert len({len(line) for line in lines}) == 1


def test_numbers_of_csv_stay_numbers() -> None:
    numbers: list[str | float | None] = [-0.25, 1e-300, -math.inf, math.nan, 3, "-1e-05", "+2.5", "-.5", "-inf"]
    assert formats.csv_text([numbers]) == "-0.25,1e-300,-inf,nan,3,-1e-05,+2.5,-.5,-inf\n"


def test_latex_escapes_what_it_gives_a_meaning_to(table: Table) -> None:
    label = r"a\textbar{}b \& 100\% \textless{}i\textgreater{}\_\{x\}\$\textbackslash{}"
    label += '"' + r"\textasciitilde{}\textasciicircum{}$\ell$"
    text = formats.latex(grids.of_table(table))
    assert f"& {label} &" in text
    assert r"0.2611 $\pm$ 0.0674" in text


@pytest.mark.parametrize("start", ["[2cm]", "*"])
def test_latex_takes_no_beginning_of_a_line_for_the_end_of_the_one_before(table: Table, start: str) -> None:
    columns = (replace(table.columns[0], title=f"{start} x"), *table.columns[1:])
    text = formats.latex(grids.of_table(replace(table, columns=columns)))
    assert f"\n{{{start[0]}}}{start[1:]} x &" in text
    assert re.search(r"\\\\\s*[\[*]", text) is None


def test_latex_has_a_cell_for_every_method_in_every_line(table: Table) -> None:
    lines = [line for line in formats.latex(grids.of_table(table)).splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + LINES  # with the head
    assert {line.replace(r"\&", "").count("&") for line in lines} == {5}  # three methods, published, difference


def test_html_escapes_labels_and_marks_kinds_of_lines(table: Table) -> None:
    text = formats.as_html(grids.of_table(table))
    assert "a|b &amp; 100% &lt;i&gt;" in text
    assert "<i>" not in text
    for kind, count in (("reproduced", 3), ("published", 1), ("difference", 1)):
        assert text.count(f'<th class="{kind}">') == count
        assert text.count(f'<td class="{kind}">') == count * LINES


def test_a_terminal_table_has_published_figures_under_reproduced_ones(table: Table) -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(formats.terminal(grids.of_table(table)))
    text = console.export_text()
    assert re.search(r"3\.58e-04 {2,}", text)  # of fewer than five runs there is no verdict
    assert "The differences stand in the report." in text
    assert "2 of 3" in text


@pytest.mark.parametrize(
    ("difference", "shown"),
    [("+0.1, inside", "2 ✓"), ("+0.1, outside by 0.05", "2 ✗"), ("+0.0, equal", "2 ="), ("+0.1, n < 5", "2")],
)
def test_a_terminal_marks_verdicts(difference: str, shown: str) -> None:
    kinds = ["reproduced", "published", "difference"]
    grid = Grid("t", [["", "M", "published", "difference"], ["score", "2.1", "2", difference]], kinds)
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(formats.terminal(grid))
    assert shown in [line.strip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("label", HOSTILE)
def test_a_terminal_shows_a_text_as_it_is(table: Table, label: str) -> None:
    console = Console(width=400, file=io.StringIO(), record=True)
    console.print(formats.terminal(grids.of_table(labelled(table, label))))
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert lines[0] == label
    assert label in re.split(r" {2,}", lines[2])
    assert f"{label} failed: {label}." in lines


@pytest.mark.parametrize("label", HOSTILE)
def test_html_shows_a_text_as_it_is(table: Table, label: str) -> None:
    text = formats.as_html(grids.of_table(labelled(table, label)))
    heads = re.findall(r'<th class="reproduced">([^<>]*)</th>', text)
    assert html.unescape(heads[0]) == label
    notes = re.findall(r"<li>([^<>]*)</li>", text)
    assert [html.unescape(note) for note in notes] == [label, f"{label} failed: {label}."]


def test_errors_have_a_geometric_mean_beside_their_mean(table: Table) -> None:
    quantities, whole, _, _, half, none = markdown_columns(table)
    place = quantities.index("test nmse after P, geometric mean")
    assert quantities[place - 1] == "test nmse after P"
    assert whole[place] == "0.2554 ×÷ 1.29"  # of 1/3, 1/4 and 1/5
    assert none[place] == number_text.MISSING
    assert "×÷" in half[place]


@pytest.mark.parametrize(
    ("kind", "value", "plain", "spread", "beside"),
    [
        ("percent", 0.12345, "12.34", 0.001, "0.10"),  # a tie: to the even digit
        ("ratio", 10.085, "10.08", 0.5, "0.50"),
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
    assert number_text.number(column, value) == plain
    assert number_text.number(column, spread, beside=value) == beside


def test_a_difference_has_its_sign() -> None:
    column = Column("key", "title", lambda _row: 0.0, "score")
    assert number_text.number(column, 0.0001898, beside=0.0121184, signed=True) == "+0.00019"


def test_every_format_has_an_ending(table: Table) -> None:
    assert set(formats.by_ending(table, grids.of_table(table))) == {"md", "csv", "tex", "html"}
