"""A table as Markdown, CSV, LaTeX, HTML or a terminal table. Formats only; every figure is in the table."""

import csv
import html
import io
from collections.abc import Callable

import rich.table
from rich import box
from rich.text import Text

from tracking.columns import Column
from tracking.tables import Table, TableRow

MISSING = "—"


def _lines(row: TableRow, columns: tuple[Column, ...]) -> list[tuple[str, list[str]]]:
    """Return one to three lines of a method: reproduced, published, difference."""
    lines = [(row.label, [*(_reproduced(row, column) for column in columns), _count(row)])]
    if row.published:
        given = [column.format(row.published[c]) if (c := column.key) in row.published else "" for column in columns]
        lines.append(("published", [*given, "1"]))
        differences = [_difference(row, column) for column in columns]
        lines.append(("difference", [*differences, ""]))
    return lines


def _difference(row: TableRow, column: Column) -> str:
    difference = row.difference(column.key)
    if difference is None:
        return ""
    beside = max(row.stats[column.key].mean, row.published[column.key])
    return column.format(difference, beside=beside, signed=True)


def _count(row: TableRow) -> str:
    return f"{row.n}" if row.n == row.num_expected else f"{row.n} of {row.num_expected}"


def _reproduced(row: TableRow, column: Column) -> str:
    found = row.stats.get(column.key)
    if found is None:
        return MISSING
    spread = "" if found.std is None else f" ± {column.format(found.std, beside=found.mean)}"
    return f"{column.format(found.mean)}{spread}"


def _headings(table: Table) -> list[str]:
    return ["method", *(column.heading for column in table.columns), "n"]


def markdown(table: Table) -> str:
    """Return the table and its notes as Markdown."""
    lines = [f"## {table.title}", "", _markdown_row(_headings(table))]
    lines.append(_markdown_row(["---", *("--:" for _ in table.columns), "--:"]))
    for row in table.rows:
        for number, (label, values) in enumerate(_lines(row, table.columns)):
            name = f"**{label}**" if number == 0 else f"*{label}*"
            lines.append(_markdown_row([name, *values]))
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def _markdown_row(values: list[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def as_csv(table: Table) -> str:
    """Return one line per method and quantity, at full precision: mean, std, n, published, difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "quantity", "mean", "std", "n", "n_expected", "published", "difference"])
    for row in table.rows:
        for column in table.columns:
            found, given = row.stats.get(column.key), row.published.get(column.key)
            mean, std = (found.mean, found.std) if found else (None, None)
            values = [mean, std, row.n, row.num_expected, given, row.difference(column.key)]
            writer.writerow([row.label, column.key, *("" if value is None else repr(value) for value in values)])
    return out.getvalue()


_LATEX_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "ℓ": r"$\ell$", "±": r"$\pm$", "—": "---", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}",
    "≥": r"$\geq$", "≤": r"$\leq$", "≠": r"$\neq$",
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(_LATEX_ESCAPES.get(character, character) for character in text)


def latex(table: Table) -> str:
    """Return a ``tabular`` with quantities down and methods across, as the paper sets it (needs booktabs)."""
    lines = [(label, values) for row in table.rows for label, values in _lines(row, table.columns)]
    body = []
    for number, heading in enumerate(_headings(table)[1:]):
        cells = [_latex_text(values[number]) for _, values in lines]
        body.append(" & ".join([_latex_text(heading), *cells]) + r" \\")
    head = " & ".join(["", *(_latex_text(label) for label, _ in lines)]) + r" \\"
    notes = [f"% {note}" for note in table.notes]
    begin = rf"\begin{{tabular}}{{l{'r' * len(lines)}}}"
    parts = [
        f"% {table.title}",
        begin,
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*parts, *notes, ""])


def as_html(table: Table) -> str:
    """Return a ``<table>`` element with its notes as a list; no style of its own."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in _headings(table))
    body = []
    for row in table.rows:
        for number, (label, values) in enumerate(_lines(row, table.columns)):
            kind = ("reproduced", "published", "difference")[number]
            cells = "".join(f"<td>{html.escape(value)}</td>" for value in values)
            body.append(f'<tr class="{kind}"><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return f'<table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table><ul class="notes">{notes}</ul>'


def terminal(table: Table) -> rich.table.Table:
    """Return a terminal table, quantities down and methods across, so that it fits a narrow window.

    A published figure stands under the reproduced one, the difference in brackets.
    """
    published = any(row.published for row in table.rows)
    shown = rich.table.Table(title=table.title, box=box.SIMPLE_HEAD, title_justify="left")
    shown.add_column("published (difference)" if published else "")
    for row in table.rows:
        shown.add_column(row.label, justify="right")
    for column in table.columns:
        shown.add_row(column.heading, *(_terminal_cell(row, column) for row in table.rows))
    shown.add_row("n", *(_count(row) for row in table.rows))
    shown.caption = "\n".join(table.notes)
    shown.caption_justify = "left"
    return shown


def _terminal_cell(row: TableRow, column: Column) -> Text:
    cell = Text(_reproduced(row, column))
    if difference := _difference(row, column):
        cell.append(f"\n{column.format(row.published[column.key])} ({difference})", style="dim")
    return cell


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": as_csv, "tex": latex, "html": as_html}
"""File ending to text, for the formats that are written to files."""
