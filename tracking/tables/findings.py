"""The statistics of a table, drawn: intervals and ranges, comparisons in pairs, and what they say in words."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracking.results import equal_score, inference, rounding
from tracking.results.cells import MethodResult, Stat
from tracking.results.equal_score import EqualScore, Grid
from tracking.results.inference import Comparison, Interval
from tracking.tables import columns, formats, verdicts
from tracking.tables.columns import Column
from tracking.tables.table import Table

_KEYS = (columns.SCORE_AFTER, columns.DENSITY, columns.ALIVE, columns.HIDDEN, columns.DENSE_SIZE)
"""Quantities that methods are compared by: what a method costs, and what it saves."""

Samples = Mapping[str, Mapping[int, float]]
"""Values of a quantity by method and seed."""


@dataclass(frozen=True)
class Findings:
    """Grids of text with a head each, and sentences."""

    published: Grid
    at_equal_score: Grid
    at_equal_score_by_steps: Grid
    at_equal_score_in_pairs: Grid
    intervals: Grid
    comparisons: Grid
    sentences: tuple[str, ...]
    rules: tuple[str, ...]
    compared: tuple[Comparison, ...]

    @property
    def grids(self) -> list[tuple[str, Grid]]:
        """The grids that there are, each with its title."""
        titled = (
            ("Published figures", self.published),
            ("At equal score", self.at_equal_score),
            ("At equal score, by steps", self.at_equal_score_by_steps),
            ("At equal score, in pairs", self.at_equal_score_in_pairs),
            ("Intervals", self.intervals),
            ("Comparisons", self.comparisons),
        )
        return [(title, grid) for title, grid in titled if grid]


def find(table: Table, methods: Sequence[MethodResult], equal: EqualScore) -> Findings:
    """Return the findings of a sweep; grids are empty where there is one seed, or one method."""
    shown = [column.plain for column in table.columns if column.key in _KEYS]
    samples = {column.key: _scaled(column, _samples(column, methods)) for column in shown}
    comparisons = inference.corrected(
        [
            item
            for column in shown
            for item in inference.compare(column.title, samples[column.key][0], is_ratio=samples[column.key][1])
        ]
    )
    intervals, published = _intervals(table), _published(table)
    rules = [inference.INTERVAL_RULE] * bool(intervals) + [inference.COMPARISON_RULE] * bool(comparisons)
    if intervals:
        rules += [inference.SHARE_RULE] * any(column.is_yes_or_no for column in table.columns)
    rules += [inference.PREDICTION_RULE, verdicts.RULE, verdicts.COUNT_RULE] * bool(published)
    rules += [equal_score.RULE, equal_score.STEPS_RULE] * bool(equal.grid)
    rules += [equal_score.PAIRS_RULE] * bool(equal.compared)
    return Findings(
        published,
        equal.grid,
        equal.by_steps,
        _comparisons(equal.compared, {}),
        intervals,
        _comparisons(comparisons, {column.title: column for column in shown}),
        (
            *[f"Published figures: {verdicts.in_words(counted(table))}."] * bool(published),
            *(_sentence(column, samples[column.key][0], comparisons) for column in shown if comparisons),
            *equal.notes,
        ),
        tuple(rules),
        tuple(comparisons),
    )


def _samples(column: Column, methods: Sequence[MethodResult]) -> Samples:
    """By method and seed; a method that misses the quantity is left out."""
    found = {}
    for method in methods:
        if method.chosen is None or method.chosen.stat(column.value) is None:
            continue
        values = ((row.seed, column.value(row)) for row in method.chosen.rows)
        known = {seed: float(value) for seed, value in values if value is not None}
        found[method.label] = (method.chosen.cell.key, known)
    return _joined(found)


def _joined(found: Mapping[str, tuple[str, dict[int, float]]]) -> Samples:
    """Join methods that are the same networks and have the same values: there is nothing to compare them by."""
    labels: dict[tuple[str, tuple[tuple[int, float], ...]], list[str]] = {}
    for label, (cell_key, values) in found.items():
        labels.setdefault((cell_key, tuple(sorted(values.items()))), []).append(label)
    return {" = ".join(joined): dict(values) for (_, values), joined in labels.items()}


def _scaled(column: Column, samples: Samples) -> tuple[Samples, bool]:
    """The values as they are compared, and whether these are logarithms."""
    logarithms = inference.logarithms(samples) if column.by_ratio else None
    return (samples, False) if logarithms is None else (logarithms, True)


def counted(table: Table) -> verdicts.Count:
    """Return how many of a table's published figures have which verdict."""
    return verdicts.count((column.key, verdict) for _, column, verdict in table.judged)


