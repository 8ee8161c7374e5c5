"""Writes README.md and reproduction.md from their templates, and index.html; all in them is computed from the rows.

Run ``python docs/results/page.py`` after a change of the text or of the rows; a test holds the page to both.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import Counter
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import get_args

import code_features
import questions
import recovery
import rivals
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from page_parts import filled, spread
from questions import Level, Question

from tracking.report import index
from tracking.results import cells, equal_score, fronts, inference, threshold_curves
from tracking.results.cells import CellResult
from tracking.results.inference import Comparison
from tracking.results.rows_file import load
from tracking.tables import columns, findings, grids, verdicts
from tracking.tables import table as tables
from tracking.tables.columns import Column

HERE = Path(__file__).parent
PAGES = (HERE / "README.md", HERE / "reproduction.md")
"""Each with its template beside it."""
INDEX = HERE / index.INDEX

_KEYS = {
    "before": columns.SCORE_BEFORE,
    "score": columns.SCORE_AFTER,
    "weights": columns.DENSITY,
    "compression": columns.COMPRESSION,
    "published neurons": columns.NEURONS,
    "neurons": columns.ALIVE,
    "hidden": columns.HIDDEN,
    "dense size": columns.DENSE_SIZE,
    "dense compression": columns.DENSE_COMPRESSION,
}
"""What the template calls the columns of a table; others by their key."""

SETTINGS = {"0.05", "0.25", "0.5", "0.9", "0.98", "0.0108", "0.0130", "96.53", "98.03"}
"""Fractions that the text may hold beside its expressions: settings, and the scores that the grids are read at."""


class Results:
    """A shipped sweep, as the template asks for it. Shares are given in points of a hundred.

    A request that carries a statement (less, holds) fails where the rows say otherwise.
    """

    def __init__(self, name: str) -> None:
        """``name``: of a folder beside this file."""
        shipped = load(HERE / name / "rows.json")
        self.manifest = shipped.manifest
        self.methods = {method.label: method for method in cells.gather(shipped.manifest, shipped.snapshot)}
        self.curves = threshold_curves.load(HERE / name / "curves.json", shipped.manifest.score)
        self.table = tables.build(self.manifest, tuple(self.methods.values()))
        self._columns = {column.key: column for column in self.table.columns}

    @cached_property
    def _equal(self) -> equal_score.EqualScore:
        points = {label: fronts.points(self.manifest, method, self.curves) for label, method in self.methods.items()}
        return equal_score.at_equal_score(self.manifest, points)

    @cached_property
    def _findings(self) -> findings.Findings:
        return findings.find(self.table, tuple(self.methods.values()), equal_score.EqualScore())

    def column(self, key: str) -> Column:
        """Return the column that the template calls ``key``."""
        return self._columns[_KEYS.get(key, key)]

    def chosen(self, label: str) -> CellResult:
        """Return the cell that stands for a method."""
        found = self.methods[label].chosen
        assert found is not None, label
        return found

    def coefficient(self, label: str, name: str) -> str:
        """Return a coefficient of the chosen cell, as it is written in a sweep file."""
        return f"{self.chosen(label).cell.regularization.get(name, 0.0):g}"

    def values(self, label: str, key: str) -> list[float]:
        """Return the finite values of a column, one per seed that has one."""
        column = self.column(key)
        found = [column.value(row) for row in self.chosen(label).rows]
        return [column.scale * value for value in found if value is not None]

    def mean(self, label: str, key: str, decimals: int) -> str:
        """Return mean ± standard deviation over seeds."""
        values = self.values(label, key)
        assert len(values) == len(self.manifest.seeds), (label, key)
        return spread(values, decimals)

    def range(self, label: str, key: str, decimals: int) -> str:
        """Return the smallest and the largest value of a seed."""
        values = self.values(label, key)
        return f"{min(values):.{decimals}f} to {max(values):.{decimals}f}"

    def geometric(self, label: str) -> str:
        """Return the geometric mean of the score over seeds, to two digits."""
        return _in_tens(statistics.geometric_mean(self.values(label, "score")))

    def published(self, label: str, key: str, decimals: int) -> str:
        """Return the published figure that stands beside a method's."""
        row = next(row for row in self.table.rows if row.label == label)
        column = self.column(key)
        return f"{column.scale * float(row.published[column.key].value):.{decimals}f}"

    def inside(self, label: str, key: str) -> str:
        """Return nothing; fail where the published figure beside a method's is not inside."""
        row = next(row for row in self.table.rows if row.label == label)
        verdict = row.verdict(self.column(key))
        assert verdict is not None, (label, key)
        assert verdict.word == "inside", verdict
        return ""

    def supports(self, label: str) -> int:
        """Return for how many seeds the chosen cell finds exactly the true coefficients."""
        return _supports(self.chosen(label))

    def most_supports(self, label: str, decay: float | None = None) -> int:
        """Return the most seeds for which one configuration of a method finds exactly the true coefficients."""
        return max(_supports(result) for result in self._tried(label, decay))

    def fewest_weights(self, label: str, decay: float) -> str:
        """Return the smallest mean share of weights left of a method's configurations with one decay of the rate."""
        shares = (result.stat(lambda row: row.counts.density) for result in self._tried(label, decay))
        return f"{100 * min(share.mean for share in shares if share is not None):.0f}"

    def validation(self, label: str, decay: float) -> str:
        """Return the geometric mean of the validation error of a method's only configuration with this decay."""
        (result,) = self._tried(label, decay)
        errors = [row.metrics[f"validation/{self.manifest.score}/after_pruning"] for row in result.rows]
        return _in_tens(statistics.geometric_mean(errors))

    def _tried(self, label: str, decay: float | None) -> list[CellResult]:
        tried = [result for result in self.methods[label].tried if result.complete]
        return [result for result in tried if decay in (None, result.cell.phases[0].learning_rate_decay)]

    def tried(self, label: str) -> int:
        """Return how many configurations of a method there were."""
        return len(self.methods[label].tried)

    def compare(self, first: str, second: str, key: str) -> Comparison:
        """Return the comparison of two methods, ``first`` minus ``second``."""
        found = self._findings.comparison(self.column(key).plain.title, first, second)
        if found is None:
            raise KeyError((first, second, key))
        return found

    def less(self, first: str, second: str, key: str, decimals: int) -> str:
        """Return by how much ``first`` is below ``second``, with the 95 % interval of a mean difference that holds."""
        item = self.compare(first, second, key)
        assert item.difference < 0, (first, second, key, item)
        assert item.holds, (first, second, key, item)
        scale = self.column(key).scale
        mean, low, high = (-scale * value for value in (item.difference, item.interval.high, item.interval.low))
        return f"{mean:.{decimals}f} (95 % interval {low:.{decimals}f} to {high:.{decimals}f})"

    def factor(self, first: str, second: str, key: str = "score") -> str:
        """Return how many times ``second`` ``first`` is, of geometric means that differ, with the 95 % interval."""
        item = self.compare(first, second, key)
        assert item.is_ratio, item
        assert item.holds, (first, second, key, item)
        return _ratio(item)

    def factor_with_outputs(self, first: str, second: str) -> str:
        """Return how many times ``second``'s dense size ``first``'s is where all outputs stay, if that differs."""
        sizes = {
            label: {row.seed: math.log(row.counts.dense_size_with_outputs) for row in self.chosen(label).rows}
            for label in (first, second)
        }
        (item,) = inference.compare("", sizes, is_ratio=True)
        assert item.holds, (first, second, item)
        return _ratio(item)

    def at_threshold(self, label: str, threshold: float, name: str, decimals: int) -> str:
        """Return mean ± standard deviation of a figure of the curves, as ``density``; of shares in points."""
        by_seed = self.curves[self.chosen(label).cell.key].values()
        values = [point[name] for curve in by_seed for point in curve if point["threshold"] == threshold]
        assert len(values) == len(self.manifest.seeds), (label, threshold)
        scale = 1 if name.endswith("alive") else 100
        return spread([scale * value for value in values], decimals)

    def levels_note(self) -> str:
        """Return what the table at equal score says of its levels."""
        (note,) = grids.equal_score_notes(self._equal)
        return note.removeprefix("At equal score: ").rstrip(".")

    def left_at(self, level: str, left: str, label: str) -> str:
        """Return what a method has left at a validation score, as the table of statistics.md has it."""
        grid = grids.of_equal_score("", self._equal)
        column = next(place for place, title in enumerate(grid.head) if title.startswith(f"{label} (of "))
        return next(line[column] for line in grid.body if line[0] == f"{level}: fewest {left}")

    def times(self, level: str, left: str, first: str, second: str) -> str:
        """Return how many times ``second`` ``first`` has left at a validation score, with its 95 % interval."""
        for item in self._equal.compared:
            if item.quantity == f"{level}: fewest {left}" and {item.first, item.second} == {first, second}:
                return _ratio(item, turned=item.first == second)
        raise KeyError((level, left, first, second))

    def not_shown(self, first: str, second: str, *keys: str) -> str:
        """Return nothing; fail where a difference of two methods in one of the quantities is shown."""
        for key in keys:
            item = self.compare(first, second, key)
            assert not item.holds, (first, second, key, item)
        return ""


