"""The sentences under a table: what its words mean, what was chosen and how, and what is missing."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from dn_distributed.coverage import Coverage
from dn_distributed.labels import BASELINE_RULE
from dn_distributed.text import percent
from tracking.manifest import Manifest
from tracking.results import cells, inference
from tracking.results.cells import CellResult, MethodResult
from tracking.results.rows import Ended, Row
from tracking.store.cell_params import flat, phases_of
from tracking.tables import published, verdicts
from tracking.tables.columns import Column

GENERAL = (
    'mean ± sample standard deviation (n) over seeds; "sparsity" is the paper\'s word for the share of '
    "weights that are left; neurons as the published scripts count them, alive: on a path from input to output."
)
GENERAL_ON_PAGE = (
    "mean ± sample standard deviation (n) over seeds; weights left: the share that pruning leaves (the paper calls it "
    "sparsity); neurons as the published scripts count them, alive: on a path from input to output."
)
"""The same beside columns called as a page calls them."""
_DENSE = (
    "Dense size: weights of the dense network that is left when dead neurons are cut out, alive inputs × alive "
    "outputs added up over the regularised layers ({convolutions}); dense compression: all weights "
    "of these layers / dense size."
)
_FILTERS = (
    "of a convolution times the weights of a kernel; its neurons are filters, and a filter that is flattened "
    "counts by those of its features that are read"
)
_APART = (
    "The regularised layers are no chain: as published, a neuron is left where a weight enters it; alive are those "
    "that the smaller network of dn compact needs (where the network cannot be followed, those that have a weight)."
)
_ERRORS = "Geometric mean ×÷ geometric standard deviation: for errors, whose mean may be that of one seed."
GEOMETRIC = (
    "Geometric mean of {title}: methods are compared by ratios of it, and the geometric mean orders them otherwise "
    "than the mean does."
)
"""Of what has such a line though it is no error."""
_LARGER_COUNT = (
    "Neurons of a hidden layer (count_hidden_by: max): the larger of those that have an input and those that "
    "have an output left, as this script counts; the others take the smaller."
)
_FEW = 5  # of what failed, seeds and reasons that are named


def sentences(manifest: Manifest, methods: Sequence[MethodResult], columns: Sequence[Column]) -> Iterator[str]:
    """Yield what a reader needs to judge the table of these methods."""
    beside = {method.label: row for method in methods if method.chosen and (row := method.chosen.published)}
    yield GENERAL
    networks = [row.counts for method in methods for result in method.tried for row in result.rows[:1]]
    with_filters = any(len(layer.shape) > 2 for counts in networks for layer in counts.layers)
    yield _DENSE.format(convolutions=_FILTERS if with_filters else "no convolution is among them")
    if not all(counts.is_chain for counts in networks):
        yield _APART
    if manifest.coverage is not None:
        yield f"Penalised, pruned and counted are weights {manifest.coverage.words}."
        yield from _whole_networks(manifest.coverage, methods)
    if any(column.is_error for column in columns):
        yield _ERRORS
    if any(result.cell.task.get("count_hidden_by") == "max" for method in methods for result in method.tried):
        yield _LARGER_COUNT
    if beside:
        yield f"Published: {published.SOURCE}. Difference: reproduced mean minus published."
        yield f"Verdict: {verdicts.RULE}. {inference.PREDICTION_RULE}."
    yield from (f"{method.label}: {method.fault}." for method in manifest.methods if method.fault)
    for label, row in beside.items():
        if row != label:
            yield f"{label} is set beside the row published as {row}."
    if manifest.deviations and beside:
        yield f"Settings differ from the paper's: {'; '.join(manifest.deviations)}."
    yield from _search(manifest, methods)
    if classical := [method.label for method in methods if _is_baseline(method)]:
        yield f"{' and '.join(classical)}: {BASELINE_RULE}."
    for method in methods:
        yield from _missing(method, len(manifest.seeds))


def _whole_networks(coverage: Coverage, methods: Sequence[MethodResult]) -> Iterator[str]:
    """What is left of all parameters: of those that are not counted, all are."""
    found = []
    for method in methods:
        rows = method.chosen.rows if method.chosen is not None and not _is_baseline(method) else ()
        if rows:
            gone = fmean(row.counts.num_weights - row.counts.num_nonzero for row in rows)
            left = coverage.all_parameters - gone
            found.append(f"{method.label} {left:,.0f} ({percent(left, coverage.all_parameters)})")
    if found:
        yield f"Left of all {coverage.all_parameters:,} parameters, mean over seeds: {', '.join(found)}."


def _search(manifest: Manifest, methods: Sequence[MethodResult]) -> Iterator[str]:
    """What was chosen, among how many configurations, by which rule."""
    if manifest.selection is None:
        return
    counted = ", ".join(f"{method.label} {_count(method)}" for method in methods if not _is_baseline(method))
    yield f"Chosen by: {manifest.selection.rule}. Configurations tried: {counted}."
    for method in methods:
        if method.chosen is None:
            yield f"{method.label}: no complete configuration."
        elif len(method.tried) > 1:
            tried = method.settled
            yield f"{method.label}: {_coefficients(tried, tried.index(method.chosen))}."


def _count(method: MethodResult) -> str:
    of_planned = f" of {method.num_planned}" * (len(method.settled) < method.num_planned)
    return f"{len(method.settled)}{of_planned}"


def _coefficients(tried: Sequence[CellResult], place: int) -> str:
    """What was searched, with the values of the configuration at ``place``."""
    searched = cells.coefficients([result.cell for result in tried])
    pairs = [
        f"{name} {_in_digits(values[place])}{_remark(values[place], values)}"
        for name, values in {**searched, **_settings(tried)}.items()
        if name in searched or len(set(map(repr, values))) > 1
    ]
    return f"chosen of {len(tried)}: {', '.join(pairs)}"


def _in_digits(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _settings(tried: Sequence[CellResult]) -> dict[str, list[Any]]:
    """What may have been searched besides coefficients, by name, of every configuration."""
    dumped = [
        {name: value for prefix, phase in phases_of(cell) for name, value in flat(prefix, phase).items()}
        | flat("pruning", cell.pruning)
        for cell in (result.cell for result in tried)
    ]
    names = dict.fromkeys(name for values in dumped for name in values)
    return {name: [values.get(name) for values in dumped] for name in names}


def _remark(value: Any, tried: Sequence[Any]) -> str:
    are_numbers = all(isinstance(each, int | float) for each in tried)
    edge = cells.edge(value, tried) if are_numbers else ""
    return f" ({edge} tried)" if edge else ""


def _is_baseline(method: MethodResult) -> bool:
    return any(result.cell.baseline is not None for result in method.tried)


def _missing(method: MethodResult, expected: int) -> Iterator[str]:
    chosen = method.chosen
    if chosen is not None:
        yield from _empty(method.label, chosen.rows)
        yield from _out_of_reach(method.label, chosen)
        yield from _constant_outputs(method.label, chosen.rows)
        if not chosen.complete:
            yield f"{method.label}: {expected - len(chosen.rows)} of {expected} replicates are missing."
    if chosen is None or chosen.complete:
        yield from _still_to_run(method, expected)
    yield from _failed(method)
    stopped = sum(1 for result in method.tried if any(item.state == "stopped" for item in result.ended))
    if stopped:
        yield f"{method.label}: {stopped} of {len(method.tried)} configurations were stopped early."


def _still_to_run(method: MethodResult, expected: int) -> list[str]:
    """What a search has not run yet; ``expected``: replicates of a configuration."""
    to_run = sum(result.num_to_run for result in method.tried) + method.to_propose * expected
    configurations = f"{method.num_planned - len(method.settled)} of {method.num_planned} configurations"
    total = method.num_planned * expected
    note = f"{method.label}: {configurations} are not finished; {to_run} of {total} replicates are still to run."
    return [note] * bool(to_run)


def _empty(label: str, rows: Sequence[Row]) -> list[str]:
    """What has no compression rate."""
    empty = sum(1 for row in rows if not row.counts.num_nonzero)
    dead = sum(1 for row in rows if not row.counts.dense_size) - empty
    whole = f"of {len(rows)} replicates have no"
    notes = [f"{label}: {empty} {whole} weight left; compression rates are not defined for them."] * bool(empty)
    more = f"{label}: {dead} {whole} neuron alive; a dense compression is not defined for them."
    return notes + [more] * bool(dead)


def _out_of_reach(label: str, result: CellResult) -> list[str]:
    """Where more is left than units were to drop to. Multiply-adds are not among what is stored."""
    drop = next((phase.drop for phase in reversed(result.cell.phases) if phase.drop is not None), None)
    if drop is None or drop.of == "multiply_adds":
        return []
    counts = [row.counts for row in result.rows]
    if drop.of == "weights":
        shares = [found.dense_size / found.num_weights for found in counts]
    else:
        shares = [found.neurons_alive / found.neurons_total for found in counts]
    larger = sum(share > drop.to for share in shares)
    goal = f"{100 * drop.to:g} % of the {drop.of}"
    note = f"{label}: {larger} of {len(shares)} replicates have more than {goal} left: the last unit of a layer stays."
    return [note] * bool(larger)


def _constant_outputs(label: str, rows: Sequence[Row]) -> list[str]:
    """What dense size leaves out of the outputs, and a network that has to give them all cannot."""
    found = [row.counts for row in rows if row.counts.is_chain and row.counts.dense_size]
    outputs = [counts.units[-1] for counts in found]
    constant = sum(unit.total - unit.alive for unit in outputs)
    if not constant:
        return []
    return [
        f"{label}: {constant / len(found):.4g} of {outputs[0].total} outputs are constant, mean over seeds. Dense size "
        f"leaves them out; with them it is {fmean(counts.dense_size_with_outputs for counts in found):.0f}."
    ]


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
