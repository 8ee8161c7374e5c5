"""What a sweep compares, as the store remembers it. Tables are computed from this and the stored rows."""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from dn_distributed.config import Cell, FrozenModel
from dn_distributed.coverage import Coverage
from dn_distributed.text import quoted

LONGEST_NAME = 100
"""Bytes: folders are called as the sweep."""
LONGEST_LABEL = 100
MOST_SEEDS, MOST_METHODS = 100_000, 1000
MOST_CONFIGURATIONS, MOST_REPLICATES = 100_000, 1_000_000
"""Configurations of a method, and replicates of a sweep: more are a slip."""
LARGEST_SEED = 2**63 - 1


def check_label(label: object) -> str:
    """Return the label of a method. ValueError where it is none."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"each method needs a label, which is text, not {quoted(label)}")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise ValueError(f"expected at most {LONGEST_LABEL} printable characters, not {quoted(label)}")
    return label


def check_seeds(seeds: Sequence[object]) -> None:
    """ValueError where these are no seeds of a sweep."""
    if len(seeds) > MOST_SEEDS:
        raise ValueError(f"{len(seeds)} seeds are too many; at most {MOST_SEEDS}")
    whole = all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in seeds)
    if not seeds or not whole or len(set(seeds)) != len(seeds):
        raise ValueError(f"expected different whole numbers from 0 to 2⁶³ − 1 as seeds, not {quoted(list(seeds[:9]))}")


def check_size(*, methods: int = 0, configurations: int = 0, replicates: int = 0) -> None:
    """ValueError where a sweep is larger than one may be. ``configurations``: the most of a method."""
    for count, most, what in (
        (methods, MOST_METHODS, "methods"),
        (configurations, MOST_CONFIGURATIONS, "configurations"),
        (replicates, MOST_REPLICATES, "replicates"),
    ):
        if count > most:
            raise ValueError(f"{count} {what} are too many; at most {most}")


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


def _drops_output(cell: Cell) -> bool:
    return bool(cell.task.get("dropout_on_output") and "dropout" in cell.regularization)


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
            "dropout on the output too": any(_drops_output(cell) for cell in self.cells),
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
    nonnegative_scores: tuple[str, ...] = ()
    """Scores of the user's own that cannot be below 0, as they say themselves."""
    seeds: tuple[int, ...]
    methods: tuple[ManifestMethod, ...]
    selection: Selection | None = None
    deviations: tuple[str, ...] = ()
    """Where training or pruning differ from the paper's settings, in words."""
    source: str = ""
    """A sweep file that asks for this; empty where an earlier version wrote it."""
    coverage: Coverage | None = None
    """What of the network is penalised, pruned and counted; None: all of it, or an earlier version wrote this."""

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nothing is written of what holds for the whole network, nor of scores without a bound: as it was before."""
        written: dict[str, Any] = serialize(self)
        if self.coverage is None:
            written.pop("coverage", None)
        if not self.nonnegative_scores:
            written.pop("nonnegative_scores", None)
        return written

    def check(self) -> None:
        """ValueError where it says what no sweep file may say: one from elsewhere is believed only where it fits."""
        if not is_name(self.name):
            raise ValueError(f"no name of a sweep: {quoted(self.name)}")
        check_seeds(self.seeds)
        if self.coverage is not None and self.coverage.parameters >= self.coverage.all_parameters:
            raise ValueError("layers that are said to be a part of a network have all of its parameters, or more")
        if not self.methods:
            raise ValueError("a sweep has methods")
        counts = [len(method.cells) for method in self.methods]
        check_size(methods=len(self.methods), configurations=max(counts), replicates=sum(counts) * len(self.seeds))
        labels = [method.label for method in self.methods]
        for label in labels:
            check_label(label)
            if labels.count(label) > 1:
                raise ValueError(f"the label {quoted(label)} stands there twice")
