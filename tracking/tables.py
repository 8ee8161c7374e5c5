"""The comparison table as a value: method by column, reproduced beside published. Drawing it is ``render``."""

from dataclasses import dataclass
from typing import Any

from dn_distributed.wording import BASELINE_RULE
from tracking import inference, published
from tracking.cells import CellResult, MethodResult, Stat
from tracking.columns import Column, columns_for
from tracking.manifest import Manifest
from tracking.reader import Row


@dataclass(frozen=True)
class TableRow:
    """One method. A column that is missing in ``stats`` is missing in the store."""

    label: str
    n: int
    num_expected: int
    stats: dict[str, Stat]
    published: dict[str, float]
    published_label: str | None
    note: str = ""

    def difference(self, key: str) -> float | None:
        """Return reproduced minus published; None unless both are there."""
        if key in self.stats and key in self.published:
            return self.stats[key].mean - self.published[key]
        return None

    def outside(self, column: Column) -> float | None:
        """Return how far the published figure lies outside of what one more run would give.

        0 inside, negative below; None where it, or a spread, is missing.
        """
        key = column.key
        if key not in self.stats or key not in self.published:
            return None
        interval = column.prediction_interval(self.stats[key].values)
        return interval.distance(self.published[key]) if interval else None


@dataclass(frozen=True)
class Table:
    """Rows, columns, and the sentences that a reader needs to judge them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]


def build(manifest: Manifest, methods: tuple[MethodResult, ...]) -> Table:
    """Return the table of a sweep. Methods without a finished replicate stay in it, marked missing."""
    template = _template(methods)
    columns = columns_for((manifest.score, *manifest.other_scores), template) if template else []
    rows = tuple(_row(manifest, method, columns) for method in methods)
    title = f"{manifest.name}: {manifest.task} on {manifest.dataset}"
    return Table(title, tuple(columns), rows, _notes(manifest, methods, rows))


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
    shown = published.figures(manifest.task, chosen.published) if chosen.published else {}
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
    names = sorted({name for result in method.tried for name in result.cell.regularization})
    tried = [_settings(result, names) for result in method.tried]
    fixed = [name for name in tried[0] if name not in names and len({repr(values[name]) for values in tried}) == 1]
    pairs = [
        f"{name} {_in_digits(value)}{_place(value, [values[name] for values in tried])}"
        for name, value in _settings(chosen, names).items()
        if name not in fixed
    ]
    return f"chosen of {len(method.tried)}: {', '.join(pairs)}"


def _in_digits(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _settings(result: CellResult, coefficients: list[str]) -> dict[str, Any]:
    """What may have been searched: coefficients, and settings of training and pruning."""
    found: dict[str, Any] = {name: result.cell.regularization.get(name, 0.0) for name in coefficients}
    for part in ("training", "pruning"):
        found |= {f"{part}.{name}": value for name, value in getattr(result.cell, part).model_dump().items()}
    return found


def _place(value: float, tried: list[float]) -> str:
    """A remark on a choice at the edge of what was tried: beyond it there may be a better one."""
    if len(set(tried)) < 3 or min(tried) < value < max(tried):
        return ""
    return " (smallest tried)" if value == min(tried) else " (largest tried)"


def _notes(manifest: Manifest, methods: tuple[MethodResult, ...], rows: tuple[TableRow, ...]) -> tuple[str, ...]:
    notes = [
        'mean ± sample standard deviation (n) over seeds; "sparsity" is the paper\'s word for the share of '
        "weights that are left; neurons as the published scripts count them, alive: on a path from input to output."
    ]
    if any(result.cell.task.get("count_hidden_by") == "max" for method in methods for result in method.tried):
        notes.append(
            "Neurons of a hidden layer (count_hidden_by: max): the larger of those that have an input and those that "
            "have an output left, as this script counts; the others take the smaller."
        )
    if any(row.published for row in rows):
        notes.append(f"Published: {published.SOURCE}. Difference: reproduced mean minus published.")
        notes.append(f"Verdict: {inference.VERDICT_RULE}.")
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
    if chosen is not None and (empty := sum(1 for row in chosen.rows if not row.counts.num_nonzero)):
        whole = f"{empty} of {len(chosen.rows)} replicates"
        notes.append(f"{method.label}: {whole} have no weight left; a compression rate is not defined for them.")
    if chosen is not None and not chosen.complete:
        notes.append(f"{method.label}: {expected - len(chosen.rows)} of {expected} replicates are missing.")
    ended = [item for result in method.tried for item in result.ended if item.state == "failed"]
    notes += [f"{method.label} seed {item.seed} failed: {item.reason}." for item in ended]
    stopped = sum(1 for result in method.tried if any(item.state == "stopped" for item in result.ended))
    if stopped:
        notes.append(f"{method.label}: {stopped} of {len(method.tried)} configurations were stopped early.")
    return notes
