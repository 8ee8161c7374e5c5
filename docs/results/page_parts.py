"""What the pages of this folder are made of: Markdown tables, filled paragraphs, a mean with its deviation."""

import statistics
import textwrap
from collections.abc import Iterable, Sequence

_ALIGNED = {"l": ":--", "r": "--:", "-": "---"}


def table(head: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table. ``align``: for each column ``l`` (left), ``r`` (right) or ``-`` (as the reader has it)."""
    lines = [head, [_ALIGNED[letter] for letter in align], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def filled(text: str, *, indent: str = "") -> str:
    """Return a paragraph in lines of 120 characters. ``indent``: of all lines but the first."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def spread(values: Sequence[float], decimals: int) -> str:
    """Return mean ± sample standard deviation; of one value the value alone."""
    deviation = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{decimals}f}{deviation}"
