"""The columns of a comparison table: those of the paper, and the counts that it lacks."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from dn_distributed import score_names
from dn_distributed.sparsity import NetworkCounts
from tracking.results import inference
from tracking.results.inference import Interval
from tracking.results.rounding import Number
from tracking.results.rows import Row

SCORE_BEFORE = "score_before"
SCORE_AFTER = "score_after"
DENSITY = "density"
COMPRESSION = "compression_rate"
NEURONS = "neurons_published"
ALIVE = "neurons_alive"
HIDDEN = "hidden_alive"
SUPPORT_EXACT = "support/exact"
"""Measured where true coefficients are known, 1 or 0."""
DENSE_SIZE = "dense_size"
DENSE_COMPRESSION = "dense_compression"

Value = Callable[[Row], Number | None]
"""A quantity of a replicate; None where it has none."""


def layer_density(index: int) -> str:
    """Key of the density of a layer, counted from the inputs."""
    return f"density_{index}"


def layer_neurons(index: int) -> str:
    """Key of the neurons left in a layer of units, inputs first, by the published count."""
    return f"neurons_{index}"


@dataclass(frozen=True)
class Column:
    """One quantity of a table."""

    key: str
    title: str
    value: Value
    kind: Literal["percent", "score", "ratio", "count"]
    total: int | None = None
    """Of a count: how many there are."""
    is_yes_or_no: bool = False
    """Whether each replicate has all of it or nothing."""
    by_ratio: bool = False
    """Whether methods are compared by ratios of it, not by differences: sizes, and errors, which span decades."""
    paper_title: str = ""
    """What the paper's tables call it, where that is another name."""

    @property
    def plain(self) -> "Column":
        """The column under the name that it has outside of the paper's tables: what they call sparsity is density."""
        return replace(self, paper_title="")

    @property
    def is_error(self) -> bool:
        """Whether it may span decades, so that its geometric mean is shown beside its mean."""
        return self.kind == "score"

    def mean_interval(self, values: Sequence[float]) -> Interval | None:
        """Return the 95 % interval of the (geometric) mean of some replicates; None where it has none."""
        if self.is_yes_or_no:
            return inference.share_interval(values)
        found = inference.mean_interval(values)
        least, most = self._bounds
        return found and replace(found, low=max(least, found.low), high=min(most, found.high))

    def prediction_interval(self, values: Sequence[float]) -> Interval | None:
        """Return the 95 % interval that one more replicate would lie in; None where it has none."""
        if self.is_yes_or_no:
            return None
        return inference.prediction_interval(values, *self._bounds)

    @property
    def _bounds(self) -> tuple[float, float]:
        """What no value lies outside of: no quantity here can be negative."""
        most = 1.0 if self.kind == "percent" else math.inf if self.total is None else float(self.total)
        return (1.0 if self.kind == "ratio" else 0.0), most

    @property
    def heading(self) -> str:
        """Title with the unit or the total, in the paper's words."""
        title = self.paper_title or self.title
        if self.kind == "percent":
            return f"{title} (%)"
        return f"{title} (of {self.total})" if self.total is not None else title


def columns_for(scores: Sequence[str], template: Row) -> list[Column]:
    """Return the columns of a task with these scores whose networks look like ``template``."""
    counts = template.counts

    def of_network(value: Callable[[NetworkCounts], Number | None]) -> Value:
        """None for what has other layers, as a classical baseline has."""
        return lambda row: value(row.counts) if row.counts.num_weights == counts.num_weights else None

    return [
        *_score_columns(scores),
        *(
            Column(
                layer_density(i),
                f"density {layer.name}",
                of_network(_layer_density(i)),
                "percent",
                paper_title=f"sparsity {layer.name}",
            )
            for i, layer in enumerate(counts.layers)
        ),
        Column(DENSITY, "total density", of_network(_density), "percent", paper_title="total sparsity"),
        Column(COMPRESSION, "compression rate", of_network(_compression), "ratio"),
        *(
            Column(layer_neurons(i), f"neurons {unit.name}", of_network(_unit_published(i)), "count", unit.total)
            for i, unit in enumerate(counts.units)
        ),
        Column(NEURONS, "neurons", of_network(lambda c: c.neurons_published), "count", counts.neurons_total),
        Column(ALIVE, "neurons alive", of_network(lambda c: c.neurons_alive), "count", counts.neurons_total),
        *(
            [Column(HIDDEN, "hidden alive", of_network(lambda c: c.hidden_alive), "count", hidden)]
            if (hidden := counts.hidden_total)
            else []
        ),
        Column(
            DENSE_SIZE, "dense size", of_network(lambda c: c.dense_size), "count", counts.num_weights, by_ratio=True
        ),
        Column(DENSE_COMPRESSION, "dense compression", of_network(_dense_compression), "ratio"),
        *_recovery_columns(template),
    ]


def _score_columns(scores: Sequence[str]) -> Iterator[Column]:
    """Before and after pruning. The first score is the one that published figures are of."""
    for place, name in enumerate(scores):
        kind: Literal["percent", "score"] = "percent" if name == "accuracy" else "score"
        for key, stage in zip((SCORE_BEFORE, SCORE_AFTER), score_names.STAGES, strict=True):
            value = _metric(score_names.final("test", name, stage))
            key_of_this = key if place == 0 else f"{key}_{name}"
            heading = f"test {name} {stage.removesuffix('_pruning')} P"
            yield Column(key_of_this, heading, value, kind, by_ratio=kind == "score")


def _recovery_columns(template: Row) -> list[Column]:
    """How well a linear network, or a baseline, finds the coefficients that made its data."""
    kinds: dict[str, Literal["percent", "score"]] = {
        "support/precision": "percent",
        "support/recall": "percent",
        SUPPORT_EXACT: "percent",
        "coefficients/nmse": "score",
    }
    shown = {name: kind for name, kind in kinds.items() if name in template.metrics}
    return [
        Column(
            name,
            name.replace("/", " "),
            _metric(name),
            kind,
            is_yes_or_no=name == SUPPORT_EXACT,
            by_ratio=kind == "score",
        )
        for name, kind in shown.items()
    ]


def _metric(name: str) -> Value:
    return lambda row: row.metrics.get(name)


def _density(counts: NetworkCounts) -> Fraction:
    return Fraction(counts.num_nonzero, counts.num_weights)


def _compression(counts: NetworkCounts) -> Fraction | None:
    return Fraction(counts.num_weights, counts.num_nonzero) if counts.num_nonzero else None


def _dense_compression(counts: NetworkCounts) -> Fraction | None:
    return Fraction(counts.num_weights, counts.dense_size) if counts.dense_size else None


def _layer_density(index: int) -> Callable[[NetworkCounts], Number]:
    def density(counts: NetworkCounts) -> Fraction:
        layer = counts.layers[index]
        return Fraction(layer.num_nonzero, layer.num_weights)

    return density


def _unit_published(index: int) -> Callable[[NetworkCounts], Number]:
    return lambda counts: counts.units[index].published
