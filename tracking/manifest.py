"""What a sweep compares, as the store remembers it. Tables are computed from this and the stored rows."""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from dn_distributed.config import Cell, FrozenModel

LONGEST_NAME = 100
"""Bytes: folders are called as the sweep."""


def is_name(text: str) -> bool:
    """Return whether ``text`` may name a sweep: folders are called so too, and must not lead elsewhere."""
    return (
        0 < len(text.encode()) <= LONGEST_NAME
        and all(c.isalnum() or c in "-_." for c in text)
        and not text.startswith(".")
    )


class Selection(FrozenModel):
    """How one cell is chosen among a method's hyper-parameters. Uses validation data only."""

    objective: str
    """A validation metric of the replicates, as ``validation/accuracy/after_pruning``."""
    higher_is_better: bool
    average: Literal["mean", "geometric"] = "mean"
    """Of the objective over seeds. The geometric mean weighs factors alike: errors that span decades."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """Cells whose average is within this of the best (geometric: within this share of it) are equals; the one with
    fewest weights wins."""

    @property
    def rule(self) -> str:
        """The rule in words, printed under the table."""
        geometric = self.average == "geometric"
        best = f"{'highest' if self.higher_is_better else 'lowest'} {'geometric ' * geometric}mean {self.objective}"
        if not self.tolerance:
            return best
        within = f"{100 * self.tolerance:g} %" if geometric else f"{self.tolerance:g}"
        return f"fewest non-zero weights within {within} of the {best}"

    def averaged(self, values: Sequence[float]) -> float:
        """Return the average that cells are ordered by; NaN where a value is negative and the mean geometric."""
        if self.average == "mean":
            return statistics.fmean(values)
        return math.nan if min(values) < 0 else statistics.geometric_mean(values) if min(values) > 0 else 0.0

    def equals(self, average: float, best: float) -> bool:
        """Return whether a cell is as good as the best, within the tolerance."""
        if self.average == "geometric":
            least = 1 + self.tolerance
            return average * least >= best if self.higher_is_better else average <= best * least
        return (best - average if self.higher_is_better else average - best) <= self.tolerance


class ManifestMethod(FrozenModel):
    """One row of the table, and the cells that stand for it (several where hyper-parameters were searched)."""

    label: str
    published: str | None = None
    """The published row that it is compared with."""
    dropout_at_test: bool = False
    """Its test scores are those with dropout left on."""
    dropout_inert: bool = False
    """Its dropout is computed and thrown away: its cells have none."""
    cells: tuple[Cell, ...]
    to_propose: int = 0
    """Configurations that a search has still to propose, as of when this was written."""

    @property
    def fault(self) -> str:
        """What the method does as a published script does, and not as the paper describes; empty if nothing."""
        faults = {
            "dropout left on while testing": self.dropout_at_test,
            "dropout computed and thrown away": self.dropout_inert,
            "L2 of the last layer an L1": any("l1_of_last" in cell.regularization for cell in self.cells),
        }
        found = [what for what, asked in faults.items() if asked]
        return f"{', '.join(found)}, as the published script has it" if found else ""


class Manifest(FrozenModel):
    """A sweep: its methods, seeds, and the rule of choice."""

    name: str
    task: str
    dataset: str
    score: str
    """The task's first score."""
    score_higher_is_better: bool
    other_scores: tuple[str, ...] = ()
    """Further scores that the table shows."""
    seeds: tuple[int, ...]
    methods: tuple[ManifestMethod, ...]
    selection: Selection | None = None
    deviations: tuple[str, ...] = ()
    """Where training or pruning differ from the paper's settings, in words."""
    source: str = ""
    """A sweep file that asks for this; empty where an earlier version wrote it."""
