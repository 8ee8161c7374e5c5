"""Writes a sweep's report: one page, with its tables, figures and rows as files beside it."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dn_distributed.files import check_replaceable
from tracking import charts, figures
from tracking.errors import StoreError
from tracking.figures import FigureData
from tracking.report import notes, page, provenance
from tracking.report.page import RunLinks, Served
from tracking.results import cells, equal_score, threshold_curves
from tracking.results import rows as reader
from tracking.results.rows_file import Shipped, as_json, load
from tracking.store import cell_runs, embedded, report_run, runs, ui_view
from tracking.store.location import StoreLocation
from tracking.store.notes import write_notes
from tracking.store.sweep_store import SweepStore
from tracking.tables import answer, configurations, findings, formats, grids
from tracking.tables import table as tables
from tracking.tables.answer import Answer

PAGE = "report.html"
ROWS = "rows.json"
STATISTICS = "statistics.md"
COMPARISONS = "comparisons.csv"
CURVES = "curves.json"
CONFIGURATIONS = "configurations.csv"
FIGURES = "figures"

_NO_STORE = "Made from shipped rows: figures of weights and of the course of training need the store."


def write(
    location: StoreLocation,
    name: str,
    out: Path,
    data_dir: Path,
    tell: Callable[[str], None] = lambda text: None,
    *,
    served: Served | None = None,
) -> Path:
    """Write the report of the sweep ``name`` into ``out``, attach it to the sweep's report run, return the page.

    Files of an earlier report there are replaced. StoreError where the store does not hold the sweep. ``tell`` gets a
    line for each replicate whose files are damaged, and one where the report cannot be attached. A page that is
    ``served`` beside MLflow's UI links to it, and nothing is written to the store.
    """
    sweep = SweepStore.find(location, name)
    run_id, manifest = runs.read_manifest(sweep)
    snapshot = reader.read(sweep)
    data = figures.gather(location, manifest, cells.gather(manifest, snapshot), data_dir)
    damaged = provenance.damaged_files(location, data.methods)
    data = replace(data, missing=tuple(dict.fromkeys((*data.missing, *damaged))))
    for line in damaged:
        tell(line)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        shipped = Shipped(manifest, snapshot, provenance.read(sweep, data.methods))
        said = _write_files(made, data, shipped, _run_links(sweep, served), served)
        _publish(made, out)
        if served is None:
            _attach(sweep, run_id, made, said, data, tell)
    return out / PAGE


def _attach(
    sweep: SweepStore,
    run_id: str,
    folder: Path,
    said: Answer,
    data: FigureData,
    tell: Callable[[str], None],
) -> None:
    """Give the store the files of a report, and its answer as notes."""
    if not embedded.is_writable(sweep.location):
        tell("the store can only be read: the report is not attached to it")
        return
    report_run.attach_report(sweep, run_id, folder)
    report_run.write_view(sweep, data.manifest)
    link = notes.link(sweep.experiment_id, run_id, PAGE, data.manifest.name)
    write_notes(sweep, notes.of_sweep(said, link), notes.of_cells(said, data.methods, link))


def write_from_rows(path: Path, out: Path) -> Path:
    """Write the report of the rows that ``path`` holds: tables, statistics, and the figures that need no weights.

    Where these very rows lie in ``out``, the figures there that need the store stay. StoreError where the file is none
    of an earlier report.
    """
    shipped = load(path)
    methods = cells.gather(shipped.manifest, shipped.snapshot)
    curves = threshold_curves.load(path.parent / CURVES, shipped.manifest.score)
    data = FigureData(shipped.manifest, methods, missing=(_NO_STORE,), curves=curves)
    own = (out / ROWS).exists() and path.samefile(out / ROWS)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        _write_files(made, data, shipped)
        _publish(made, out, [kind for kind in figures.FIGURES if kind.of_rows or not own])
    return out / PAGE


def _run_links(sweep: SweepStore, served: Served | None) -> RunLinks | None:
    """Where a UI shows the runs; None of an embedded store that is not served: it has no address."""
    if served is None and sweep.location.database is not None:
        return None
    page = served.mlflow if served is not None else ui_view.page_of(sweep.location.uri)
    return RunLinks(partial(ui_view.run_link, page, sweep.experiment_id), cell_runs.runs_by_cell(sweep))


def _write_files(
    folder: Path,
    data: FigureData,
    shipped: Shipped,
    links: RunLinks | None = None,
    served: Served | None = None,
) -> Answer:
    """Write all files of a report; return its answer."""
    manifest, methods = data.manifest, data.methods
    table = tables.build(manifest, methods)
    to_run = {result.cell.key for method in methods for result in method.tried if result.num_to_run}
    found = findings.find(table, methods, equal_score.at_equal_score(manifest, data.points(), to_run))
    said = answer.answer(found)
    grid, statistics = grids.of_table(table), grids.of_findings(found)
    texts = {f"table.{ending}": text for ending, text in formats.by_ending(table, grid).items()}
    texts |= {ROWS: as_json(shipped), STATISTICS: formats.statistics_markdown(statistics)}
    texts |= {COMPARISONS: formats.comparisons_csv(found.compared)} if found.compared else {}
    texts |= {CURVES: threshold_curves.as_json(data.curves)} if data.curves else {}
    if manifest.selection is not None:
        texts[CONFIGURATIONS] = configurations.as_csv(manifest, manifest.selection, methods)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    pictures = page.pictures_of(figures.draw(data), as_svg=served is None)  # a page that is served has no files
    drawn = {f"{FIGURES}/{name}": content for picture in pictures for name, content in picture.files.items()}
    (folder / FIGURES).mkdir()
    for name, content in drawn.items():
        (folder / name).write_bytes(content)
    names = [*texts, *drawn]
    html = page.render(
        data, found, said, shipped.provenance, pictures, [*charts.draw(data, table)], names, links, served
    )
    (folder / PAGE).write_text(html, encoding="utf-8")
    return said


def _publish(made: Path, out: Path, replaced: Sequence[figures.Kind] = figures.FIGURES) -> None:
    """Copy the files of a finished report, and remove those of an earlier one that this one does not have.

    StoreError as of ``make_room``, before any file is changed.
    """
    targets = {path: out / path.relative_to(made) for path in sorted(made.rglob("*")) if path.is_file()}
    for target in targets.values():
        make_room(target)
    old = [
        *(out / name for name in (CONFIGURATIONS, COMPARISONS, CURVES)),
        *(out / FIGURES / f"{kind.name}.{ending}" for kind in replaced for ending in ("png", "svg")),
    ]
    for path in old:
        path.unlink(missing_ok=True)
    for path, target in targets.items():
        shutil.copyfile(path, target)


def make_room(target: Path) -> None:
    """Make the folder of a file that is to be written.

    StoreError where that cannot be, or where something that is no file stands in its place.
    """
    try:
        check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}") from error
