"""Comparison tables, published figures beside reproduced ones: ``table.build`` makes one, ``findings.find`` its
statistics.

Both are numbers. ``grids`` says them as text, once, and ``formats`` sets that text as Markdown, LaTeX, HTML and so on.
"""
