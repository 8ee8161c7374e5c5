"""A table as Markdown, CSV, LaTeX, HTML or a terminal table. Formats only; every figure is in the table."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rich.console
import rich.table
from rich import box
from rich.text import Text

from tracking.cells import Stat
from tracking.columns import Column
from tracking.tables import Table, TableRow

MISSING = "—"
_ACROSS = 4
"""Methods side by side on a terminal."""


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
    shown = column.format(difference, beside=beside, signed=True)
    outside = row.outside(column)
    if outside is None:
        values = row.stats[column.key].values
        return f"{shown}, equal" if not difference and len(values) > 1 and min(values) == max(values) else shown
    by = column.format(abs(outside), beside=beside)
    verdict = f"outside by {by}" if float(by) else "just outside" if outside else "inside"
    return f"{shown}, {verdict}"


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
    lines = [markdown_row(["", *heads]), markdown_row(["---", *("--:" for _ in across)])]
    for number, quantity in enumerate(_quantities(table)):
        lines.append(markdown_row([quantity, *(column.values[number] for column in across)]))
    return "\n".join([f"## {table.title}", "", *lines, "", *(f"- {note}" for note in table.notes), ""])


def markdown_row(values: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def as_csv(table: Table) -> str:
    """Return one line per method and quantity, at full precision: mean, std, n, published, difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "quantity", *_CSV_COLUMNS])
    for row in table.rows:
        for column in table.columns:
            values = _csv_values(row, column)
            writer.writerow([row.label, column.key, *("" if value is None else repr(value) for value in values)])
    return out.getvalue()


_CSV_COLUMNS = (
    "mean", "std", "n", "n_expected", "min", "max", "mean_low", "mean_high", "run_low", "run_high", "published",
    "difference", "outside_by",
)  # fmt: skip


def _csv_values(row: TableRow, column: Column) -> list[float | None]:
    key = column.key
    found, given = row.stats.get(key), row.published.get(key)
    ends: list[float | None] = [None, None, row.n, row.num_expected, *[None] * 6]
    if found is not None:
        ends = [found.mean, found.std, row.n, row.num_expected, *_range(found)]
        for interval in (column.mean_interval(found.values), column.prediction_interval(found.values)):
            ends += [interval.low, interval.high] if interval else [None, None]
    return [*ends, given, row.difference(key), row.outside(column)]


def _range(found: Stat) -> tuple[float | None, float | None]:
    return (min(found.values), max(found.values)) if found.values else (None, None)


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


def terminal(table: Table) -> rich.console.Group:
    """Return a terminal table, quantities down and methods across, so that it fits a narrow window.

    A published figure stands under the reproduced one, the difference in brackets. Many methods take several tables.
    """
    parts = [table.rows[start : start + _ACROSS] for start in range(0, len(table.rows), _ACROSS)]
    shown = [_terminal_part(table, rows) for rows in parts]
    shown[0].title = table.title
    return rich.console.Group(*shown, *table.notes)


def _terminal_part(table: Table, rows: Sequence[TableRow]) -> rich.table.Table:
    published = any(row.published for row in rows)
    part = rich.table.Table(box=box.SIMPLE_HEAD, title_justify="left")
    part.add_column("published (difference)" if published else "")
    for row in rows:
        part.add_column(row.label, justify="right")
    for column in table.columns:
        part.add_row(column.heading, *(_terminal_cell(row, column) for row in rows))
    part.add_row("n", *(_count(row) for row in rows))
    return part


def _terminal_cell(row: TableRow, column: Column) -> Text:
    cell = Text(_reproduced(row, column))
    if difference := _difference(row, column):
        cell.append(f"\n{column.format(row.published[column.key])} ({difference})", style="dim")
    return cell


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": as_csv, "tex": latex, "html": as_html}
"""File ending to text, for the formats that are written to files."""
