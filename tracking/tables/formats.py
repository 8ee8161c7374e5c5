"""A table as Markdown, CSV, LaTeX, HTML or a terminal table. Formats only; every figure is in the table.

Labels, names of layers and reasons are the user's: in none of the formats does any of them act as markup.
"""

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import rich.console
import rich.table
from rich import box
from rich.text import Text

from dn_distributed.text import one_line
from tracking.results.cells import Stat
from tracking.results.rounding import Number
from tracking.tables.columns import Column
from tracking.tables.table import Table, TableRow
from tracking.tables.verdicts import FEWEST_RUNS

MISSING = "—"
_ACROSS = 4
"""Methods side by side on a terminal."""
_LONGEST_TEXT = 100_000
"""Characters of a label or a note: no limit but that of patience."""


@dataclass(frozen=True)
class _Cells:
    """What a method has in one line: as reproduced, as published, and the difference of the two."""

    reproduced: str
    published: str = ""
    difference: str = ""


@dataclass(frozen=True)
class _Line:
    """One line of the table: a quantity, or an average of it."""

    heading: str
    of: Callable[[TableRow], _Cells]


def _lines(table: Table) -> Iterator[_Line]:
    for column in table.columns:
        yield _Line(column.heading, partial(_cells, column))
        if column.is_error:
            yield _Line(f"{column.heading}, geometric mean", partial(_geometric, column))
    yield _Line("n", lambda row: _Cells(_count(row), "1"))


@dataclass(frozen=True)
class _Across:
    """One column as it is set: a method as reproduced, as published, or the difference of the two."""

    kind: str
    label: str
    values: list[str]


def _across(table: Table) -> list[_Across]:
    """Return what stands side by side, each with a value for every line."""
    found = []
    for row in table.rows:
        cells = [line.of(row) for line in _lines(table)]
        found.append(_Across("reproduced", row.label, [each.reproduced for each in cells]))
        if row.published:
            found.append(_Across("published", "published", [each.published for each in cells]))
            found.append(_Across("difference", "difference", [each.difference for each in cells]))
    return found


def _cells(column: Column, row: TableRow) -> _Cells:
    given = row.published[column.key].written(column) if column.key in row.published else ""
    return _Cells(_reproduced(row, column), given, _difference(row, column))


def _geometric(column: Column, row: TableRow) -> _Cells:
    found = row.stats.get(column.key)
    average = found.geometric if found else None
    if average is None:
        return _Cells(MISSING)
    factor = "" if average.factor is None else f" ×÷ {average.factor:.3g}"
    return _Cells(f"{column.format(average.mean)}{factor}")


def _difference(row: TableRow, column: Column) -> str:
    difference = row.difference(column.key)
    if difference is None:
        return ""
    shown = column.format(difference, beside=_larger(row, column), signed=True)
    return ", ".join(filter(None, [shown, verdict_in_words(row, column)]))


def _larger(row: TableRow, column: Column) -> Number:
    return max(row.stats[column.key].exact_mean, row.published[column.key].value)


def verdict_in_words(row: TableRow, column: Column) -> str:
    """Return the verdict on a published figure, or why there is none; nothing where nothing can be said."""
    verdict = row.verdict(column)
    if verdict is None or verdict.word == "none":
        return f"n < {FEWEST_RUNS}" if verdict and row.n < FEWEST_RUNS else ""
    if verdict.word != "outside":
        return verdict.word
    by = column.format(abs(verdict.outside_by), beside=_larger(row, column))
    return f"outside by {by}" if float(by) else "just outside"


def _count(row: TableRow) -> str:
    return f"{row.n}" if row.n == row.num_expected else f"{row.n} of {row.num_expected}"


def _reproduced(row: TableRow, column: Column) -> str:
    found = row.stats.get(column.key)
    if found is None:
        return MISSING
    spread = "" if found.std is None else f" ± {column.format(found.std, beside=found.exact_mean)}"
    return f"{column.format(found.exact_mean, beside=found.exact_mean if found.n > 1 else None)}{spread}"


def markdown(table: Table) -> str:
    """Return the table and its notes as Markdown: quantities down and methods across, as the paper sets it."""
    across = _across(table)
    heads = [
        f"**{markdown_text(column.label)}**" if column.kind == "reproduced" else f"*{column.label}*"
        for column in across
    ]
    lines = [markdown_row(["", *heads]), markdown_row(["---", *("--:" for _ in across)])]
    for number, line in enumerate(_lines(table)):
        lines.append(markdown_row(map(markdown_text, [line.heading, *(column.values[number] for column in across)])))
    return "\n".join([f"## {markdown_text(table.title)}", "", *lines, "", *map(markdown_item, table.notes), ""])


