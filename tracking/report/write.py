"""A sweep as one page, with its tables, figures and rows as files beside it: all of it from the store alone."""

import base64
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dn_distributed import score_names
from dn_distributed.config import Cell, Training
from dn_distributed.files import check_replaceable
from tracking import figures, schema
from tracking.figures import Drawn, Evidence
from tracking.manifest import Manifest, ManifestMethod, Selection
from tracking.results import cells, equal_score, fronts
from tracking.results import rows as reader
from tracking.results.cells import CellResult, MethodResult
from tracking.results.rows_file import Provenance, Shipped, as_json, load
from tracking.store import artifacts, checksums, runs, writer
from tracking.store import location as store
from tracking.store.location import StoreError, StoreLocation, connect
from tracking.store.sqlite import StoredRun
from tracking.tables import findings, formats
from tracking.tables import table as tables
from tracking.tables.columns import Value
from tracking.tables.findings import Findings
from tracking.tables.formats import CsvValue
from tracking.tables.table import Table

PAGE = "report.html"
ROWS = "rows.json"
STATISTICS = "statistics.md"
COMPARISONS = "comparisons.csv"
CURVES = "curves.json"
CONFIGURATIONS = "configurations.csv"
FIGURES = "figures"

_NO_STORE = "Made from shipped rows: figures of weights and of the course of training need the store."
_SOFTWARE = ("torch", "ray", "mlflow", "python")
_COMMIT = "version.commit"
_PROVENANCE = ("host", "device", _COMMIT, *(f"version.{name}" for name in _SOFTWARE))
_FEW = 3  # different values that are written out; of more, only the ends


def write(
    location: StoreLocation, name: str, out: Path, data_dir: Path, tell: Callable[[str], None] = lambda text: None
) -> Path:
    """Write the report of the sweep ``name`` into ``out``, attach it to the sweep's report run, return the page.

    Files of an earlier report there are replaced. StoreError where the store does not hold the sweep. ``tell`` gets a
    line for each replicate whose files are damaged, and one where the report cannot be attached.
    """
    experiment_id = runs.find_experiment(location, name)
    run_id, manifest = runs.read_manifest(location, experiment_id)
    snapshot = reader.read(location, experiment_id)
    evidence = figures.gather(location, manifest, cells.gather(manifest, snapshot), data_dir)
    damaged = _damaged(location, evidence.methods)
    evidence = replace(evidence, missing=tuple(dict.fromkeys((*evidence.missing, *damaged))))
    for line in damaged:
        tell(line)
    made_by = runs.records(location, experiment_id, "replicate", {}, tags=_PROVENANCE)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        _write_files(made, evidence, Shipped(manifest, snapshot, _provenance(evidence.methods, made_by)))
        _publish(made, out)
        if store.is_writable(location):
            writer.attach_report(connect(location), run_id, made)
        else:
            tell("the store can only be read: the report is not attached to it")
    return out / PAGE


def _damaged(location: StoreLocation, methods: Sequence[MethodResult]) -> list[str]:
    """What is wrong with the stored files of replicates that count, in sentences; those of a server stay there."""
    if location.database is None:
        return []
    rows = {row.run_id: (method.label, row) for method in methods for result in method.tried for row in result.rows}
    folders = artifacts.paths_of(location, list(rows), "")
    found = []
    for (label, row), folder in zip(rows.values(), folders, strict=True):
        try:
            names = checksums.read(row.sha256)
        except ValueError as error:
            found.append(checksums.sentence(label, row.seed, ValueError(f"its checksums cannot be read ({error})")))
            continue
        for name in names or (schema.WEIGHTS_FILE, schema.MASKS_FILE):
            try:
                checksums.check(folder, name, row.sha256)
            except (ValueError, OSError) as error:
                found.append(checksums.sentence(label, row.seed, error))
    return found


def write_from_rows(path: Path, out: Path) -> Path:
    """Write the report of the rows that ``path`` holds: tables, statistics, and the figures that need no weights.

    Where these very rows lie in ``out``, the figures there that need the store stay. StoreError where the file is none
    of an earlier report.
    """
    shipped = load(path)
    methods = cells.gather(shipped.manifest, shipped.snapshot)
    curves = fronts.load(path.parent / CURVES, shipped.manifest.score)
    evidence = Evidence(shipped.manifest, methods, missing=(_NO_STORE,), curves=curves)
    own = (out / ROWS).exists() and path.samefile(out / ROWS)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        _write_files(made, evidence, shipped)
        _publish(made, out, [kind for kind in figures.FIGURES if kind.of_rows or not own])
    return out / PAGE


