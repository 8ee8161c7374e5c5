"""The columns of a comparison table: those of the paper, and the alive count that it lacks."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracking import inference
from tracking.inference import Interval
from tracking.reader import Row

SCORE_BEFORE = "score_before"
SCORE_AFTER = "score_after"
DENSITY = "density"
COMPRESSION = "compression_rate"
NEURONS = "neurons_published"
ALIVE = "neurons_alive"
HIDDEN = "hidden_alive"


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
    value: Callable[[Row], float | None]
    kind: Literal["percent", "score", "ratio", "count"]
    total: int | None = None
    """Of a count: how many there are."""
    is_yes_or_no: bool = False
    """Whether each replicate has all of it or nothing."""

    @property
    def plain(self) -> "Column":
        """The column under the name that it has outside of the paper's tables: what they call sparsity is density."""
        return replace(self, title=self.title.replace("sparsity", "density"))

    @property
    def by_ratio(self) -> bool:
        """Whether ratios, not differences, tell its values apart: errors span decades."""
        return self.kind == "score"

    def mean_interval(self, values: Sequence[float]) -> Interval | None:
        """Return the 95 % interval of the mean of some replicates; None where it has none."""
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

    def format(self, value: float, *, beside: float | None = None, signed: bool = False) -> str:
        """Return ``value`` as text. ``signed``: it is a difference.

        ``beside``: the mean that a deviation or a difference belongs to; it is given as many decimals.
        """
        sign = "+" if signed else ""
        if not math.isfinite(value):
            return f"{value:{sign}}"
        if self.kind == "percent":
            return f"{100 * value:{sign}.2f}"
        if self.kind == "ratio":
            return f"{value:{sign}.2f}"
        if self.kind == "count":
            return f"{value:{sign}.1f}" if beside is not None or value != int(value) else f"{value:.0f}"
        size = abs(value if beside is None else beside)
        if not 1e-3 <= size < 1e6:
            return f"{value:{sign}.2e}" if value else "0"
        return f"{value:{sign}.{max(0, 3 - math.floor(math.log10(size)))}f}"

    @property
    def heading(self) -> str:
        """Title with the unit or the total."""
        if self.kind == "percent":
            return f"{self.title} (%)"
        return f"{self.title} (of {self.total})" if self.total is not None else self.title


def columns_for(scores: Sequence[str], template: Row) -> list[Column]:
    """Return the columns of a task with these scores whose networks look like ``template``."""
    counts = template.counts

    def of_network(value: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
        """None for what has other layers, as a classical baseline has."""
        return lambda row: value(row) if row.counts.num_weights == counts.num_weights else None

    return [
        *_score_columns(scores),
        *(
            Column(layer_density(i), f"sparsity {layer.name}", of_network(_layer_density(i)), "percent")
            for i, layer in enumerate(counts.layers)
        ),
        Column(DENSITY, "total sparsity", of_network(lambda row: row.counts.density), "percent"),
        Column(COMPRESSION, "compression rate", of_network(lambda row: row.counts.compression_rate), "ratio"),
        *(
            Column(layer_neurons(i), f"neurons {unit.name}", of_network(_unit_published(i)), "count", unit.total)
            for i, unit in enumerate(counts.units)
        ),
        Column(NEURONS, "neurons", of_network(lambda row: row.counts.neurons_published), "count", counts.neurons_total),
        Column(ALIVE, "neurons alive", of_network(lambda row: row.counts.neurons_alive), "count", counts.neurons_total),
        *(
            [Column(HIDDEN, "hidden alive", of_network(lambda row: row.counts.hidden_alive), "count", hidden)]
            if (hidden := counts.hidden_total)
            else []
        ),
        *_recovery_columns(template),
    ]


def _score_columns(scores: Sequence[str]) -> Iterator[Column]:
    """Before and after pruning. The first score is the one that published figures are of."""
    for place, name in enumerate(scores):
        kind: Literal["percent", "score"] = "percent" if name == "accuracy" else "score"
        for key, stage in ((SCORE_BEFORE, "before"), (SCORE_AFTER, "after")):
            value = _metric(f"test/{name}/{stage}_pruning")
            yield Column(key if place == 0 else f"{key}_{name}", f"test {name} {stage} P", value, kind)


def _recovery_columns(template: Row) -> list[Column]:
    """How well a linear network, or a baseline, finds the coefficients that made its data."""
    kinds: dict[str, Literal["percent", "score"]] = {
        "support/precision": "percent",
        "support/recall": "percent",
        "support/exact": "percent",
        "coefficients/nmse": "score",
    }
    shown = {name: kind for name, kind in kinds.items() if name in template.metrics}
    return [
        Column(name, name.replace("/", " "), _metric(name), kind, is_yes_or_no=name == "support/exact")
        for name, kind in shown.items()
    ]


def _metric(name: str) -> Callable[[Row], float | None]:
    return lambda row: row.metrics.get(name)


def _layer_density(index: int) -> Callable[[Row], float | None]:
    return lambda row: row.counts.layers[index].density


def _unit_published(index: int) -> Callable[[Row], float | None]:
    return lambda row: row.counts.units[index].published
