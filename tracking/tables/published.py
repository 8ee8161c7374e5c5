"""The published figures, from one data file, keyed like the columns of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tracking import published_rows
from tracking.tables import columns

SOURCE = "published scripts, one run each (arXiv 1606.07326)"
DERIVED = (columns.DENSITY, columns.COMPRESSION, columns.NEURONS)
"""Figures that follow from others of the same row: totals from the layers, and the rate from the total."""


@dataclass(frozen=True)
class Figure:
    """A published figure and how exactly it was printed, in the unit of the rows: a share of 1, not of 100."""

    value: Fraction
    half_a_digit: Fraction = Fraction(0)
    """Half a unit of its last digit: it may have been so much more or less. 0 of a count."""
    decimals: int | None = None
    """As printed, in the unit of the rows; None of what counts give."""

    @classmethod
    def printed(cls, text: str, power_of_ten: int = 0) -> "Figure":
        """Read a figure as it was printed. ``power_of_ten``: 2 of one in per cent."""
        number = Decimal(text).scaleb(-power_of_ten)
        decimals = -int(number.as_tuple().exponent)
        return cls(Fraction(number), Fraction(1, 2) / 10**decimals, decimals)


def figures(task: str, row: str) -> dict[str, float]:
    """Return a published row by column key. KeyError for a row that was not published."""
    return {key: float(figure.value) for key, figure in as_printed(task, row).items()}


def as_printed(task: str, row: str) -> Mapping[str, Figure]:
    """Return a published row by column key, each figure as exact as it was printed. KeyError as ``figures``."""
    entry = published_rows.row(task, row)
    left, weights = map(int, entry["weights"])
    found = {
        key: Figure.printed(entry[name])
        for key, name in ((columns.SCORE_BEFORE, "before"), (columns.SCORE_AFTER, "after"))
        if name in entry
    }
    found |= {columns.layer_density(index): Figure.printed(text, 2) for index, text in enumerate(entry["density"])}
    found |= {
        columns.DENSITY: Figure(Fraction(left, weights)),
        columns.COMPRESSION: Figure.printed(entry["compression"]),
        columns.NEURONS: Figure(Fraction(entry["total"][0])),
    }
    return found | {columns.layer_neurons(index): Figure(Fraction(n)) for index, n in enumerate(entry["neurons"])}
