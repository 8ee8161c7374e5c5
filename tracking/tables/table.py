"""The comparison table as numbers: method by column, reproduced beside published. ``grids`` says it as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tracking.manifest import Manifest
from tracking.results.cells import MethodResult, Stat
from tracking.results.rounding import Number
from tracking.results.rows import Row
from tracking.tables import notes, published, verdicts
from tracking.tables.columns import Column, columns_for
from tracking.tables.published import Figure
from tracking.tables.verdicts import Verdict


@dataclass(frozen=True)
class TableRow:
    """One method. A column that is missing in ``stats`` is missing in the store."""

    label: str
    n: int
    num_expected: int
    stats: Mapping[str, Stat]
    """By column key, over the seeds."""
    published: Mapping[str, Figure]
    """By column key; empty where no published row stands beside the method."""
    num_settled: int = 1
    """Configurations of which nothing is still to run."""
    num_planned: int = 1
    """All configurations that the sweep asks for."""

    @property
    def what_is_there(self) -> str:
        """How much of the method is there, where some of it is missing, as ``5 of 6 seeds``; else nothing."""
        seeds = f"{self.n} of {self.num_expected} seeds" * (self.n < self.num_expected)
        configurations = f"{self.num_settled} of {self.num_planned} configurations" * (
            self.num_settled < self.num_planned
        )
        return ", ".join(filter(None, [seeds, configurations * (self.num_planned > 1)]))

    def difference(self, key: str) -> Number | None:
        """Return reproduced minus published; None unless both are there."""
        if key in self.stats and key in self.published:
            return self.stats[key].exact_mean - self.published[key].value
        return None

    def verdict(self, column: Column) -> Verdict | None:
        """Return the verdict on a published figure; None where nothing is published."""
        if column.key not in self.published:
            return None
        return verdicts.judge(column, self.stats.get(column.key), self.published[column.key])


@dataclass(frozen=True)
class Table:
    """Rows, columns, and the sentences that a reader needs to judge them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]

    @property
    def for_page(self) -> "Table":
        """The table in the words of a page or a terminal: weights left, not the paper's sparsity."""
        said = (notes.GENERAL_ON_PAGE if note == notes.GENERAL else note for note in self.notes)
        return replace(self, columns=tuple(column.for_page for column in self.columns), notes=tuple(said))

    @cached_property
    def judged(self) -> list[tuple[TableRow, Column, Verdict]]:
        """Every published figure with its verdict."""
        found = [(row, column, row.verdict(column)) for row in self.rows for column in self.columns]
        return [(row, column, verdict) for row, column, verdict in found if verdict is not None]

    @cached_property
    def with_geometric_means(self) -> frozenset[str]:
        """Keys of the columns whose geometric mean has a line of its own.

        It is shown of errors, and of other things that are compared by ratios where it orders methods otherwise than
        the mean does.
        """
        return frozenset(c.key for c in self.columns if c.is_error or (c.by_ratio and self._orders_otherwise(c.key)))

    def _orders_otherwise(self, key: str) -> bool:
        found = [row.stats[key] for row in self.rows if key in row.stats]
        known = [(stat.mean, average.mean) for stat in found if (average := stat.geometric) is not None]
        if len(known) < max(2, len(found)):  # methods are not compared by ratios where one has none
            return False
        means, geometric_means = zip(*known, strict=True)
        return _ranks(means) != _ranks(geometric_means)

    def count_verdicts(self) -> verdicts.Count:
        """Return how many published figures have which verdict."""
        return verdicts.count((column.key, verdict) for _, column, verdict in self.judged)


def build(manifest: Manifest, methods: Sequence[MethodResult]) -> Table:
    """Return the table of a sweep. Methods without a finished replicate stay in it, marked missing."""
    template = _template(methods)
    scores, higher = (manifest.score, *manifest.other_scores), manifest.score_higher_is_better
    known = manifest.nonnegative_scores
    columns = tuple(columns_for(scores, template, higher_is_better=higher, nonnegative=known)) if template else ()
    rows = tuple(_row(manifest, method, columns) for method in methods)
    title = f"{manifest.name}: {manifest.task} on {manifest.dataset}"
    table = Table(title, columns, rows, tuple(notes.sentences(manifest, methods, columns)))
    ordered = [column for column in columns if column.key in table.with_geometric_means and not column.is_error]
    return replace(table, notes=(*table.notes, *(notes.GEOMETRIC.format(title=column.title) for column in ordered)))


def _ranks(values: Sequence[float]) -> list[int]:
    """The place of each value among the different ones."""
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    return [places[value] for value in values]


def _template(methods: Sequence[MethodResult]) -> Row | None:
    """The first finished network; a baseline only where there is none."""
    finished = [result for method in methods for result in method.tried if result.rows]
    return min(finished, key=lambda result: result.cell.baseline is not None).rows[0] if finished else None


def _row(manifest: Manifest, method: MethodResult, columns: Sequence[Column]) -> TableRow:
    chosen, expected = method.chosen, len(manifest.seeds)
    if chosen is None:
        return TableRow(method.label, 0, expected, {}, {}, len(method.settled), method.num_planned)
    stats = {column.key: found for column in columns if (found := chosen.stat(column.value)) is not None}
    beside = published.as_printed(manifest.task, chosen.published) if chosen.published else {}
    n = len(chosen.rows)
    return TableRow(method.label, n, expected, stats, beside, len(method.settled), method.num_planned)
