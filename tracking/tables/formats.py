"""Markdown, LaTeX, HTML and terminal tables from grids of text, and CSV from the numbers themselves.

Labels, names of layers and reasons are the user's: in none of the formats does any of them act as markup.
"""

import csv
import html
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import rich.console
import rich.table
from rich import box
from rich.text import Text

from dn_distributed.text import as_markdown, one_line
from tracking.results.cells import Stat
from tracking.results.inference import Comparison
from tracking.tables import verdicts
from tracking.tables.columns import Column
from tracking.tables.grids import Grid, Statistics
from tracking.tables.table import Table, TableRow

_ACROSS = 4
"""Methods side by side on a terminal."""
_MARKS: dict[verdicts.Word, str] = {"equal": "=", "inside": "✓", "outside": "✗"}
"""Verdicts on a terminal."""
_LEGEND = (
    "Beside a published figure: ✓ inside the interval of one more run, ✗ outside of it, = equal, nothing: no verdict. "
    "The differences stand in the report."
)
_LONGEST_TEXT = 100_000
"""Characters of a label or a note: no limit but that of patience."""


def markdown(grid: Grid) -> str:
    """Return a grid and its notes as Markdown."""
    return "\n".join([_markdown_grid(grid), "", *map(markdown_item, grid.notes), ""])


def statistics_markdown(statistics: Statistics) -> str:
    """Return findings as Markdown sections."""
    said = [*statistics.sentences, *(f"Rule: {rule}." for rule in statistics.rules)]
    return "\n\n".join([*map(_markdown_grid, statistics.grids), "\n".join(map(markdown_item, said))]) + "\n"


def _markdown_grid(grid: Grid) -> str:
    stars = {"reproduced": "**", "published": "*", "difference": "*"}
    marks = ("", *(stars[kind] for kind in grid.kinds)) if grid.kinds else [""] * len(grid.head)
    head = [f"{mark}{markdown_text(label)}{mark}" for mark, label in zip(marks, grid.head, strict=True)]
    rule = ["---", *["--:"] * (len(head) - 1)]
    body = (map(markdown_text, line) for line in grid.body)
    return "\n".join([f"## {markdown_text(grid.title)}", "", *map(markdown_row, [head, rule, *body])])