def _ratio(item: Comparison, *, turned: bool = False) -> str:
    sign = -1 if turned else 1
    low, mean, high = sorted(
        inference.exp(sign * value) for value in (item.difference, item.interval.low, item.interval.high)
    )
    kind = ".3f" if 0.5 < mean < 2 else ".3g"
    return f"{mean:{kind}} (95 % interval {low:{kind}} to {high:{kind}})"


def verdicts_of(*names: str, method: str | None = None) -> dict[str, int]:
    """Return how many published figures of some sweeps have which verdict; ``own_``: that do not follow from others.

    ``method``: of this row alone.
    """
    judged = [
        (column.key, verdict)
        for name in names
        for row, column, verdict in results(name).table.judged
        if method in (None, row.label)
    ]
    counted = verdicts.count(judged)
    every = {"inside": 0, "equal": 0, "outside": 0, "none": 0, **counted.all}
    own = {f"own_{word}": number for word, number in counted.of_their_own.items()}
    return {"total": counted.all.total(), "own": counted.of_their_own.total(), **every, **own}


def _in_tens(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-")


def _supports(result: CellResult) -> int:
    return sum(row.metrics["support/exact"] == 1 for row in result.rows)


@cache
def results(name: str) -> Results:
    """Return a shipped sweep."""
    return Results(name)


def template(page: Path) -> Path:
    """Return what a page is made from."""
    return page.with_name(f"{page.name}.jinja")


def render(page: Path) -> str:
    """Return a page."""
    environment = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True)
    return _wrapped(
        environment.get_template(template(page).name).render(
            R=results,
            verdicts=verdicts_of,
            written=_written,
            answered=_questions(),
            answer=_answer,
            holds_at=_holds_at,
            with_outputs=_with_outputs,
            not_reached=_not_reached,
            carried_over=_carried_over,
            recipes=_recipes,
            recovery=_recovery,
            rivals=_rivals,
            rival=_rival,
            code_features=_code_features,
            hours=_hours,
            minutes=_minutes,
            rival_minutes=_rival_minutes,
        )
    )


