"""Descriptions that MLflow's UI shows of a sweep, of cells and of replicates.

What a person has written in one stays.
"""

import math
import re
from collections.abc import Iterator, Mapping

from dn_distributed import score_names
from dn_distributed.config import Cell
from dn_distributed.text import as_markdown, one_line
from tracking import schema
from tracking.store import ui_view
from tracking.store.runs import one_per_cell
from tracking.store.sweep_store import SweepStore

NOTE = "mlflow.note.content"
_BEGIN, _END = "\u2063\u2063", "<!-- end of dn report -->"
"""Around what a report wrote. MLflow's list of experiments shows a description as plain text: the first is invisible
(no label has such a character, since what cannot be printed is escaped)."""
_EARLIER_BEGIN = "<!-- dn report -->"
"""What earlier versions wrote in front."""
_TEST_SCORE = re.compile(score_names.final("test", "[^/]+"))
_LONGEST_OF_EXPERIMENT = 5000
"""Characters that MLflow takes as a tag of an experiment."""


def write_notes(sweep: SweepStore, of_sweep: str, of_cells: Mapping[str, str]) -> None:
    """Write Markdown texts: of the sweep to its experiment, of cells by key to their runs."""
    client = sweep.client
    old = client.get_experiment(sweep.experiment_id).tags.get(NOTE, "")
    new = with_part(old, of_sweep)
    if len(new) > _LONGEST_OF_EXPERIMENT:
        new = with_part(old, of_sweep.partition("\n\n")[0])
    if new != old and len(new) <= _LONGEST_OF_EXPERIMENT:
        client.set_experiment_tag(sweep.experiment_id, NOTE, new)
    records = sweep.records("cell", tags=(schema.CELL_KEY, schema.SUMMARIZED, NOTE))
    for key, record in one_per_cell(records).items():
        old = record.tags.get(NOTE, "")
        new = with_part(old, of_cells.get(key, ""))  # it may stand for its method no more
        if new != old and len(new) <= schema.LONGEST_TAG:
            client.set_tag(record.run_id, NOTE, new)


def link_to_pages(name: str) -> str:
    """Return links, as Markdown, to the pages of ``dn ui`` and ``dn server`` of the sweep and of all sweeps."""
    return f"[This sweep, as it is now]({ui_view.sweep_link(name)}); [all sweeps](./)."


def of_replicate(name: str, label: str, seed: int, cell: Cell, figures: Mapping[str, float], before: str = "") -> str:
    """Return what the run of a finished replicate of the sweep ``name`` says of itself, as Markdown.

    ``figures``: its final ones, with which it is written: it costs no request. ``before``: what is there of it.
    """
    settings = ", ".join(f"{key} {value:g}" for key, value in cell.regularization.items() if value) or "no penalty"
    scores = ", ".join(_scores(figures))
    neurons = sum(value for name, value in figures.items() if re.fullmatch(schema.units(".*", "alive"), name))
    left = f"{100 * figures.get(schema.DENSITY, math.nan):.4g} % of the weights and {neurons:g} neurons are left"
    what = as_markdown(one_line(f"{label}, seed {seed} ({settings})", schema.LONGEST_TEXT))
    return with_part(before, f"{what}. On test data after pruning: {scores}; {left}.\n\n{link_to_pages(name)}")


def _scores(figures: Mapping[str, float]) -> Iterator[str]:
    """The test scores after pruning, loss last."""
    found = {name.split("/")[1]: value for name, value in figures.items() if _TEST_SCORE.fullmatch(name)}
    for score in sorted(found, key=lambda score: (score == "loss", score)):
        yield f"accuracy {100 * found[score]:.4g} %" if score == "accuracy" else f"{score} {found[score]:.4g}"


def write_link(sweep: SweepStore, name: str) -> None:
    """Lead from the experiment of a sweep that no report has described yet to its page."""
    old = sweep.client.get_experiment(sweep.experiment_id).tags.get(NOTE, "")
    if _BEGIN not in old and _EARLIER_BEGIN not in old:
        sweep.client.set_experiment_tag(sweep.experiment_id, NOTE, with_part(old, link_to_pages(name)))


def with_part(note: str, part: str) -> str:
    """Return a note with ``part`` in place of the one that an earlier report wrote, or behind what is there.

    With an empty one, what is there of an earlier report goes.
    """
    marked = f"{_BEGIN}{part}\n{_END}" if part else ""
    before, begin, rest = note.partition(_BEGIN if _BEGIN in note else _EARLIER_BEGIN)
    if begin and _END in rest:
        return f"{before}{marked}{rest.rpartition(_END)[2]}"
    return f"{note}\n\n{marked}" if note and marked else note or marked