def markdown_row(values: Iterable[str]) -> str:
    """Return a line of a Markdown table; the values are Markdown."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


_LIST_OR_QUOTATION = re.compile(r"^(\d{0,9})([-+>.)])")


def markdown_text(text: str) -> str:
    """Return plain text as Markdown that shows it within a line: nothing of it is markup."""
    return as_markdown(one_line(text, _LONGEST_TEXT))


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


def comparisons_csv(compared: Sequence[Comparison]) -> str:
    """Return the comparisons at full precision; ``holds`` is empty where there are too few seeds for a verdict."""
    head = ["quantity", "first", "second", "n", "scale", "difference", "low", "high", "effect", "p", "p_holm", "holds"]
    lines: list[list[CsvValue]] = [[*head]]
    for item in compared:
        scale = "logarithm" if item.is_ratio else "plain"
        holds = None if item.verdict == "too few seeds" else item.holds
        numbers = (item.difference, item.interval.low, item.interval.high, item.effect, item.p, item.p_corrected)
        lines.append([item.quantity, item.first, item.second, item.n, scale, *numbers, holds])
    return csv_text(lines)


_LATEX_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "ℓ": r"$\ell$", "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "—": "---",
    "≥": r"$\geq$", "≤": r"$\leq$", "≠": r"$\neq$",
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "*": "{*}",  # at the beginning of a line they would belong to the end of the one before
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(_LATEX_ESCAPES.get(character, character) for character in one_line(text, _LONGEST_TEXT))


def latex(grid: Grid) -> str:
    """Return a grid as a ``tabular`` (needs booktabs), its title and notes as comments."""
    head, *body = [" & ".join(map(_latex_text, line)) + r" \\" for line in grid.lines]
    title, *notes = (f"% {one_line(text, _LONGEST_TEXT)}" for text in (grid.title, *grid.notes))
    begin = [rf"\begin{{tabular}}{{l{'r' * (len(grid.head) - 1)}}}", r"\toprule"]
    return "\n".join([title, *begin, head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", *notes, ""])


def html_text(text: str) -> str:
    """Return plain text as HTML that shows it."""
    return html.escape(one_line(text, _LONGEST_TEXT))


def html_table(grid: Grid, links: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a grid as a ``<table>`` element without its notes; no style of its own.

    ``links``: where the methods in the head of a comparison table lead to, by label.
    """
    kinds = grid.kinds or [""] * (len(grid.head) - 1)

    def head_text(kind: str, label: str) -> str:
        link = links.get(label) if kind == "reproduced" else None
        return f'<a href="{html.escape(link)}">{html_text(label)}</a>' if link else html_text(label)

    def cells(tag: str, values: Sequence[str], line: int = -1) -> str:
        classes = [
            " ".join(filter(None, [kind, grid.marks.get((line, place), "")])) for place, kind in enumerate(kinds, 1)
        ]
        return "".join(f"<{tag}{_class(name)}>{value}</{tag}>" for name, value in zip(classes, values, strict=True))

    heads = cells("th", list(map(head_text, kinds, grid.head[1:])))
    head = f"<tr><th>{html_text(grid.head[0])}</th>{heads}</tr>"
    body = (
        f'<tr><th scope="row">{html_text(name)}</th>{cells("td", list(map(html_text, values)), line)}</tr>'
        for line, (name, *values) in enumerate(grid.body)
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def as_html(grid: Grid) -> str:
    """Return a grid as a ``<table>`` element with its notes as a list."""
    notes = "".join(f"<li>{html_text(note)}</li>" for note in grid.notes)
    return f'{html_table(grid)}<ul class="notes">{notes}</ul>'


def terminal_text(text: str) -> Text:
    """Return plain text as a terminal shows it: nothing of it is rich's markup, nothing is obeyed."""
    return Text(one_line(text, _LONGEST_TEXT))


def terminal(grid: Grid) -> rich.console.Group:
    """Return a comparison table for a terminal, quantities down and methods across, so that it fits a narrow window.

    A published figure stands under the reproduced one, with its verdict as a mark; the differences are in the report.
    Many methods take several tables.
    """
    starts = [place for place, kind in enumerate(grid.kinds, 1) if kind == "reproduced"]
    methods = [range(start, end) for start, end in itertools.pairwise([*starts, len(grid.head)])]
    parts = [methods[start : start + _ACROSS] for start in range(0, len(methods), _ACROSS)]
    shown = [_terminal_part(grid, part) for part in parts]
    shown[0].title = terminal_text(grid.title)
    legend = [_LEGEND] * ("published" in grid.kinds)
    return rich.console.Group(*shown, *map(terminal_text, [*legend, *grid.notes]))


def _terminal_part(grid: Grid, methods: Sequence[range]) -> rich.table.Table:
    """``methods``: the places of each one's columns."""
    part = rich.table.Table(box=box.SIMPLE_HEAD, title_justify="left")
    part.add_column("published" * any(len(method) > 1 for method in methods))
    for method in methods:
        part.add_column(terminal_text(grid.head[method.start]), justify="right")
    for line in grid.body:
        part.add_row(terminal_text(line[0]), *(_terminal_cell(*line[slice(m.start, m.stop)]) for m in methods))
    return part


def _terminal_cell(reproduced: str, published: str = "", difference: str = "") -> Text:
    cell = Text(reproduced)
    if difference:
        mark = next((mark for word, mark in _MARKS.items() if f", {word}" in difference), "")
        cell.append(f"\n{published} {mark or ' '}", style="dim")
    return cell


def by_ending(table: Table, grid: Grid) -> dict[str, str]:
    """Return a table in every format that is written to a file, by the file's ending. ``grid``: the table as text."""
    return {"md": markdown(grid), "csv": as_csv(table), "tex": latex(grid), "html": as_html(grid)}
