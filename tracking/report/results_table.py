"""The table of a report's page: totals first, with an arrow to what is better, and the best set apart."""

from collections.abc import Iterator
from dataclasses import replace

from tracking.tables import columns, grids, ranking
from tracking.tables.columns import Column
from tracking.tables.findings import COMPARED, Findings
from tracking.tables.grids import Grid
from tracking.tables.table import Table

CAPTION = (
    "↑ more is better, ↓ less is better. Bold: the best mean (where methods are compared by the geometric mean and it "
    "has a line, the best of those), better than each other method by a difference that holds; underlined: the best "
    "mean, where that is not shown."
)
_ARROWS = {True: "↑ ", False: "↓ ", None: ""}


def totals(findings: Findings) -> Grid:
    """Return the table without its layers; what is best is marked ``best`` or, where that is not shown, ``lead``."""
    table = findings.table
    shown = [column for column in table.columns if not columns.is_of_layer(column.key)]
    grid = grids.of_table(_of(table, shown))
    marks: dict[tuple[int, int], str] = {}
    for column in shown:
        if column.key in COMPARED and (found := ranking.rank(findings, column)) and found.next is not None:
            line = _line(grid, column, is_geometric=found.is_geometric and column.key in table.with_geometric_means)
            places = (place for place, label in _places(grid, table) if label in found.best)
            marks |= {(line, place): "best" if found.is_shown else "lead" for place in places}
    return replace(grid, marks=marks)


def layers(table: Table) -> Grid:
    """Return the part of the table that is about single layers; without columns its body is only n."""
    return grids.of_table(_of(table, [column for column in table.columns if columns.is_of_layer(column.key)]))


def in_page_words(findings: Findings) -> Findings:
    """Return the findings with quantities called as a page calls them: weights left, not density."""
    names = {column.plain.title: column.for_page.title for column in findings.table.columns}
    return replace(
        findings,
        table=findings.table.for_page,
        compared=tuple(replace(item, quantity=names[item.quantity]) for item in findings.compared),
        orders=tuple(replace(order, quantity=names[order.quantity]) for order in findings.orders),
    )


def _of(table: Table, shown: list[Column]) -> Table:
    return replace(table, columns=tuple(map(_on_page, shown)))


def _on_page(column: Column) -> Column:
    named = column.for_page
    return replace(named, title=_ARROWS[column.higher_is_better] + named.title)


def _line(grid: Grid, column: Column, *, is_geometric: bool) -> int:
    """Where the average stands that methods are ranked by; the geometric mean stands below the mean."""
    return [line[0] for line in grid.body].index(_on_page(column).heading) + is_geometric


def _places(grid: Grid, table: Table) -> Iterator[tuple[int, str]]:
    """The columns of the reproduced figures, each with its method."""
    reproduced = [place for place, kind in enumerate(grid.kinds, 1) if kind == "reproduced"]
    return zip(reproduced, (row.label for row in table.rows), strict=True)
