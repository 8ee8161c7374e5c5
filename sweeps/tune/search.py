"""What Optuna is told of the configurations that the store holds already."""

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from dn_distributed.config import Cell
from tracking.results.cells import CellResult


def known_rewards(
    tried: Iterable[CellResult], objective: str, assignment: Callable[[Cell], dict[str, Any] | None]
) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the values of the search space that were tried to the end, and the mean objective of each.

    Left out: cells without a finite value of every seed, for a mean over some of them is another quantity.
    ``assignment``: of a cell, None where the search could not propose it.
    """
    points, rewards = [], []
    for result in tried:
        values, found = assignment(result.cell), [row.metrics.get(objective) for row in result.rows]
        finite = [value for value in found if value is not None and math.isfinite(value)]
        if values is not None and result.complete and finite and len(finite) == len(found):
            points.append(values)
            rewards.append(statistics.fmean(finite))
    return points, rewards
