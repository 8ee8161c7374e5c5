"""Comparison tables, published figures beside reproduced ones: ``build`` makes one, ``find`` its statistics.

Both are numbers. ``grids`` says them as text, once, and ``formats`` sets that text as Markdown, LaTeX, HTML and so on.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.tables.columns import Column as Column
    from tracking.tables.findings import Findings as Findings
    from tracking.tables.findings import find as find
    from tracking.tables.grids import Grid as Grid
    from tracking.tables.table import Table as Table
    from tracking.tables.table import TableRow as TableRow
    from tracking.tables.table import build as build

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "columns": ("Column",),
        "findings": ("Findings", "find"),
        "grids": ("Grid",),
        "table": ("Table", "TableRow", "build"),
    },
)
