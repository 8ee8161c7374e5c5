"""The page of a report: what its template is filled with."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tracking import figures
from tracking.figures import Drawn, FigureData
from tracking.manifest import Manifest, ManifestMethod
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
from tracking.tables import formats
from tracking.tables.grids import Grid, Statistics
from tracking.tables.number_text import MISSING


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it."""

    name: str
    heading: str
    caption: str
    png: bytes

    @classmethod
    def of(cls, drawn: Drawn) -> "Picture":
        """Return a drawn figure as it is written to a file."""
        return cls(drawn.name, drawn.heading, drawn.caption, figures.as_png(drawn.figure))

    @property
    def uri(self) -> str:
        """The picture itself, as an address that a page can show."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def render(
    data: FigureData,
    table: Grid,
    statistics: Statistics,
    provenance: Provenance,
    pictures: Sequence[Picture],
    names: Sequence[str],
) -> str:
    """Return the page as HTML. ``names``: the files beside it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = files("tracking.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(text)
    return template.render(
        manifest=data.manifest,
        subtitle=_subtitle(data.manifest),
        facts=[*_facts(data.manifest, data.methods), *provenance.items()],
        methods=[_method(*pair) for pair in zip(data.manifest.methods, data.methods, strict=True)],
        table=Markup(formats.as_html(replace(table, notes=()))),
        notes=table.notes,
        grids=[(grid.title, Markup(formats.html_table(grid))) for grid in statistics.grids],
        statistics=statistics,
        pictures=pictures,
        missing=data.missing,
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