def _write_files(folder: Path, evidence: Evidence, shipped: Shipped) -> None:
    manifest, methods = evidence.manifest, evidence.methods
    table = tables.build(manifest, methods)
    found = findings.find(table, methods, equal_score.at_equal_score(manifest, evidence.points()))
    texts = {f"table.{ending}": draw(table) for ending, draw in formats.FORMATS.items()}
    texts |= {ROWS: as_json(shipped), STATISTICS: findings.as_markdown(found)}
    texts |= {COMPARISONS: findings.as_csv(found.compared)} if found.compared else {}
    texts |= {CURVES: fronts.as_json(evidence.curves)} if evidence.curves else {}
    if manifest.selection is not None:
        texts[CONFIGURATIONS] = configurations_as_csv(manifest, manifest.selection, methods)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    pictures = [_Picture.of(drawn) for drawn in figures.draw(evidence)]
    (folder / FIGURES).mkdir()
    for picture in pictures:
        (folder / FIGURES / f"{picture.name}.png").write_bytes(picture.png)
    names = [*texts, *(f"{FIGURES}/{picture.name}.png" for picture in pictures)]
    page = _page(evidence, table, found, shipped.provenance, pictures, names)
    (folder / PAGE).write_text(page, encoding="utf-8")


def _publish(made: Path, out: Path, replaced: Sequence[figures.Kind] = figures.FIGURES) -> None:
    """Copy the files of a finished report, and remove those of an earlier one that this one does not have.

    StoreError where something that is no file stands in the place of one.
    """
    targets = {path: out / path.relative_to(made) for path in sorted(made.rglob("*")) if path.is_file()}
    for target in targets.values():
        try:
            check_replaceable(target)
        except OSError as error:
            raise StoreError(f"{target}: {error.strerror}") from error
    old = [
        *(out / name for name in (CONFIGURATIONS, COMPARISONS, CURVES)),
        *(out / FIGURES / f"{kind.name}.png" for kind in replaced),
    ]
    for path in old:
        path.unlink(missing_ok=True)
    for path, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def configurations_as_csv(manifest: Manifest, selection: Selection, methods: Sequence[MethodResult]) -> str:
    """Return one line per configuration that was tried, at full precision."""
    tried = [(method, result) for method in methods for result in method.tried]
    described = [writer.describe_cell(result.cell) for _, result in tried]
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


