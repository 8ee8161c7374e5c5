"""The report of a sweep: one page, with tables, figures and rows as files beside it.

``write`` makes it from the store, ``write_from_rows`` from the rows of an earlier report; ``write_index`` one page over
all sweeps of a store.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.report.files import COMPARISONS as COMPARISONS
    from tracking.report.files import CONFIGURATIONS as CONFIGURATIONS
    from tracking.report.files import CURVES as CURVES
    from tracking.report.files import PAGE as PAGE
    from tracking.report.files import ROWS as ROWS
    from tracking.report.files import STATISTICS as STATISTICS
    from tracking.report.files import write as write
    from tracking.report.files import write_from_rows as write_from_rows
    from tracking.report.index import write_index as write_index

_FILES = ("COMPARISONS", "CONFIGURATIONS", "CURVES", "PAGE", "ROWS", "STATISTICS")
"""What the files of a report are called."""

__getattr__, __dir__ = lazy_names(__name__, {"files": ("write", "write_from_rows", *_FILES), "index": ("write_index",)})