def _published(table: Table) -> Grid:
    """Every published figure with the interval that its verdict rests on, and how much that interval lets pass."""
    head = ["method", "quantity", "n", "reproduced", "published", "one more run", "its width", "verdict"]
    lines = []
    for row, column, verdict in table.judged:
        found, figure, interval = row.stats.get(column.key), row.published[column.key], verdict.one_more_run
        lines.append(
            [
                row.label,
                column.plain.heading,
                str(row.n),
                column.format(found.exact_mean, beside=found.exact_mean) if found else formats.MISSING,
                figure.written(column),
                _interval(column, found, interval) if found and interval else formats.MISSING,
                _width(interval, float(figure.value)) if interval else formats.MISSING,
                formats.verdict_in_words(row, column) or formats.MISSING,
            ]
        )
    return [head, *lines] if lines else []


def _width(interval: Interval, published: float) -> str:
    """In per cent of the published figure: what is wider than that says little by holding it."""
    width = 100 * (interval.high - interval.low) / published if published else math.inf
    return f"{rounding.fixed(width, 1 if width < 10 else 0)} %" if math.isfinite(width) else formats.MISSING


def _intervals(table: Table) -> Grid:
    lines = [["", *(row.label for row in table.rows)]]
    for column in (column.plain for column in table.columns):
        stats = [row.stats.get(column.key) for row in table.rows]
        if any(found is not None and found.n > 1 for found in stats):
            lines.append(
                [
                    f"{column.heading}: 95 % interval",
                    *(_mean_interval(column, found) for found in stats),
                ]
            )
            lines.append([f"{column.heading}: range", *(_range(column, found) for found in stats)])
    return lines if len(lines) > 1 else []


def _mean_interval(column: Column, found: Stat | None) -> str:
    interval = column.mean_interval(found.values) if found else None
    if found is None or interval is None:
        return formats.MISSING
    if interval.low == interval.high:
        return "always the same"
    is_marked = not interval.of_logarithms and not column.is_yes_or_no
    return f"{_interval(column, found, interval)}{' (of the mean)' * is_marked}"


def _interval(column: Column, found: Stat, interval: Interval) -> str:
    beside = None if column.is_error and interval.low > 0 else found.mean  # the ends of an error may lie decades apart
    low, high = (column.format(end, beside=beside) for end in (interval.low, interval.high))
    return f"{low} to {high}"


def _range(column: Column, found: Stat | None) -> str:
    if found is None or not found.values:
        return formats.MISSING
    return " to ".join(column.format(end) for end in (min(found.values), max(found.values)))


def _comparisons(comparisons: Sequence[Comparison], by_title: Mapping[str, Column]) -> Grid:
    """``by_title``: the columns of what is compared by differences; a ratio is written in one way."""
    if not comparisons:
        return []
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
                p_in_words(item.p),
                p_in_words(item.p_corrected),
                "holds" if item.holds else "not shown",
            ]
        )
    return lines


def _ratio(item: Comparison) -> tuple[str, str, str]:
    """The factor of the geometric means, and the ends of its interval."""
    mean, low, high = (inference.exp(value) for value in (item.difference, item.interval.low, item.interval.high))
    return f"× {mean:.3g}", f"× {low:.3g}", f"× {high:.3g}"