def _written(network: str) -> int:
    """Return the weights of a smaller network in ``compact``, by its name there."""
    found = json.loads((HERE / "compact" / "results.json").read_text(encoding="utf-8"))
    return int(found[network]["after"]["num_weights"])


@cache
def _questions() -> dict[str, Question]:
    """Return the questions of ``plans`` whose sweeps were run, by name."""
    return {question.name: question for question in questions.answered()}


def _answer(name: str) -> str:
    """Return the verdicts of the plan of that name."""
    return questions.summary(_questions()[name], _levels(name))


def _holds_at(name: str, first: str, second: str, size: str, *drops: float, more: bool) -> str:
    """Return nothing; fail where a difference does not hold at a level, with ``first`` above (or not) ``second``."""
    found = {
        level.drop: item
        for level, item in _compared(name)
        if (item.first, item.second, level.size) == (first, second, size)
    }
    for drop in drops:
        assert found[drop].holds, (name, first, second, size, drop)
        assert (found[drop].difference > 0) == more, (name, first, second, size, drop)
    return ""


@cache
def _levels(name: str) -> list[Level]:
    return _questions()[name].levels()


def _compared(name: str) -> list[tuple[Level, Comparison]]:
    return questions.compared(_questions()[name], _levels(name))


def _not_reached(name: str, method: str, *drops: float) -> str:
    """Return nothing; fail where a method has a reading at one of these levels."""
    read = [level for level in _levels(name) if level.drop in drops and level.estimates[method] is not None]
    assert not read, (name, method, read)
    return ""


def _with_outputs(name: str, first: str, second: str, drop: float) -> str:
    """Return how many times ``second``'s dense size ``first``'s is at a level where all outputs stay, if it holds."""
    (item,) = [
        item
        for level, item in questions.with_outputs(_questions()[name])
        if (item.first, item.second, level.drop) == (first, second, drop)
    ]
    assert item.holds, (name, first, second, drop)
    return _ratio(item)