def markdown_row(values: Iterable[str]) -> str:
    """Return a line of a Markdown table; the values are Markdown."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


_MARKDOWN = re.compile(
    r"""[\\`*\[\]~$\#]                    # whatever stands around them
    | (?<![^\W_])_ | _(?![^\W_])          # within a word it is no markup
    | <(?=[A-Za-z/!?]) | &(?=[\#A-Za-z])  # a tag, an entity""",
    re.VERBOSE,
)
_LIST_OR_QUOTATION = re.compile(r"^(\d{0,9})([-+>.)])")


def markdown_text(text: str) -> str:
    """Return plain text as Markdown that shows it within a line: nothing of it is markup."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text, _LONGEST_TEXT))


def markdown_item(text: str) -> str:
    """Return plain text as an item of a Markdown list; its beginning makes no list or quotation in it."""
    return "- " + _LIST_OR_QUOTATION.sub(r"\1\\\2", markdown_text(text))


def as_csv(table: Table) -> str:
    """Return one line per method and quantity, at full precision: means, n, intervals, published, difference."""
    lines = ([row.label, column.key, *_csv_values(row, column)] for row in table.rows for column in table.columns)
    return csv_text([["method", "quantity", *_CSV_COLUMNS], *lines])


_CSV_COLUMNS = (
    "mean", "std", "geometric_mean", "geometric_std", "n", "n_expected", "min", "max",
    "interval_of", "low", "high", "run_low", "run_high", "published", "difference", "verdict", "outside_by",
)  # fmt: skip
CsvValue = str | float | None


def csv_text(lines: Iterable[Sequence[CsvValue]]) -> str:
    """Return CSV. Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers are numbers."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_csv_value(value) for value in line] for line in lines)
    return out.getvalue()


_FORMULA = tuple("=+-@＝＋－＠")
"""First characters of a formula; some spreadsheets read the wide ones so as well."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def _csv_value(value: CsvValue) -> CsvValue:
    if not isinstance(value, str):
        return value
    text = one_line(value, _LONGEST_TEXT)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _csv_values(row: TableRow, column: Column) -> list[CsvValue]:
    found, figure = row.stats.get(column.key), row.published.get(column.key)
    difference, verdict = row.difference(column.key), row.verdict(column)
    judged = None if verdict is None or verdict.word == "none" else verdict
    return [
        *(_averages(found) if found else [None] * 4),
        row.n,
        row.num_expected,
        *(_ends(column, found) if found else [None] * 7),
        None if figure is None else float(figure.value),
        None if difference is None else float(difference),
        None if judged is None else judged.word,
        None if judged is None or judged.word == "equal" else judged.outside_by,
    ]


def _averages(found: Stat) -> list[CsvValue]:
    average = found.geometric
    return [found.mean, found.std, *((average.mean, average.factor) if average else (None, None))]


def _ends(column: Column, found: Stat) -> list[CsvValue]:
    """Range, interval of the mean and of one more run."""
    mean, run = column.mean_interval(found.values), column.prediction_interval(found.values)
    of = "share" if column.is_yes_or_no else "geometric mean" if mean and mean.of_logarithms else "mean"
    of_mean: list[CsvValue] = [of, mean.low, mean.high] if mean else [None] * 3
    return [min(found.values), max(found.values), *of_mean, *([run.low, run.high] if run else [None] * 2)]


_LATEX_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "ℓ": r"$\ell$", "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "—": "---",
    "≥": r"$\geq$", "≤": r"$\leq$", "≠": r"$\neq$",
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "*": "{*}",  # at the beginning of a line they would belong to the end of the one before
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(_LATEX_ESCAPES.get(character, character) for character in one_line(text, _LONGEST_TEXT))


def latex(table: Table) -> str:
    """Return a ``tabular`` with quantities down and methods across (needs booktabs)."""
    across = _across(table)
    lines = [["", *(column.label for column in across)]]
    for number, line in enumerate(_lines(table)):
        lines.append([line.heading, *(column.values[number] for column in across)])
    head, *body = [" & ".join(map(_latex_text, line)) + r" \\" for line in lines]
    title, *notes = (f"% {one_line(text, _LONGEST_TEXT)}" for text in (table.title, *table.notes))
    begin, end = [rf"\begin{{tabular}}{{l{'r' * len(across)}}}", r"\toprule"], [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([title, *begin, head, r"\midrule", *body, *end, *notes, ""])


def html_text(text: str) -> str:
    """Return plain text as HTML that shows it."""
    return html.escape(one_line(text, _LONGEST_TEXT))


def as_html(table: Table) -> str:
    """Return a ``<table>`` element with its notes as a list; no style of its own."""
    across = _across(table)
    head = "".join(f'<th class="{column.kind}">{html_text(column.label)}</th>' for column in across)
    body = []
    for number, line in enumerate(_lines(table)):
        cells = "".join(f'<td class="{column.kind}">{html_text(column.values[number])}</td>' for column in across)
        body.append(f'<tr><th scope="row">{html_text(line.heading)}</th>{cells}</tr>')
    notes = "".join(f"<li>{html_text(note)}</li>" for note in table.notes)
    table_head = f"<thead><tr><th></th>{head}</tr></thead>"
    return f'<table>{table_head}<tbody>{"".join(body)}</tbody></table><ul class="notes">{notes}</ul>'


def terminal_text(text: str) -> Text:
    """Return plain text as a terminal shows it: nothing of it is rich's markup, nothing is obeyed."""
    return Text(one_line(text, _LONGEST_TEXT))


def terminal(table: Table) -> rich.console.Group:
    """Return a terminal table, quantities down and methods across, so that it fits a narrow window.

    A published figure stands under the reproduced one, the difference in brackets. Many methods take several tables.
    """
    parts = [table.rows[start : start + _ACROSS] for start in range(0, len(table.rows), _ACROSS)]
    shown = [_terminal_part(table, rows) for rows in parts]
    shown[0].title = terminal_text(table.title)
    return rich.console.Group(*shown, *map(terminal_text, table.notes))


def _terminal_part(table: Table, rows: Sequence[TableRow]) -> rich.table.Table:
    published = any(row.published for row in rows)
    part = rich.table.Table(box=box.SIMPLE_HEAD, title_justify="left")
    part.add_column("published (difference)" if published else "")
    for row in rows:
        part.add_column(terminal_text(row.label), justify="right")
    for line in _lines(table):
        part.add_row(terminal_text(line.heading), *(_terminal_cell(line.of(row)) for row in rows))
    return part


def _terminal_cell(cells: _Cells) -> Text:
    cell = Text(cells.reproduced)
    if cells.difference:
        cell.append(f"\n{cells.published} ({cells.difference})", style="dim")
    return cell


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": as_csv, "tex": latex, "html": as_html}
"""File ending to text, for the formats that are written to files."""
