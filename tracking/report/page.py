"""The page of a report: what its template is filled with."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from markupsafe import Markup

from dn_distributed.text import counted
from tracking import charts, figures
from tracking.charts import Chart
from tracking.figures import Drawn, FigureData
from tracking.manifest import Manifest, ManifestMethod
from tracking.report import results_table, templates
from tracking.report.wording import (
    coefficients_in_words,
    distinct,
    identity_in_words,
    pruning_in_words,
    seeds_in_words,
    training_in_words,
)
from tracking.results.cells import MethodResult
from tracking.results.rows_file import Provenance
from tracking.tables import formats, grids
from tracking.tables.answer import Answer
from tracking.tables.columns import Column
from tracking.tables.findings import COMPARED, Findings
from tracking.tables.grids import Grid
from tracking.tables.number_text import MISSING, number

_MOST_TOLD = 8
"""Methods that the alternative text of a picture tells of."""
_MOST_RUNS = 2000
_MOST_OF_PICTURES = 450_000
"""Bytes; in a page a third more. With the script of its charts, tables and runs that is about two megabytes."""


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it."""

    name: str
    heading: str
    caption: str
    png: bytes
    shown: bytes
    """What the page holds, where that is a coarser one."""
    in_words: Sequence[str]
    """What it shows of each method."""
    svg: bytes | None
    """None where it is not asked for, or would be too large."""

    @property
    def alternative(self) -> str:
        """What stands for the picture where it cannot be seen."""
        told = self.in_words
        more = f"; and {len(told) - _MOST_TOLD} more methods" if len(told) > _MOST_TOLD else ""
        return f"{self.heading}. {'; '.join(told[:_MOST_TOLD])}{more}".rstrip(". ") + "."

    @property
    def files(self) -> dict[str, bytes]:
        """Its files by name."""
        return {f"{self.name}.png": self.png} | ({f"{self.name}.svg": self.svg} if self.svg is not None else {})

    @property
    def uri(self) -> str:
        """The picture itself, as an address that a page can show."""
        return f"data:image/png;base64,{base64.b64encode(self.shown).decode()}"


def pictures_of(drawn: Iterable[Drawn], *, as_svg: bool) -> list[Picture]:
    """Return drawn figures as files have them. In the page, the largest are coarser where all together are too much."""
    every = list(drawn)
    files = [figures.as_png(figure.figure) for figure in every]
    most = _most_of_each(list(map(len, files)))
    return [
        Picture(
            d.name,
            d.heading,
            d.caption,
            png,
            png if len(png) <= most else figures.as_png(d.figure, most),
            d.in_words,
            figures.as_svg(d.figure) if as_svg else None,
        )
        for d, png in zip(every, files, strict=True)
    ]


def _most_of_each(sizes: Sequence[int]) -> int:
    """How large a picture may be so that all are within ``_MOST_OF_PICTURES``; small ones leave room to the others."""
    room = _MOST_OF_PICTURES
    for place, size in enumerate(sorted(sizes)):
        share = room // (len(sizes) - place)
        if size > share:
            return share
        room -= size
    return _MOST_OF_PICTURES


@dataclass(frozen=True)
class Served:
    """Where a page's neighbours are, from the page, when a server shows it."""

    home: str
    """The page over all sweeps; their reports are in ``sweeps`` below it."""
    mlflow: str
    """The page of MLflow's UI."""


@dataclass(frozen=True)
class RunLinks:
    """Where a UI shows the runs of a sweep."""

    run: Callable[[str], str]
    """By the id of a run."""
    of_cells: Mapping[str, str]
    """By cell key the id of the run that stands for it."""

    def cell(self, key: str) -> str:
        """Return where the run of a cell is shown; nothing where it has none."""
        return self.run(self.of_cells[key]) if key in self.of_cells else ""


