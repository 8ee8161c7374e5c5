"""The statistics of a table as numbers: comparisons in pairs, and the order of the methods that follows from them."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tracking.results import inference
from tracking.results.cells import MethodResult
from tracking.results.equal_score import EqualScore
from tracking.results.inference import Comparison, Verdict
from tracking.tables import columns
from tracking.tables.columns import Column
from tracking.tables.table import Table

COMPARED = (columns.SCORE_AFTER, columns.DENSITY, columns.ALIVE, columns.HIDDEN, columns.DENSE_SIZE)
"""Keys of the columns that methods are compared by: what a method costs, and what it saves."""

Samples = Mapping[str, Mapping[int, float]]
"""Values of a quantity by method and seed."""


Step = Verdict | Literal["holds the other way round"]
"""What is said of a method and the next one: the seeds that both have may contradict the means that order them."""


@dataclass(frozen=True)
class Order:
    """The methods by their means of a quantity, and which of the differences between them hold."""

    quantity: str
    methods: tuple[str, ...] = ()
    """From the largest mean to the smallest; empty where no two can be compared."""
    verdicts: tuple[Step, ...] = ()
    """On the difference between a method and the next one."""
    also_hold: tuple[tuple[str, str], ...] = ()
    """Pairs further apart whose difference holds though none between them does, or though their means are the other
    way round; the larger one first."""
    not_shown: tuple[tuple[str, str], ...] = ()
    """Pairs further apart whose difference does not hold though one between them does."""

    @property
    def is_contradicted(self) -> bool:
        """Whether a difference holds the other way round than the means are."""
        turned = (self.methods.index(larger) > self.methods.index(other) for larger, other in self.also_hold)
        return "holds the other way round" in self.verdicts or any(turned)


@dataclass(frozen=True)
class Findings:
    """What can be said of a sweep's methods."""

    table: Table
    equal: EqualScore
    compared: tuple[Comparison, ...]
    orders: tuple[Order, ...]
    """One for each quantity that is compared; empty where nothing is."""
    merged: Mapping[str, tuple[str, ...]]
    """By the name that comparisons use, the method that it is, or those that are the same networks, as ``a = b``."""

    def comparison(self, quantity: str, first: str, second: str) -> Comparison | None:
        """Return what was compared of two methods, ``first`` minus ``second``; None where that was not compared."""
        for item in self.compared:
            one, other = self.merged[item.first], self.merged[item.second]
            if item.quantity == quantity and first in one and second in other:
                return item
            if item.quantity == quantity and first in other and second in one:
                return item.mirrored
        return None


def find(table: Table, methods: Sequence[MethodResult], equal: EqualScore) -> Findings:
    """Return the findings of a sweep; nothing is compared where there is one seed, or one method."""
    shown = [column.plain for column in table.columns if column.key in COMPARED]
    groups = {column: _samples(column, methods) for column in shown}
    merged = {_name(labels): labels for of_column in groups.values() for labels in of_column}
    named = {column: {_name(labels): values for labels, values in found.items()} for column, found in groups.items()}
    scaled = {column.title: _scaled(column, samples) for column, samples in named.items()}
    found = [inference.compare(title, samples, is_ratio=is_ratio) for title, (samples, is_ratio) in scaled.items()]
    compared = tuple(inference.corrected(list(itertools.chain(*found))))
    orders = (_order(title, samples, compared) for title, (samples, _) in scaled.items() if compared)
    return Findings(table, equal, compared, tuple(orders), merged)


def _name(labels: Sequence[str]) -> str:
    return " = ".join(labels)


def _samples(column: Column, methods: Sequence[MethodResult]) -> dict[tuple[str, ...], dict[int, float]]:
    """By methods that are the same networks, and seed; a method that misses the quantity is left out."""
    found = {}
    for method in methods:
        if method.chosen is None or method.chosen.stat(column.value) is None:
            continue
        values = ((row.seed, column.value(row)) for row in method.chosen.rows)
        known = {seed: float(value) for seed, value in values if value is not None}
        found[method.label] = (method.chosen.cell.key, known)
    return _merge_identical_methods(found)


def _merge_identical_methods(
    found: Mapping[str, tuple[str, dict[int, float]]],
) -> dict[tuple[str, ...], dict[int, float]]:
    """``found``: cell key and values by method. Methods that have both in common are one."""
    labels: dict[tuple[str, tuple[tuple[int, float], ...]], list[str]] = {}
    for label, (cell_key, values) in found.items():
        labels.setdefault((cell_key, tuple(sorted(values.items()))), []).append(label)
    return {tuple(merged): dict(values) for (_, values), merged in labels.items()}


def _scaled(column: Column, samples: Samples) -> tuple[Samples, bool]:
    """The values as they are compared, and whether these are logarithms."""
    logarithms = inference.logarithms(samples) if column.by_ratio else None
    return (samples, False) if logarithms is None else (logarithms, True)


def _order(quantity: str, samples: Samples, comparisons: Sequence[Comparison]) -> Order:
    own = [item for item in comparisons if item.quantity == quantity]
    if not own:
        return Order(quantity)
    verdicts = {frozenset((item.first, item.second)): item.verdict for item in own}
    hold = {item.larger_first for item in own if item.holds}
    compared = dict.fromkeys(label for item in own for label in (item.first, item.second))
    common = set.intersection(*(set(samples[label]) for label in compared))  # as pairs are compared on
    means = {label: statistics.fmean(samples[label][seed] for seed in common or samples[label]) for label in compared}
    order = sorted(compared, key=means.__getitem__, reverse=True)
    steps = list(itertools.pairwise(order))
    also_hold, not_shown = [], []
    for first, last in itertools.combinations(range(len(order)), 2):
        pair, between = (order[first], order[last]), steps[first:last]
        if last == first + 1:
            continue
        if pair[::-1] in hold:
            also_hold.append((order[last], order[first]))
        elif pair in hold and hold.isdisjoint(between):
            also_hold.append(pair)
        elif pair not in hold and verdicts.get(frozenset(pair)) == "not shown" and not hold.isdisjoint(between):
            not_shown.append(pair)
    on_steps: list[Step] = [
        "holds the other way round" if step[::-1] in hold else verdicts.get(frozenset(step), "not shown")
        for step in steps
    ]
    return Order(quantity, tuple(order), tuple(on_steps), tuple(also_hold), tuple(not_shown))
