"""The columns of a comparison table: those of the paper, and the counts that it lacks."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from dn_distributed import score_names
from dn_distributed.scores import SCORES
from dn_distributed.sparsity import NetworkCounts
from tracking.results import inference
from tracking.results.inference import Interval
from tracking.results.rounding import Number
from tracking.results.rows import Row

# Keys of columns: what a published row, a table's CSV and a test name them by.
SCORE_BEFORE = "score_before"
SCORE_AFTER = "score_after"
DENSITY = "density"
"""Weights left / weights of the regularised layers, a share of 1; the paper's tables call it sparsity."""
COMPRESSION = "compression_rate"
"""Weights / weights left."""
NEURONS = "neurons_published"
"""Neurons left as the published scripts count them, inputs and outputs included."""
ALIVE = "neurons_alive"
"""Neurons on a path of weights that are left from an input to an output."""
HIDDEN = "hidden_alive"
"""The same without inputs and outputs."""
SUPPORT_EXACT = "support/exact"
"""Measured where true coefficients are known, 1 or 0."""
DENSE_SIZE = "dense_size"
"""Weights of the dense network that is left when dead neurons are cut out: see ``NetworkCounts.dense_size``."""
DENSE_COMPRESSION = "dense_compression"
"""All weights of the regularised layers / dense size."""

Value = Callable[[Row], Number | None]
"""A quantity of a replicate; None where it has none."""


def layer_density(index: int) -> str:
    """Key of the density of a layer, counted from the inputs."""
    return f"density_{index}"


def layer_neurons(index: int) -> str:
    """Key of the neurons left in a layer of units, inputs first, by the published count."""
    return f"neurons_{index}"


def is_of_layer(key: str) -> bool:
    """Return whether a column is one of ``layer_density`` or ``layer_neurons``."""
    return key.startswith(("density_", "neurons_")) and key.rpartition("_")[2].isdigit()


@dataclass(frozen=True)
class Column:
    """One quantity of a table."""

    key: str
    title: str
    value: Value
    kind: Literal["percent", "score", "ratio", "count"]
    """Percent: a share of 1, shown in %. Score: an error, in its own unit. Ratio: 1 or more. Count: of ``total``."""
    total: int | None = None
    """Of a count: how many there are."""
    is_yes_or_no: bool = False
    """Whether each replicate has all of it or nothing."""
    by_ratio: bool = False
    """Whether methods are compared by ratios of it, not by differences: dense sizes, and errors, which span decades."""
    paper_title: str = ""
    """What the paper's tables call it, where that is another name."""
    page_title: str = ""
    """What a report's page calls it, where that is another name: weights left, for density."""
    higher_is_better: bool | None = False
    """None of a score whose direction nobody has said."""
    is_nonnegative: bool = True
    """Whether no value of it can be below 0: its intervals end there."""

    @property
    def plain(self) -> "Column":
        """The column under the name that it has outside of the paper's tables: what they call sparsity is density."""
        return replace(self, paper_title="")

    @property
    def for_page(self) -> "Column":
        """The column under the name that a report's page has for it."""
        return replace(self, title=self.page_title or self.title, paper_title="")

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown: a share of 1 is shown in per cent."""
        return 100.0 if self.kind == "percent" else 1.0

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
        """What no value lies outside of."""
        most = 1.0 if self.kind == "percent" else math.inf if self.total is None else float(self.total)
        return (1.0 if self.kind == "ratio" else 0.0 if self.is_nonnegative else -math.inf), most

    @property
    def heading(self) -> str:
        """Title with the unit or the total, in the paper's words."""
        title = self.paper_title or self.title
        if self.kind == "percent":
            return f"{title} (%)"
        return f"{title} (of {self.total})" if self.total is not None else title


def columns_for(
    scores: Sequence[str],
    template: Row,
    *,
    higher_is_better: bool | None = None,
    nonnegative: Collection[str] = (),
) -> list[Column]:
    """Return the columns of a task with these scores whose networks look like ``template``.

    ``higher_is_better``: of the first score. ``nonnegative``: scores that cannot be below 0, beside those known here.
    """
    return [
        *_score_columns(scores, higher_is_better, _NONNEGATIVE.union(nonnegative)),
        *_weight_columns(template.counts),
        *_neuron_columns(template.counts),
        *_recovery_columns(template),
    ]


def _of(template: NetworkCounts, value: Callable[[NetworkCounts], Number | None]) -> Value:
    """A quantity of networks like this one; None for what has other layers, as a classical baseline has."""
    return lambda row: value(row.counts) if row.counts.num_weights == template.num_weights else None


def _weight_columns(counts: NetworkCounts) -> Iterator[Column]:
    """Weights left of each regularised layer and of all, inputs first."""
    for place, layer in enumerate(counts.layers):
        key, value = layer_density(place), _of(counts, _layer_density(place))
        paper, page = f"sparsity {layer.name}", f"weights left in {layer.name}"
        yield Column(key, f"density {layer.name}", value, "percent", paper_title=paper, page_title=page)
    value = _of(counts, _density)
    yield Column(DENSITY, "total density", value, "percent", paper_title="total sparsity", page_title="weights left")
    yield Column(COMPRESSION, "compression rate", _of(counts, _compression), "ratio", higher_is_better=True)


def _neuron_columns(counts: NetworkCounts) -> Iterator[Column]:
    """Neurons left by both counts, and the dense network of those that are alive."""
    total, hidden, weights = counts.neurons_total, counts.hidden_total, counts.num_weights
    for place, unit in enumerate(counts.units):
        value = _of(counts, _unit_published(place))
        yield Column(layer_neurons(place), f"neurons {unit.name}", value, "count", unit.total)
    yield Column(NEURONS, "neurons", _of(counts, lambda c: c.neurons_published), "count", total)
    yield Column(ALIVE, "neurons alive", _of(counts, lambda c: c.neurons_alive), "count", total)
    if hidden:
        yield Column(HIDDEN, "hidden alive", _of(counts, lambda c: c.hidden_alive), "count", hidden)
    yield Column(DENSE_SIZE, "dense size", _of(counts, lambda c: c.dense_size), "count", weights, by_ratio=True)
    yield Column(
        DENSE_COMPRESSION, "dense compression", _of(counts, _dense_compression), "ratio", higher_is_better=True
    )


_DIRECTIONS = {name: score.higher_is_better for name, score in SCORES.items()} | {"loss": False}
"""Of the scores that are known here."""
_NONNEGATIVE = frozenset(name for name, score in SCORES.items() if score.is_nonnegative) | {"loss"}


def _score_columns(
    scores: Sequence[str], higher_is_better: bool | None, nonnegative: Collection[str]
) -> Iterator[Column]:
    """Before and after pruning. The first score is the one that published figures are of."""
    for place, name in enumerate(scores):
        higher = higher_is_better if place == 0 else _DIRECTIONS.get(name)
        kind: Literal["percent", "score"] = "percent" if name == "accuracy" else "score"
        for key, stage in zip((SCORE_BEFORE, SCORE_AFTER), score_names.STAGES, strict=True):
            value = _metric(score_names.final("test", name, stage))
            key_of_this = key if place == 0 else f"{key}_{name}"
            heading = f"test {name} {stage.removesuffix('_pruning')} P"
            yield Column(
                key_of_this,
                heading,
                value,
                kind,
                by_ratio=kind == "score",
                higher_is_better=higher,
                is_nonnegative=name in nonnegative,
            )


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
            higher_is_better=kind == "percent",
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