def render(
    data: FigureData,
    found: Findings,
    said: Answer,
    provenance: Provenance,
    pictures: Sequence[Picture],
    drawn: Sequence[Chart],
    names: Sequence[str],
    links: RunLinks | None = None,
    served: Served | None = None,
) -> str:
    """Return the page as HTML.

    ``drawn``: the charts, which stand for the pictures of the same name where JavaScript runs. ``names``: the files
    beside it. ``links``: where a UI shows the runs; None where none is known.
    """
    script = charts.script() if drawn else ""
    statistics = grids.of_findings(results_table.in_page_words(found))
    of_layers = results_table.layers(found.table)
    shown = {m.label: link for m in data.methods if links and m.chosen and (link := links.cell(m.chosen.cell.key))}
    return templates.load("report.html.jinja").render(
        manifest=data.manifest,
        subtitle=_subtitle(data.manifest),
        facts=[*_facts(data.manifest, data.methods), *provenance.items()],
        methods=[_method(*pair) for pair in zip(data.manifest.methods, data.methods, strict=True)],
        links=shown,
        answer=said,
        table=_html(results_table.totals(found), shown),
        layers=_html(of_layers, shown) if len(of_layers.body) > 1 else "",
        caption=results_table.CAPTION,
        notes=found.table.for_page.notes,
        runs=_runs(data.methods, found.table.columns, links.run if links else None),
        num_runs=sum(len(method.chosen.rows) for method in data.methods if method.chosen),
        grids=[(grid.title, _html(grid)) for grid in statistics.grids],
        statistics=statistics,
        pictures=pictures,
        drawn=[chart for chart in drawn if chart.name not in {picture.name for picture in pictures}],
        charts=Markup(charts.as_json(data.manifest, drawn, links.run("") if links else "")) if drawn else "",
        script=Markup(script),
        digest=templates.digest(script),
        missing=data.missing,
        names=names,
        served=served,
    )


def _html(grid: Grid, links: Mapping[str, str] | None = None) -> Markup:
    """A table whose empty heads are no heads: a reader that speaks has nothing to say of them."""
    return Markup(formats.html_table(grid, links or {}).replace("<th></th>", "<td></td>"))


@dataclass(frozen=True)
class _Run:
    """A line of the page's list of replicates."""

    label: str
    seed: int
    figures: Sequence[str]
    run_id: str
    link: str


def _runs(
    methods: Sequence[MethodResult], every: Sequence[Column], run_link: Callable[[str], str] | None
) -> dict[str, Any]:
    """The replicates that the table is over, with the quantities that methods are compared by."""
    shown = [column.for_page for column in every if column.key in COMPARED]
    labelled = ((method.label, row) for method in methods if method.chosen is not None for row in method.chosen.rows)
    lines = [
        _Run(
            label,
            row.seed,
            [MISSING if (value := column.value(row)) is None else number(column, value) for column in shown],
            row.run_id,
            run_link(row.run_id) if run_link is not None and row.run_id else "",
        )
        for label, row in islice(labelled, _MOST_RUNS)
    ]
    return {"head": [column.heading for column in shown], "lines": lines}


def _subtitle(manifest: Manifest) -> str:
    counts = {"method": len(manifest.methods), "seed": len(manifest.seeds)}
    words = ", ".join(counted(count, word) for word, count in counts.items())
    return f"{manifest.task} on {manifest.dataset}: {words}"


def _method(asked: ManifestMethod, method: MethodResult) -> dict[str, Any]:
    """A line of the page's list of methods."""
    finished = sum(len(result.rows) for result in method.tried)
    coefficients = coefficients_in_words([result.cell for result in method.tried])
    return {
        "label": method.label,
        "coefficients": "; ".join(filter(None, [coefficients, asked.fault])),
        "configurations": len(method.tried),
        "published": next((result.published for result in method.tried if result.published), MISSING),
        "finished": finished,
        "expected": sum(result.num_expected for result in method.tried),
    }


def _facts(manifest: Manifest, methods: Sequence[MethodResult]) -> Iterator[tuple[str, str]]:
    """What was run: name and value, in the order of the page."""
    tried = [result.cell for method in methods for result in method.tried]
    networks = [cell for cell in tried if cell.baseline is None]
    yield "Task", distinct(identity_in_words(cell.task) for cell in tried)
    yield "Dataset", distinct(identity_in_words(cell.dataset) for cell in tried)
    yield "Dataset SHA-256", distinct(cell.dataset_digest for cell in tried)
    yield "Training", distinct(training_in_words(cell.phases) for cell in networks)
    yield "Pruning", distinct(pruning_in_words(cell) for cell in networks)
    better = "higher" if manifest.score_higher_is_better else "lower"
    yield "Score", f"{manifest.score}, {better} is better"
    yield "Seeds", seeds_in_words(manifest.seeds)
