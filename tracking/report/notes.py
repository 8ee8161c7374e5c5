"""What a report says in the descriptions of its sweep and of the cells that stand for its methods, as Markdown."""

from collections.abc import Mapping, Sequence

from tracking.results.cells import MethodResult
from tracking.store.notes import link_to_pages
from tracking.tables.answer import Answer
from tracking.tables.formats import markdown_item, markdown_text

_MOST_DETAILS = 10


def of_sweep(said: Answer, report: str) -> str:
    """Return the answer. ``report``: a link to the report, as Markdown."""
    items = "\n".join(map(markdown_item, [*said.beside, *said.details][:_MOST_DETAILS]))
    return "\n\n".join(filter(None, [markdown_text(said.headline), items, report]))


def of_cells(said: Answer, methods: Sequence[MethodResult], report: str) -> Mapping[str, str]:
    """Return by cell key the rows of the methods that a cell stands for."""
    rows: dict[str, list[str]] = {}
    for method in methods:
        if method.chosen is not None and method.label in said.methods:
            count = f"{len(method.chosen.rows)} of {method.chosen.num_expected} seeds"
            rows.setdefault(method.chosen.cell.key, []).append(f"{said.methods[method.label]} ({count}).")
    return {key: "\n\n".join([*map(markdown_text, found), report]) for key, found in rows.items()}


def link(experiment_id: str, run_id: str, page: str, name: str) -> str:
    """Return links from anywhere in the UI, whatever its address: to the page of the report run, and to the sweep's."""
    report = f"[The report](#/experiments/{experiment_id}/runs/{run_id}/artifacts/report/{page})"
    return f"{report}. {link_to_pages(name)}"
