"""What a sweep's tables and statistics say, as text that every format sets in its own way."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracking.results import equal_score, fronts, inference
from tracking.results.cells import deviation
from tracking.results.equal_score import EqualScore, Left
from tracking.results.inference import FEWEST_RUNS, Comparison
from tracking.results.rounding import fixed
from tracking.results.rounding import mean as exact_mean
from tracking.tables import number_text, verdicts
from tracking.tables.columns import Column
from tracking.tables.findings import COMPARED, Findings, Order, Step
from tracking.tables.number_text import MISSING
from tracking.tables.table import Table, TableRow
from tracking.tables.verdicts import Count


@dataclass(frozen=True)
class Grid:
    """A table as text."""

    title: str
    lines: Sequence[Sequence[str]]
    """The head, and lines that begin with what they are about."""
    kinds: Sequence[str] = ()
    """Of a comparison table, for each column but the first: reproduced, published or difference."""
    notes: Sequence[str] = ()
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """By place in the body and in its line: a class of the cell, where HTML is to set it apart."""

    @property
    def head(self) -> Sequence[str]:
        """The first line."""
        return self.lines[0]

    @property
    def body(self) -> Sequence[Sequence[str]]:
        """The other lines."""
        return self.lines[1:]


@dataclass(frozen=True)
class Statistics:
    """The findings as text."""

    grids: Sequence[Grid]
    sentences: Sequence[str]
    rules: Sequence[str]
    """How it was found, a sentence each without its full stop."""


def of_table(table: Table) -> Grid:
    """Return a comparison table: quantities down, methods across, published figures and differences beside them."""
    kinds: list[str] = []
    columns = [["", *_headings(table)]]
    for row in table.rows:
        reproduced, published, difference = zip(*_cells(table, row), strict=True)
        kinds.append("reproduced")
        columns.append([row.label, *reproduced])
        if row.published:
            kinds += ["published", "difference"]
            columns += [["published", *published], ["difference", *difference]]
    return Grid(table.title, list(zip(*columns, strict=True)), kinds, table.notes)


def _headings(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield column.heading
        if column.key in table.with_geometric_means:
            yield f"{column.heading}, geometric mean"
    yield "n"


def _cells(table: Table, row: TableRow) -> Iterator[tuple[str, str, str]]:
    """What a method has in each line: reproduced, published, and the difference."""
    for column in table.columns:
        found, figure = row.stats.get(column.key), row.published.get(column.key)
        printed = "" if figure is None else number_text.published(column, figure)
        yield number_text.mean(column, found), printed, number_text.difference(column, row)
        if column.key in table.with_geometric_means:
            yield number_text.geometric_mean(column, found), "", ""
    yield number_text.count(row), "1", ""


def of_findings(findings: Findings) -> Statistics:
    """Return what can be said of a sweep."""
    table, equal = findings.table, findings.equal
    by_title = {column.plain.title: column.plain for column in table.columns if column.key in COMPARED}
    grids = (
        _published(table),
        of_equal_score("At equal score", equal),
        of_equal_score("At equal score, by steps", equal, by_steps=True),
        _comparisons("At equal score, in pairs", equal.compared, by_title),
        _intervals(table),
        _comparisons("Comparisons", findings.compared, by_title),
    )
    return Statistics(
        [grid for grid in grids if grid.body],
        [*_published_sentence(table), *map(_order_sentence, findings.orders), *equal_score_notes(equal)],
        list(_rules(findings)),
    )


def _rules(findings: Findings) -> Iterator[str]:
    table, equal = findings.table, findings.equal
    has_intervals = bool(_with_a_spread(table))
    if has_intervals:
        yield inference.INTERVAL_RULE
    if findings.compared:
        yield inference.COMPARISON_RULE
    if any(item.verdict == "too few seeds" for item in (*findings.compared, *equal.compared)):
        yield inference.FEW_SEEDS_RULE
    if has_intervals and any(column.is_yes_or_no for column in table.columns):
        yield inference.SHARE_RULE
    if table.judged:
        yield from (inference.PREDICTION_RULE, verdicts.RULE, verdicts.COUNT_RULE)
    if equal.levels:
        yield from (equal_score.RULE, equal_score.STEPS_RULE)
    if equal.compared:
        yield equal_score.PAIRS_RULE


def _published(table: Table) -> Grid:
    """Every published figure with the interval that its verdict rests on, and how much that interval lets pass."""
    lines = [["method", "quantity", "n", "reproduced", "published", "one more run", "its width", "verdict"]]
    for row, column, verdict in table.judged:
        found, figure, interval = row.stats.get(column.key), row.published[column.key], verdict.one_more_run
        lines.append(
            [
                row.label,
                column.plain.heading,
                str(row.n),
                number_text.number(column, found.exact_mean, beside=found.exact_mean) if found else MISSING,
                number_text.published(column, figure),
                number_text.interval(column, found, interval) if found and interval else MISSING,
                number_text.width(interval, figure) if interval else MISSING,
                number_text.verdict(column, row) or MISSING,
            ]
        )
    return Grid("Published figures", lines)


def _with_a_spread(table: Table) -> list[Column]:
    """The columns that some method has more than one value of."""
    every = [(column.plain, [row.stats.get(column.key) for row in table.rows]) for column in table.columns]
    return [column for column, stats in every if any(found is not None and found.n > 1 for found in stats)]


def _intervals(table: Table) -> Grid:
    lines = [["", *(row.label for row in table.rows)]]
    for column in _with_a_spread(table):
        stats = [row.stats.get(column.key) for row in table.rows]
        lines.append(
            [f"{column.heading}: 95 % interval", *(number_text.mean_interval(column, found) for found in stats)]
        )
        lines.append([f"{column.heading}: range", *(number_text.value_range(column, found) for found in stats)])
    return Grid("Intervals", lines)


def _comparisons(title: str, comparisons: Sequence[Comparison], by_title: Mapping[str, Column]) -> Grid:
    """``by_title``: the columns of what is compared by differences; a ratio is written in one way."""
    lines = [["quantity", "pair", "n", "mean difference or ratio", "95 % interval", "effect", "p", "p (Holm)", ""]]
    for item in comparisons:
        mean, low, high = _ratio(item) if item.is_ratio else _difference(item, by_title[item.quantity])
        lines.append(
            [
                item.quantity,
                f"{item.first} {'/' if item.is_ratio else '−'} {item.second}",
                str(item.n),
                mean,
                f"{low} to {high}",
                f"{item.effect:+.1f}" if math.isfinite(item.effect) else "always the same",
                number_text.p_value(item.p),
                number_text.p_value(item.p_corrected),
                number_text.TOO_FEW if item.verdict == "too few seeds" else item.verdict,
            ]
        )
    return Grid(title, lines)


def _ratio(item: Comparison) -> Iterable[str]:
    """The factor of the geometric means, and the ends of its interval."""
    return map(number_text.ratio, (item.difference, item.interval.low, item.interval.high))


def _difference(item: Comparison, column: Column) -> Iterable[str]:
    """The mean and the ends of its interval."""
    beside = max(abs(item.difference), 1e-3) if column.kind == "score" else 1.0
    ends = (item.difference, item.interval.low, item.interval.high)
    return (number_text.number(column, value, beside=beside, signed=True) for value in ends)


def of_equal_score(title: str, equal: EqualScore, *, by_steps: bool = False) -> Grid:
    """Return what each method leaves at several scores, on its fronts, or by steps of what was tried."""
    lines = [["validation score", *(f"{label} (of {number})" for label, number in equal.num_points.items())]]
    for level in equal.levels:
        found = level.by_steps if by_steps else level.on_fronts
        lines.append([level.quantity, *(_left(equal.score, level.size, left) for left in found.values())])
    return Grid(title, lines)


def _left(score: str, size: fronts.Size, found: Left) -> str:
    """What is left, in brackets the test score, and what of it lies at an edge of what was tried."""
    if not found.left:
        return "not reached"
    if not found.is_complete:
        return f"reached by {len(found.left)} of {found.num_seeds} seeds"
    factor, decimals, unit = (100, 2, " %") if size == "density" else (1, 1, "")
    lefts, tests = list(found.left.values()), list(found.test.values())
    left, test = fixed(factor * exact_mean(lefts), decimals), f"{found.mean_test:.4g}"
    if (spread := deviation(lefts)) is not None:
        left += f" ± {fixed(factor * spread, decimals)}"
    if (spread := deviation(tests)) is not None:
        test += f" ± {spread:.2g}"
    edge = f"; edge: {', '.join(found.edges)}" * bool(found.edges)
    return f"{left}{unit} (test {score} {test}{edge})"


def equal_score_notes(equal: EqualScore) -> list[str]:
    """Return how well validation accuracy tells levels apart, and what is tested otherwise than in the table.

    Of errors nothing is known but their spread.
    """
    notes, exact = [], equal.exactness
    if exact is not None:
        of = f"{exact.num_samples} images" if exact.is_all else f"at least {exact.num_samples} samples"
        error = f"{'at most ' * (not exact.is_all)}{100 * exact.standard_error:.2f} points"
        notes.append(
            f"At equal score: validation accuracy is that of {of}, the same for every seed; its standard error at "
            f"{100 * exact.best:.2f} % is {error}, and the levels lie {100 * exact.nearest:.2f} to "
            f"{100 * exact.furthest:.2f} points apart."
        )
    if equal.tested_otherwise:
        notes.append(
            "At equal score: test scores are with dropout off, also those of "
            f"{', '.join(equal.tested_otherwise)}, which the table has with dropout left on."
        )
    return notes


def _published_sentence(table: Table) -> list[str]:
    return [f"Published figures: {verdict_counts(table.count_verdicts())}."] if table.judged else []


def verdict_counts(counted: Count) -> str:
    """Return the number of published figures by verdict."""
    return f"{_by_verdict(counted.all)}; that do not follow from others, {_by_verdict(counted.of_their_own)}"


def _by_verdict(words: verdicts.Words) -> str:
    parts = [f"{words[word]} {shown}" for word, shown in verdicts.WORDS.items() if words[word]]
    return f"{words.total()} ({', '.join(parts)})"


_SIGNS: Mapping[Step, str] = {
    "holds": " > ", "holds the other way round": " < ", "not shown": " ≈ ", "too few seeds": ", ",
}  # fmt: skip


def _order_sentence(order: Order) -> str:
    if not order.methods:
        return f"{order.quantity}: nothing to compare."
    if set(order.verdicts) == {"too few seeds"} and not order.also_hold:
        means = ", ".join(order.methods)
        return f"{order.quantity}: no verdict of fewer than {FEWEST_RUNS} seeds; from the largest mean: {means}."
    signs = (_SIGNS[verdict] for verdict in order.verdicts)
    chain = "".join(map("".join, zip(order.methods, [*signs, ""], strict=True)))
    also = f"; what holds besides: {', '.join(map(' > '.join, order.also_hold))}" * bool(order.also_hold)
    lost = f"; not shown: {', '.join(map(' against '.join, order.not_shown))}" * bool(order.not_shown)
    few = f" (a comma: {number_text.TOO_FEW}, no verdict)" * ("too few seeds" in order.verdicts)
    by_pair = "; means order the methods, what holds is found on the seeds that both have" * order.is_contradicted
    return f"{order.quantity}: {chain}{few}{also}{lost}{by_pair}."