@dataclass(frozen=True)
class _Picture:
    """A figure as the page holds it."""

    name: str
    heading: str
    caption: str
    png: bytes

    @classmethod
    def of(cls, drawn: Drawn) -> "_Picture":
        return cls(drawn.name, drawn.heading, drawn.caption, figures.as_png(drawn.figure))

    @property
    def uri(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def _page(
    evidence: Evidence,
    table: Table,
    found: Findings,
    provenance: Provenance,
    pictures: Sequence[_Picture],
    names: Sequence[str],
) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = files("tracking.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(text)
    return template.render(
        manifest=evidence.manifest,
        subtitle=_subtitle(evidence.manifest),
        facts=[*_facts(evidence.manifest, evidence.methods), *provenance.items()],
        methods=[_method(*pair) for pair in zip(evidence.manifest.methods, evidence.methods, strict=True)],
        table=Markup(formats.as_html(replace(table, notes=()))),
        notes=table.notes,
        grids=[(title, Markup(findings.as_html(grid))) for title, grid in found.grids],
        findings=found,
        pictures=pictures,
        missing=evidence.missing,
        names=names,
    )


def _subtitle(manifest: Manifest) -> str:
    counts = {"method": len(manifest.methods), "seed": len(manifest.seeds)}
    words = ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items())
    return f"{manifest.task} on {manifest.dataset}: {words}"


def _method(asked: ManifestMethod, method: MethodResult) -> dict[str, Any]:
    """A line of the page's list of methods."""
    finished = sum(len(result.rows) for result in method.tried)
    coefficients = coefficients_in_words([result.cell for result in method.tried])
    return {
        "label": method.label,
        "coefficients": "; ".join(filter(None, [coefficients, asked.fault])),
        "configurations": len(method.tried),
        "published": next((result.published for result in method.tried if result.published), formats.MISSING),
        "finished": finished,
        "expected": sum(result.num_expected for result in method.tried),
    }


def _facts(manifest: Manifest, methods: Sequence[MethodResult]) -> Iterator[tuple[str, str]]:
    """What was run: name and value, in the order of the page."""
    tried = [result.cell for method in methods for result in method.tried]
    networks = [cell for cell in tried if cell.baseline is None]
    yield "Task", _distinct(_named(cell.task) for cell in tried)
    yield "Dataset", _distinct(_named(cell.dataset) for cell in tried)
    yield "Dataset SHA-256", _distinct(cell.dataset_digest for cell in tried)
    yield "Training", _distinct(training_in_words(cell.training) for cell in networks)
    yield "Pruning", _distinct(f"weights with |w| < {cell.pruning.threshold:g} become 0" for cell in networks)
    better = "higher" if manifest.score_higher_is_better else "lower"
    yield "Score", f"{manifest.score}, {better} is better"
    yield "Seeds", seeds_in_words(manifest.seeds)


def _provenance(methods: Sequence[MethodResult], made_by: Sequence[StoredRun]) -> Provenance:
    """Where and when the replicates that count were trained."""
    counted = {row.run_id for method in methods for result in method.tried for row in result.rows}
    ran = [run for run in made_by if run.run_id in counted]
    tags = [run.tags for run in ran]
    commits = [found.get(_COMMIT, "") for found in tags]
    return {
        "Software": _distinct(_software(run) for run in ran),
        **({"Commit": _distinct(commits)} if any(commits) else {}),
        "Machine": _distinct(f"{found.get('host', '?')}, {found.get('device', '?')}" for found in tags),
        "Date": _period(ran),
    }


def _named(identity: Mapping[str, Any]) -> str:
    """A task or dataset with its options."""
    options = ", ".join(f"{key} {value}" for key, value in identity.items() if key != "name")
    return f"{identity['name']} ({options})" if options else str(identity["name"])


def _distinct(values: Iterable[str]) -> str:
    """The different values in their order; of many, how many more there are."""
    found = list(dict.fromkeys(values))
    more = f"; and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return "; ".join(found[:_FEW]) + more if found else formats.MISSING


def _software(run: StoredRun) -> str:
    return ", ".join(f"{name} {run.tags.get(f'version.{name}', '?')}" for name in _SOFTWARE)


def _period(ran: Sequence[StoredRun]) -> str:
    """From the first start to the last end of the replicates."""
    if not ran:
        return formats.MISSING
    ends = (min(run.start_time for run in ran), max(run.end_time or run.start_time for run in ran))
    first, last = (f"{datetime.fromtimestamp(end / 1000, UTC):%Y-%m-%d %H:%M}" for end in ends)
    return f"{first} to {last.removeprefix(first[:11])} UTC"


def training_in_words(training: Training) -> str:
    """Return how long and how fast a replicate trains."""
    length = f"{training.epochs} epochs" if training.steps is None else f"{training.steps} steps"
    parts = [length, f"batches of {training.batch_size}", f"Adam, learning rate {training.learning_rate:g}"]
    parts += [f"× {training.learning_rate_decay:g} after each epoch"] * (training.learning_rate_decay != 1)
    parts += ["samples in fixed order"] * (not training.shuffle)
    return ", ".join(parts)


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return the seeds, a run of consecutive ones by its ends."""
    if len(seeds) > _FEW and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def coefficients_in_words(tried: Sequence[Cell]) -> str:
    """Return the coefficients of a method, each with the values that were tried."""
    words = [f"{name} {_values_in_words(found)}" for name, found in cells.coefficients(tried).items()]
    return ", ".join(words) or "none"


def _values_in_words(values: Sequence[float]) -> str:
    different = sorted(set(values))
    if len(different) <= _FEW:
        return " or ".join(f"{value:g}" for value in different)
    return f"{different[0]:g} … {different[-1]:g} ({len(different)} values)"