def _carried_over(first: str, second: str) -> str:
    """Return what becomes in another answer of the comparisons that hold in one."""
    one, other = (
        {(level.title, item.first, item.second): (level, item) for level, item in _compared(name)}
        for name in (first, second)
    )
    words = Counter(_what_became(item, other.get(key)) for key, (_, item) in one.items() if item.holds)
    return (
        f"Of the {words.total()} differences that hold on MNIST {words['same']} hold there too with the same sign, "
        f"{words['opposite']} with the opposite one; {words['equal']} are equal there, {words['not shown']} not shown, "
        f"and {words['not reached']} not reached."
    )


def _what_became(item: Comparison, there: tuple[Level, Comparison] | None) -> str:
    if there is None:
        return "not reached"
    word = questions.verdict(*there)
    if word != "holds":
        return word
    return "same" if (item.difference > 0) == (there[1].difference > 0) else "opposite"


def _recipes() -> str:
    """Return the first table of ``recipes/README.md``, with links from here."""
    text = (HERE / "recipes" / "README.md").read_text("utf-8")
    (table,) = re.findall(r"^\| recipe \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    return str(table).strip().replace("](", "](recipes/")


@cache
def _rivals(key: str, kind: rivals.Kind, *, further: bool = False) -> str:
    """Return our table of a network and a kind as ``rivals/`` has it, with links from here; nothing if none was run.

    ``further``: of other images or another teacher.
    """
    network = next(network for network in rivals.NETWORKS if network.key == key)
    found = rivals.apart(rivals.entries(network))[further] if network.folders else []
    return rivals.table(kind, found, HERE) if found else ""


@cache
def _rival(sweep: str) -> dict[str, str]:
    """Return the mean test error of a sweep of rivals or recipes in percent, and its mean compressions."""
    found = [entry for network in rivals.NETWORKS if network.folders for entry in rivals.entries(network)]
    (entry,) = [entry for entry in found if entry.folder.name == sweep]
    compressions = {kind: f"{statistics.fmean(entry.compressions(kind)):.0f}" for kind in get_args(rivals.Kind)}
    return {"error": f"{statistics.fmean(entry.errors):.2f}", **compressions}


def _code_features() -> str:
    """Return the table of ``code-features/``; nothing where it was not measured."""
    return code_features.table(code_features.read()) if code_features.RESULTS.exists() else ""


def _recovery() -> tuple[str, int]:
    """Return what is seen of recovery, as its page says it, and how many ensembles that is of."""
    _, ensembles = recovery.page()
    return recovery.seen(ensembles), len(ensembles)


def _hours() -> str:
    """Return the wall time of the reproduction's sweeps, as its table has them."""
    names = re.findall(
        r'^\| \[.*\| {{ minutes\("(\S+)"\) }} min \|', template(PAGES[1]).read_text("utf-8"), re.MULTILINE
    )
    assert names
    return f"{_minutes(*names) / 60:.0f}"


def _minutes(*folders: str) -> int:
    """Return the wall time of sweeps, by folder, each from its first start to its last end."""
    return round(sum(map(_wall_minutes, folders)))


def _wall_minutes(folder: str) -> float:
    date = load(HERE / folder / "rows.json").provenance["Date"]
    found = re.fullmatch(r"(\S+) (\S+) to (?:(\S+) )?(\S+) UTC", date)
    assert found is not None, date
    begin, end = (
        datetime.fromisoformat(text) for text in (f"{found[1]} {found[2]}", f"{found[3] or found[1]} {found[4]}")
    )
    return (end - begin).total_seconds() / 60


def _rival_minutes() -> int:
    return _minutes(*(f"rivals/{path.parent.name}" for path in (HERE / "rivals").glob("*/rows.json")))


def _wrapped(text: str) -> str:
    """Fill the lines of paragraphs and lists; tables and headings stay as they are."""
    blocks = []
    for block in re.split(r"\n{2,}", text.strip()):
        parts = re.split(r"\n(?=- )", block)
        if not block.startswith(("|", "#")):
            parts = [filled(" ".join(part.split()), indent="  " * part.startswith("- ")) for part in parts]
        blocks.append("\n".join(parts))
    return "\n\n".join(blocks) + "\n"


def render_index() -> str:
    """Return the page over all shipped sweeps."""
    return index.render(index.of_rows(HERE, "table.md"))


if __name__ == "__main__":
    INDEX.write_text(render_index(), encoding="utf-8")
    for page in PAGES:
        page.write_text(render(page), encoding="utf-8")
