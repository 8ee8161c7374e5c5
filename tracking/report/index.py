"""One page over all sweeps: a line a method, to filter and to sort, with links to the reports."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from tracking.errors import StoreError
from tracking.manifest import Manifest
from tracking.report import small_multiples, templates
from tracking.report.files import PAGE, ROWS, make_room
from tracking.report.page import Served
from tracking.report.small_multiples import Measured, Scatter
from tracking.results import cells
from tracking.results import rows as reader
from tracking.results.cells import MethodResult
from tracking.results.rows_file import load
from tracking.store import cell_runs, runs, ui_view
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore
from tracking.tables import columns, number_text
from tracking.tables import table as tables
from tracking.tables.table import TableRow

INDEX = "index.html"
_COLUMNS = (columns.SCORE_AFTER, columns.DENSITY, columns.ALIVE, columns.DENSE_SIZE)
_HEADINGS = ("test score", "weights left (%)", "neurons alive", "dense size")


@dataclass(frozen=True)
class Listed:
    """A sweep as the page lists it."""

    manifest: Manifest
    methods: Sequence[MethodResult]
    link: str = ""
    """Where its report or its table is, from the page; empty where there is none."""
    in_ui: str = ""
    """Where the server's UI opens it."""
    runs_in_ui: Mapping[str, str] = field(default_factory=dict)
    """By cell key where the UI opens the run that stands for the cell."""

    @property
    def method_links(self) -> Mapping[str, str]:
        """By label where the UI opens the run of a method's cell, of those that have one."""
        chosen = {method.label: method.chosen.cell.key for method in self.methods if method.chosen is not None}
        return {label: self.runs_in_ui[key] for label, key in chosen.items() if key in self.runs_in_ui}


@dataclass(frozen=True)
class _Cell:
    """A quantity of a method: its text, and the number that it is sorted by."""

    text: str
    more: str = ""
    value: float | None = None


def write_index(
    location: StoreLocation,
    folder: Path,
    tell: Callable[[str], None] = lambda text: None,
    *,
    served: Served | None = None,
) -> Path:
    """Write the page over all sweeps of a store into ``folder``, and return it.

    It links the reports that lie beside it in folders called as their sweeps; where it is ``served`` beside MLflow's
    UI, every report, and the UI. StoreError where the store cannot be read, or something that is no file stands in the
    page's place. ``tell`` gets a line for each sweep that cannot be read, as one that another version of this project
    wrote.
    """
    page = folder / INDEX
    text = render(_of_store(location, folder, tell, served), served)
    make_room(page)
    page.write_text(text, encoding="utf-8")
    return page


def _of_store(
    location: StoreLocation, folder: Path, tell: Callable[[str], None], served: Served | None
) -> Iterator[Listed]:
    for name in SweepStore.names(location):
        try:
            sweep = SweepStore.find(location, name)
            known = runs.find_manifest(sweep)
            methods = cells.gather(known[1], reader.read(sweep)) if known is not None else ()
        except StoreError as error:
            tell(f"{name}: {error}")
            continue
        if known is None:  # an experiment that is no sweep
            continue
        if served is not None:
            link, ui = ui_view.sweep_link(name, served.home), served.mlflow
        else:
            link = f"{name}/{PAGE}" if (folder / name / PAGE).is_file() else ""
            ui = "" if location.database is not None else ui_view.page_of(location.uri)
        if not ui:
            yield Listed(known[1], methods, link)
            continue
        ids = cell_runs.runs_by_cell(sweep)
        linked = {key: ui_view.run_link(ui, sweep.experiment_id, run_id) for key, run_id in ids.items()}
        yield Listed(known[1], methods, link, ui_view.link(ui, sweep.experiment_id), linked)


def of_rows(folder: Path, page: str) -> Iterator[Listed]:
    """Yield the sweeps whose rows lie in folders below this one. ``page``: what is linked beside the rows."""
    for path in sorted(folder.rglob(ROWS)):
        shipped = load(path)
        link = (path.parent.relative_to(folder) / page).as_posix()
        yield Listed(shipped.manifest, cells.gather(shipped.manifest, shipped.snapshot), link)


def render(sweeps: Iterable[Listed], served: Served | None = None) -> str:
    """Return the page as HTML: a table without JavaScript, and with it one to filter and to sort."""
    script = files("tracking.report").joinpath("index.js").read_text(encoding="utf-8")
    listed = list(sweeps)
    return templates.load("index.html.jinja").render(
        sweeps=[(sweep, lines, _scatter(sweep, lines)) for sweep in listed for lines in [list(_lines(sweep))]],
        picture=(small_multiples.WIDTH, small_multiples.HEIGHT),
        headings=_HEADINGS,
        num_methods=sum(len(sweep.methods) for sweep in listed),
        script=Markup(script),
        digest=templates.digest(script),
        served=served,
    )


def _lines(sweep: Listed) -> Iterator[tuple[TableRow, list[_Cell]]]:
    table = tables.build(sweep.manifest, sweep.methods)
    by_key = {column.key: column for column in table.columns}
    for row in table.rows:
        found = []
        for key in _COLUMNS:
            stat = row.stats.get(key)
            if stat is None:
                found.append(_Cell(number_text.MISSING))
                continue
            column = by_key[key]
            average = stat.geometric.mean if column.by_ratio and stat.geometric else stat.mean
            unit = " %" if column.kind == "percent" and key == columns.SCORE_AFTER else ""
            interval = number_text.mean_interval(column, stat) if stat.n > 1 else ""
            total = f" of {column.total}" if column.total is not None else ""
            found.append(_Cell(f"{number_text.in_prose(column, average)}{unit}{total}", interval, average))
        yield row, found


def _scatter(sweep: Listed, lines: Sequence[tuple[TableRow, Sequence[_Cell]]]) -> Scatter | None:
    score, left = _COLUMNS.index(columns.SCORE_AFTER), _COLUMNS.index(columns.DENSITY)
    pairs = [(row.label, figures[score], figures[left]) for row, figures in lines]
    measured = [
        Measured(label, of_score.value, of_left.value, of_score.text, of_left.text)
        for label, of_score, of_left in pairs
        if of_score.value is not None and of_left.value is not None
    ]
    return small_multiples.scatter(sweep.manifest, measured)
