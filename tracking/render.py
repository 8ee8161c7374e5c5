"""A table as Markdown, CSV, LaTeX, HTML or a terminal table. Formats only; every figure is in the table."""

import csv
import html
import io
from collections.abc import Callable
from dataclasses import dataclass

import rich.table
from rich import box
from rich.text import Text

from tracking.columns import Column
from tracking.tables import Table, TableRow

MISSING = "—"


@dataclass(frozen=True)
class _Across:
    """One column as it is set: a method as reproduced, as published, or the difference of the two."""

    kind: str
    label: str
    values: list[str]


def _across(table: Table) -> list[_Across]:
    """Return what stands side by side, each with a value for every quantity and n."""
    found = []
    for row in table.rows:
        found.append(_Across("reproduced", row.label, [*(_reproduced(row, c) for c in table.columns), _count(row)]))
        if row.published:
            given = [c.format(row.published[c.key]) if c.key in row.published else "" for c in table.columns]
            found.append(_Across("published", "published", [*given, "1"]))
            found.append(_Across("difference", "difference", [*(_difference(row, c) for c in table.columns), ""]))
    return found


def _quantities(table: Table) -> list[str]:
    return [*(column.heading for column in table.columns), "n"]


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
    return f"{column.format(found.mean, beside=found.mean if found.n > 1 else None)}{spread}"


def markdown(table: Table) -> str:
    """Return the table and its notes as Markdown: quantities down and methods across, as the paper sets it."""
    across = _across(table)
    heads = [f"**{column.label}**" if column.kind == "reproduced" else f"*{column.label}*" for column in across]
    lines = [_markdown_row(["", *heads]), _markdown_row(["---", *("--:" for _ in across)])]
    for number, quantity in enumerate(_quantities(table)):
        lines.append(_markdown_row([quantity, *(column.values[number] for column in across)]))
    return "\n".join([f"## {table.title}", "", *lines, "", *(f"- {note}" for note in table.notes), ""])


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
    """Return a ``tabular`` with quantities down and methods across (needs booktabs)."""
    across = _across(table)
    lines = [["", *(column.label for column in across)]]
    lines += [[q, *(column.values[number] for column in across)] for number, q in enumerate(_quantities(table))]
    head, *body = [" & ".join(map(_latex_text, line)) + r" \\" for line in lines]
    parts = [rf"\begin{{tabular}}{{l{'r' * len(across)}}}", r"\toprule", head, r"\midrule", *body]
    parts += [r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes), ""]
    return "\n".join([f"% {table.title}", *parts])


def as_html(table: Table) -> str:
    """Return a ``<table>`` element with its notes as a list; no style of its own."""
    across = _across(table)
    head = "".join(f'<th class="{column.kind}">{html.escape(column.label)}</th>' for column in across)
    body = []
    for number, quantity in enumerate(_quantities(table)):
        cells = "".join(f'<td class="{column.kind}">{html.escape(column.values[number])}</td>' for column in across)
        body.append(f'<tr><th scope="row">{html.escape(quantity)}</th>{cells}</tr>')
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    table_head = f"<thead><tr><th></th>{head}</tr></thead>"
    return f'<table>{table_head}<tbody>{"".join(body)}</tbody></table><ul class="notes">{notes}</ul>'


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
