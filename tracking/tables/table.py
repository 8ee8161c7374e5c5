"""The comparison table as a value: method by column, reproduced beside published. Drawing it is ``render``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dn_distributed.labels import BASELINE_RULE
from tracking.manifest import Manifest
from tracking.results import cells, inference
from tracking.results.cells import CellResult, MethodResult, Stat
from tracking.results.rounding import Number
from tracking.results.rows import Ended, Row
from tracking.tables import published, verdicts
from tracking.tables.columns import Column, columns_for
from tracking.tables.published import Figure
from tracking.tables.verdicts import Verdict


@dataclass(frozen=True)
class TableRow:
    """One method. A column that is missing in ``stats`` is missing in the store."""

    label: str
    n: int
    num_expected: int
    stats: dict[str, Stat]
    published: Mapping[str, Figure]
    published_label: str | None
    note: str = ""

    def difference(self, key: str) -> Number | None:
        """Return reproduced minus published; None unless both are there."""
        if key in self.stats and key in self.published:
            return self.stats[key].exact_mean - self.published[key].value
        return None

    def verdict(self, column: Column) -> Verdict | None:
        """Return what is said of a published figure; None where there is none."""
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
    def judged(self) -> list[tuple[TableRow, Column, Verdict]]:
        """Every published figure."""
        found = [(row, column, row.verdict(column)) for row in self.rows for column in self.columns]
        return [(row, column, verdict) for row, column, verdict in found if verdict is not None]


def build(manifest: Manifest, methods: tuple[MethodResult, ...]) -> Table:
    """Return the table of a sweep. Methods without a finished replicate stay in it, marked missing."""
    template = _template(methods)
    columns = columns_for((manifest.score, *manifest.other_scores), template) if template else []
    rows = tuple(_row(manifest, method, columns) for method in methods)
    title = f"{manifest.name}: {manifest.task} on {manifest.dataset}"
    return Table(title, tuple(columns), rows, _notes(manifest, methods, columns, rows))


def _template(methods: tuple[MethodResult, ...]) -> Row | None:
    """The first finished network; a baseline only where there is none."""
    results = sorted(
        (r for method in methods for r in method.tried if r.rows), key=lambda r: r.cell.baseline is not None
    )
    return results[0].rows[0] if results else None


def _row(manifest: Manifest, method: MethodResult, columns: list[Column]) -> TableRow:
    chosen = method.chosen
    expected = len(manifest.seeds)
    if chosen is None:
        return TableRow(method.label, 0, expected, {}, {}, None, note="no complete configuration")
    stats = {column.key: found for column in columns if (found := chosen.stat(column.value)) is not None}
    shown = published.as_printed(manifest.task, chosen.published) if chosen.published else {}
    return TableRow(
        method.label,
        len(chosen.rows),
        expected,
        stats,
        shown,
        chosen.published,
        _coefficients(method, chosen),
    )


def _coefficients(method: MethodResult, chosen: CellResult) -> str:
    if len(method.tried) == 1:
        return ""
    place = method.tried.index(chosen)
    searched = cells.coefficients([result.cell for result in method.tried])
    pairs = [
        f"{name} {_in_digits(values[place])}{_remark(values[place], values)}"
        for name, values in {**searched, **_settings(method.tried)}.items()
        if name in searched or len(set(map(repr, values))) > 1
    ]
    return f"chosen of {len(method.tried)}: {', '.join(pairs)}"


def _in_digits(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _settings(tried: Sequence[CellResult]) -> dict[str, list[Any]]:
    """What may have been searched besides coefficients, by name, of every configuration."""
    found: dict[str, list[Any]] = {}
    for part in ("training", "pruning"):
        dumped = [getattr(result.cell, part).model_dump() for result in tried]
        found |= {f"{part}.{name}": [values[name] for values in dumped] for name in dumped[0]}
    return found


def _remark(value: Any, tried: Sequence[Any]) -> str:
    are_numbers = all(isinstance(each, int | float) for each in tried)
    edge = cells.edge(value, tried) if are_numbers else ""
    return f" ({edge} tried)" if edge else ""


def _notes(
    manifest: Manifest, methods: Sequence[MethodResult], columns: Sequence[Column], rows: Sequence[TableRow]
) -> tuple[str, ...]:
    notes = [
        'mean ± sample standard deviation (n) over seeds; "sparsity" is the paper\'s word for the share of '
        "weights that are left; neurons as the published scripts count them, alive: on a path from input to output.",
        "Dense size: weights of the dense network that is left when dead neurons are cut out, alive inputs × alive "
        "outputs added up over the regularised layers (no convolution is among them); dense compression: all weights "
        "of these layers / dense size.",
    ]
    if any(column.is_error for column in columns):
        notes.append("Geometric mean ×÷ geometric standard deviation: for errors, whose mean may be that of one seed.")
    if any(result.cell.task.get("count_hidden_by") == "max" for method in methods for result in method.tried):
        notes.append(
            "Neurons of a hidden layer (count_hidden_by: max): the larger of those that have an input and those that "
            "have an output left, as this script counts; the others take the smaller."
        )
    if any(row.published for row in rows):
        notes.append(f"Published: {published.SOURCE}. Difference: reproduced mean minus published.")
        notes.append(f"Verdict: {verdicts.RULE}. {inference.PREDICTION_RULE}.")
    notes += [f"{method.label}: {method.fault}." for method in manifest.methods if method.fault]
    renamed = [row for row in rows if row.published_label not in (None, row.label)]
    notes += [f"{row.label} is set beside the row published as {row.published_label}." for row in renamed]
    if manifest.deviations and any(row.published for row in rows):
        notes.append(f"Settings differ from the paper's: {'; '.join(manifest.deviations)}.")
    if manifest.selection is not None:
        tried = ", ".join(f"{method.label} {len(method.tried)}" for method in methods if not _is_baseline(method))
        notes.append(f"Chosen by: {manifest.selection.rule}. Configurations tried: {tried}.")
        notes += [f"{row.label}: {row.note}." for row in rows if row.note]
    if classical := [method.label for method in methods if _is_baseline(method)]:
        notes.append(f"{' and '.join(classical)}: {BASELINE_RULE}.")
    for method in methods:
        notes += _missing(method, len(manifest.seeds))
    return tuple(notes)


def _is_baseline(method: MethodResult) -> bool:
    return any(result.cell.baseline is not None for result in method.tried)


def _missing(method: MethodResult, expected: int) -> list[str]:
    notes = []
    chosen = method.chosen
    if chosen is not None:
        notes += _empty(method.label, chosen.rows)
    if chosen is not None and not chosen.complete:
        notes.append(f"{method.label}: {expected - len(chosen.rows)} of {expected} replicates are missing.")
    notes += _failed(method)
    stopped = sum(1 for result in method.tried if any(item.state == "stopped" for item in result.ended))
    if stopped:
        notes.append(f"{method.label}: {stopped} of {len(method.tried)} configurations were stopped early.")
    return notes


def _empty(label: str, rows: Sequence[Row]) -> list[str]:
    """What has no compression rate."""
    empty = sum(1 for row in rows if not row.counts.num_nonzero)
    dead = sum(1 for row in rows if not row.counts.dense_size) - empty
    whole = f"of {len(rows)} replicates have no"
    notes = [f"{label}: {empty} {whole} weight left; compression rates are not defined for them."] * bool(empty)
    more = f"{label}: {dead} {whole} neuron alive; a dense compression is not defined for them."
    return notes + [more] * bool(dead)


_FEW = 5  # of what failed, seeds and reasons that are named


def _failed(method: MethodResult) -> list[str]:
    """A note a reason, with the seeds that it ended."""
    by_reason: dict[str, list[Ended]] = {}
    for result in method.tried:
        for item in result.ended:
            if item.state == "failed":
                by_reason.setdefault(item.reason.removesuffix("."), []).append(item)
    notes = [f"{method.label} {_seeds(items)} failed: {reason}." for reason, items in by_reason.items()]
    if len(notes) <= _FEW:
        return notes
    others = sum(len(items) for items in list(by_reason.values())[_FEW:])
    return [*notes[:_FEW], f"{method.label}: {others} more replicates failed, for {len(notes) - _FEW} other reasons."]


def _seeds(items: Sequence[Ended]) -> str:
    """Each seed once, however many configurations of it failed."""
    seeds = sorted({item.seed for item in items})
    more = f" and {len(seeds) - _FEW} more" * (len(seeds) > _FEW)
    replicates = f" ({len(items)} replicates)" * (len(items) > len(seeds))
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds[:_FEW]))}{more}{replicates}"