def _difference(item: Comparison, column: Column) -> tuple[str, str, str]:
    """The mean and the ends of its interval."""
    beside = max(abs(item.difference), 1e-3) if column.kind == "score" else 1.0
    mean, low, high = (
        column.format(value, beside=beside, signed=True)
        for value in (item.difference, item.interval.low, item.interval.high)
    )
    return mean, low, high


def p_in_words(p: float) -> str:
    """Return a p value to two digits, the smallest as a bound."""
    return "< 1e-6" if p < 1e-6 else f"{p:.2g}"


def _sentence(column: Column, samples: Samples, comparisons: Sequence[Comparison]) -> str:
    """Order the methods from the largest mean to the smallest, and say which steps hold and what they do not say."""
    own = [item for item in comparisons if item.quantity == column.title]
    if not own:
        return f"{column.title}: nothing to compare."
    hold = {item.larger_first for item in own if item.holds}
    compared = dict.fromkeys(label for item in own for label in (item.first, item.second))
    common = set.intersection(*(set(samples[label]) for label in compared))  # as pairs are compared on
    means = {label: statistics.fmean(samples[label][seed] for seed in common or samples[label]) for label in compared}
    order = sorted(compared, key=means.__getitem__, reverse=True)
    steps = list(itertools.pairwise(order))
    chain = order[0] + "".join(f" {'>' if step in hold else '≈'} {step[1]}" for step in steps)
    apart = [(first, last) for first, last in itertools.combinations(range(len(order)), 2) if last > first + 1]
    tested = {frozenset((item.first, item.second)) for item in own}
    kept, lost = [], []
    for first, last in apart:
        pair, between = (order[first], order[last]), steps[first:last]
        if pair in hold and hold.isdisjoint(between):
            kept.append(" > ".join(pair))
        elif pair not in hold and frozenset(pair) in tested and not hold.isdisjoint(between):
            lost.append(" against ".join(pair))
    also = f"; what holds besides: {', '.join(kept)}" * bool(kept) + f"; not shown: {', '.join(lost)}" * bool(lost)
    return f"{column.title}: {chain}{also}."


def as_markdown(findings: Findings) -> str:
    """Return the findings as Markdown sections."""
    parts = []
    for title, grid in findings.grids:
        head, *body = (formats.markdown_row(map(formats.markdown_text, line)) for line in grid)
        rule = formats.markdown_row(["---", *["--:"] * (len(grid[0]) - 1)])
        parts.append("\n".join([f"## {title}", "", head, rule, *body]))
    said = [*findings.sentences, *(f"Rule: {rule}." for rule in findings.rules)]
    notes = "\n".join(map(formats.markdown_item, said))
    return "\n\n".join([*parts, notes]) + "\n"


def as_html(grid: Grid) -> str:
    """Return a grid as a ``<table>`` element."""
    head, *body = grid
    lines = [f"<tr>{''.join(f'<th>{formats.html_text(cell)}</th>' for cell in head)}</tr>"]
    for name, *cells in body:
        values = "".join(f"<td>{formats.html_text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{formats.html_text(name)}</th>{values}</tr>')
    return f"<table><thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody></table>"


def as_csv(compared: Sequence[Comparison]) -> str:
    """Return the comparisons at full precision."""
    head = ["quantity", "first", "second", "n", "scale", "difference", "low", "high", "effect", "p", "p_holm", "holds"]
    lines: list[list[formats.CsvValue]] = [[*head]]
    for item in compared:
        scale = "logarithm" if item.is_ratio else "plain"
        numbers = (item.difference, item.interval.low, item.interval.high, item.effect, item.p, item.p_corrected)
        lines.append([item.quantity, item.first, item.second, item.n, scale, *numbers, item.holds])
    return formats.csv_text(lines)
