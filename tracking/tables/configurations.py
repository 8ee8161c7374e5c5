"""All configurations that a search has tried, one line each."""

from collections.abc import Mapping, Sequence

from dn_distributed import score_names
from tracking.manifest import Manifest, Selection
from tracking.results.cells import CellResult, MethodResult
from tracking.store.cell_params import describe_cell
from tracking.tables import formats
from tracking.tables.columns import Value
from tracking.tables.formats import CsvValue


def as_csv(manifest: Manifest, selection: Selection, methods: Sequence[MethodResult]) -> str:
    """Return one line per configuration that was tried, at full precision."""
    tried = [(method, result) for method in methods for result in method.tried]
    described = [describe_cell(result.cell) for _, result in tried]
    shown = _hyper_parameters(described)
    quantities = _quantities(manifest, selection)
    parts = [f"{name}/{part}" for name in quantities for part in ("mean", "std", "n")]
    fixed = ["method", "cell_key", "state", "chosen", f"{selection.average} objective"]
    lines: list[list[CsvValue]] = [[*fixed, *shown, *parts]]
    for (method, result), settings in zip(tried, described, strict=True):
        chosen = "yes" if result is method.chosen else "no"
        values = [value for quantity in quantities.values() for value in _statistics(result, quantity)]
        objective = result.stat(quantities[selection.objective])
        average = selection.averaged(objective.values) if objective else None
        said = [result.label, result.cell.key, state_of(result), chosen, average]
        lines.append([*said, *(settings.get(name, "") for name in shown), *values])
    return formats.csv_text(lines)


def _hyper_parameters(described: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings that differ between configurations."""
    names = dict.fromkeys(name for settings in described for name in settings)
    return [name for name in names if len({settings.get(name, "") for settings in described}) > 1]


def _quantities(manifest: Manifest, selection: Selection) -> dict[str, Value]:
    test = score_names.final("test", manifest.score)
    return {
        selection.objective: lambda row: row.metrics.get(selection.objective),
        test: lambda row: row.metrics.get(test),
        "density": lambda row: row.counts.density,
        "neurons_alive": lambda row: row.counts.neurons_alive,
        "hidden_alive": lambda row: row.counts.hidden_alive,
        "dense_size": lambda row: row.counts.dense_size,
    }


def _statistics(result: CellResult, quantity: Value) -> list[CsvValue]:
    found = result.stat(quantity)
    return [None, None, 0] if found is None else [found.mean, found.std, found.n]


def state_of(result: CellResult) -> str:
    """Return how far a configuration is: complete, failed, stopped or incomplete."""
    if result.complete:
        return "complete"
    states = {item.state for item in result.ended}
    return next((state for state in ("failed", "stopped") if state in states), "incomplete")
