"""The report of a sweep: one page, with its tables, figures and rows as files beside it."""
