"""What the store holds of a sweep, as values: replicates, cells, fronts, statistics. Numbers, no formatted text.

``gather`` makes cells and methods of the rows that ``rows.read`` returns; a ``Stat`` is a quantity over a cell's seeds.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.results.cells import CellResult as CellResult
    from tracking.results.cells import MethodResult as MethodResult
    from tracking.results.cells import Stat as Stat
    from tracking.results.cells import gather as gather
    from tracking.results.rows import Ended as Ended
    from tracking.results.rows import Row as Row
    from tracking.results.rows import Snapshot as Snapshot

__getattr__, __dir__ = lazy_names(
    __name__, {"cells": ("CellResult", "MethodResult", "Stat", "gather"), "rows": ("Ended", "Row", "Snapshot")}
)
