"""The report of a sweep: one page, with tables, figures and rows as files beside it.

``write`` makes it from the store, ``write_from_rows`` from the rows of an earlier report.
"""
