"""Writes ``rivals/README.md`` and ``rivals/lenet5-caffe.md``: rivals in one harness, beside published records.

    dn sweep sweeps/rivals/*.yaml --report docs/results/rivals
    python docs/results/rivals.py

All figures of ours are computed from the rows in ``rivals/`` and ``recipes/``; the records are in ``records.yaml``.
"""

import itertools
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import page_parts
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy import stats

from dn_distributed.config import Training
from dn_distributed.score_names import final
from tracking import load_rows
from tracking.figures import style
from tracking.results.cells import MethodResult
from tracking.results.rows import Row

Kind = Literal["structured", "mixed"]

HERE = Path(__file__).parent
FOLDER = HERE / "rivals"
RECORDS = FOLDER / "records.yaml"
SWEEPS = HERE.parents[1] / "sweeps" / "rivals"
_TRAINED = 55_000
_ROUNDING = 1e-9
"""Of means that are held against published figures: 100 · (1 − 0.97) is a little above 3."""
_KINDS = ("rival", _FURTHER := "further")
"""What names of sweeps begin with."""


@dataclass(frozen=True)
class Place:
    """A point of a panel: compression to the right, test error upwards, and one standard deviation each way."""

    name: str
    across: float
    up: float
    across_spread: float = 0.0
    up_spread: float = 0.0

    @property
    def ends(self) -> tuple[tuple[float, float], ...]:
        """Of its error bars, the left and right ones first."""
        right, above = self.across_spread, self.up_spread
        ways = ((-right, 0.0), (right, 0.0), (0.0, -above), (0.0, above))
        return tuple((self.across + along, self.up + upwards) for along, upwards in ways)


@dataclass(frozen=True)
class Network:
    """A network that all methods make smaller, on a page of its own."""

    title: str
    key: str
    """In the names of its sweeps, of its plan, and of its records."""
    recipes: tuple[str, ...]
    page: Path

    @property
    def figure(self) -> Path:
        """The picture of the page."""
        return FOLDER / f"{self.key}.png"

    @property
    def folders(self) -> list[Path]:
        """Of the rivals that were run."""
        paths = (path for kind in _KINDS for path in FOLDER.glob(f"{kind}-{self.key}-*/rows.json"))
        return sorted(path.parent for path in paths)

    @property
    def planned(self) -> set[str]:
        """The names of all planned sweeps."""
        rivals, further = (SWEEPS.glob(f"{start}{self.key}-*.yaml") for start in ("", f"{_FURTHER}-"))
        return {*(f"rival-{path.stem}" for path in rivals), *(path.stem for path in further)}

    def records(self) -> dict[str, Any]:
        """Return the published figures, by kind."""
        found: dict[str, Any] = yaml.safe_load(RECORDS.read_text("utf-8"))[self.key]
        return found


NETWORKS = (
    Network("LeNet-300-100", "lenet300", ("recipe-lenet300-20x", "recipe-lenet300-30x"), FOLDER / "README.md"),
    Network("Caffe's LeNet-5", "lenet5-caffe", ("recipe-lenet5-caffe-160x",), FOLDER / "lenet5-caffe.md"),
)

_HEAD = """# Rivals on {title}, in one harness

By the [plan](../plans/rivals-{key}.md), which was written before the runs: MNIST, 55 000 images train, 10 000 test;
five seeds each, measured after the last step; every method has one configuration, and none was tuned on what is shown.
Networks of a table are not at equal score: it orders nothing, and no difference is tested. Ordered by compression.

`python docs/results/rivals.py` writes this page. Sweep files: `sweeps/rivals/` and `sweeps/recipes/`."""


@dataclass(frozen=True)
class Entry:
    """One method: what its replicates are."""

    method: str
    folder: Path
    epochs: float
    rows: Sequence[Row]

    @property
    def is_further(self) -> bool:
        """Whether it is of the plan of further rows, which are mixed with no others."""
        return self.folder.name.startswith(_FURTHER)

    def compressions(self, kind: Kind) -> list[float]:
        """All weights of each replicate over those of its smaller dense network, or over the non-zero ones."""
        left = "dense_size" if kind == "structured" else "num_nonzero"
        return [_ratio(row.counts.num_weights, getattr(row.counts, left)) for row in self.rows]

    @property
    def errors(self) -> list[float]:
        """Test errors in percent."""
        return [100 * (1 - row.metrics[final("test", "accuracy", "after_pruning")]) for row in self.rows]

    @property
    def units(self) -> str:
        """Mean units left, inputs first."""
        layers = zip(*([unit.alive for unit in row.counts.units] for row in self.rows), strict=True)
        return "-".join(f"{statistics.fmean(layer):.0f}" for layer in layers)


def entries(network: Network) -> list[Entry]:
    """Return what is shown of a network, from the rows beside this program: methods of which all seeds are there."""
    found = []
    for folder, method in _methods(network):
        if method.chosen is not None and method.chosen.complete:
            label = method.label if folder.parent == FOLDER else f"recipe {folder.name.rpartition('-')[2]}"
            found.append(Entry(label, folder, _epochs(method.chosen.cell.phases), method.chosen.rows))
    return found


def missing(network: Network) -> list[str]:
    """Return what is planned and not there: sweeps, and methods of those that are."""
    sweeps = sorted(network.planned - {folder.name for folder in network.folders})
    shown = {(entry.folder, entry.method) for entry in entries(network)}
    methods = (
        f"{method.label} of `{folder.name}`"
        for folder, method in _methods(network)
        if folder.parent == FOLDER and (folder, method.label) not in shown
    )
    return [*(f"`{name}`" for name in sweeps), *methods]


def _methods(network: Network) -> Iterator[tuple[Path, MethodResult]]:
    for folder in (*network.folders, *(HERE / "recipes" / name for name in network.recipes)):
        for method in load_rows(folder / "rows.json").methods:
            yield folder, method


def apart(found: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the rivals, and the further rows."""
    return [entry for entry in found if not entry.is_further], [entry for entry in found if entry.is_further]


def _epochs(phases: Sequence[Training]) -> float:
    steps = 0
    for phase in phases:
        assert phase.steps is not None
        steps += phase.steps * phase.batch_size * (phase.prune.rounds if phase.prune is not None else 1)
    return steps / _TRAINED


def _ratio(whole: int, left: int) -> float:
    return whole / left if left else math.inf


def page(network: Network, found: Sequence[Entry]) -> str:
    """Return the page of a network."""
    picture = (
        f"![Compression against test error, our methods and published figures]({network.figure.name})\n\n"
        "Filled: ours, means with one standard deviation over seeds both ways. Hollow: published."
    )
    records, (rivals, further) = network.records(), apart(found)
    parts = [_HEAD.format(title=network.title, key=network.key), *_not_run(network), picture]
    for kind, title in _TITLES.items():
        parts += [f"## {title}", table(kind, rivals), _published(kind, records), _reached(kind, rivals, records[kind])]
    if further:
        parts += [_HEAD_OF_FURTHER, *_further_tables(further), *_distilled(further)]
    return "\n\n".join(parts) + "\n"


def _not_run(network: Network) -> Iterator[str]:
    if lacking := missing(network):
        yield f"Planned and not run: {', '.join(lacking)}."


_HEAD_OF_FURTHER = """## Further: other images, or another teacher than the labels

By a [plan](../plans/rivals-further.md) of their own, and mixed with none of the above: training images are moved by at
most a pixel each way, or what loses its units learns from the dense network too."""


def _further_tables(further: Sequence[Entry]) -> list[str]:
    return [part for kind, title in _TITLES.items() for part in (f"{title}:", table(kind, further))]


def _distilled(found: Sequence[Entry]) -> Iterator[str]:
    """Say what distillation adds, paired by seed: two sweeps that differ in nothing else."""
    by_sweep = {entry.folder.name: entry for entry in found}
    taught, alone = (by_sweep.get(f"{_FURTHER}-lenet300-{name}") for name in ("distilled", "dense-first"))
    if taught is None or alone is None:
        return
    assert [row.seed for row in taught.rows] == [row.seed for row in alone.rows]
    more = [one - other for one, other in zip(taught.errors, alone.errors, strict=True)]
    mean, half = statistics.fmean(more), stats.t.ppf(0.975, len(more) - 1) * stats.sem(more)
    shown = "is shown" if abs(mean) > half else "is not shown"
    yield (
        f"With distillation the test error is {mean:+.2f} points (95 % interval {mean - half:+.2f} to "
        f"{mean + half:+.2f}, paired by {len(more)} seeds) from that of the same without it: a difference {shown}."
    )


_TITLES: dict[Kind, str] = {
    "structured": "Structured: weights of the smaller dense network",
    "mixed": "Mixed: weights that are not zero",
}


def table(kind: Kind, found: Sequence[Entry], seen_from: Path = FOLDER) -> str:
    """Return our table of a kind, most compressed first, with links for a page in the folder ``seen_from``."""
    rows = []
    for entry in sorted(found, key=lambda entry: -statistics.fmean(entry.compressions(kind))):
        link = Path(os.path.relpath(entry.folder / "table.md", seen_from)).as_posix()
        compression, error = (page_parts.spread(values, 2) for values in (entry.compressions(kind), entry.errors))
        method, size = f"[{entry.method}]({link})", str(len(entry.rows))
        rows.append((method, size, f"{entry.epochs:.0f}", compression, error, entry.units))
    head = ("method", "n", "epochs", "compression", "test error (%)", "units left, inputs first")
    return page_parts.table(head, "lrrrrl", rows)


def _published(kind: Kind, records: dict[str, Any]) -> str:
    keys = ("method", "compression", "error", "kept", "source")
    rows = [[str({"kept": "", **record}[key]) for key in keys] for record in records[kind]]
    head = ("method", "compression", "test error (%)", "units left", "source")
    return f"Published, one run each, under another protocol:\n\n{page_parts.table(head, 'lrrll', rows)}"


def _reached(kind: Kind, found: Sequence[Entry], records: Sequence[dict[str, Any]]) -> str:
    """Say which published figures a method of ours equals in both, by its means."""

    def is_reached(record: dict[str, Any]) -> bool:
        return any(
            statistics.fmean(entry.compressions(kind)) >= record["compression"] - _ROUNDING
            and statistics.fmean(entry.errors) <= record["error"] + _ROUNDING
            for entry in found
        )

    left = [record["method"] for record in records if not is_reached(record)]
    reached = f"Of these {len(records)}, {len(records) - len(left)} are reached by the means of one of our methods"
    return f"{reached}, as small and as accurate; not: {'; '.join(left)}." if left else f"{reached}."


@style.styled
def figure(found: Sequence[Entry], records: dict[str, Any]) -> Figure:
    """Return both tables as points, compression to the right and test error upwards."""
    drawn, panels = style.panels(2, 1, 4.6)
    places = [_draw(axes, kind, found, records[kind]) for kind, axes in zip(_TITLES, panels, strict=True)]
    drawn.draw_without_rendering()  # from here on it is known where the points are
    for axes, shown in zip(panels, places, strict=True):
        _name(axes, shown)
    return drawn


def _draw(axes: Axes, kind: Kind, found: Sequence[Entry], records: Sequence[dict[str, Any]]) -> list[Place]:
    axes.grid(visible=True)
    ours = [_place(entry.method, entry.compressions(kind), entry.errors) for entry in found]
    for place in ours:
        sign, bars = style.sign("o", 7, style.BLUE), (place.up_spread, place.across_spread)
        axes.errorbar(place.across, place.up, *bars, **sign, ecolor=style.BLUE)
    published = [Place(record["method"], float(record["compression"]), float(record["error"])) for record in records]
    for place in published:
        axes.plot(place.across, place.up, **style.sign("D", 6))
    ends = [end for place in (*ours, *published) for end in place.ends]
    style.log_axis(axes, "x", [across for across, _ in ends], style.number)
    style.log_axis(axes, "y", [up for _, up in ends], style.number)
    axes.set(title=_TITLES[kind], xlabel="compression", ylabel="test error (%)")
    return [*ours, *published]


def _place(name: str, compressions: Sequence[float], errors: Sequence[float]) -> Place:
    spreads = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (compressions, errors)]
    return Place(name, statistics.fmean(compressions), statistics.fmean(errors), *spreads)


def _name(axes: Axes, places: Sequence[Place]) -> None:
    """Write each point's name where it covers no other name, point or error bar, as near as there is room."""
    points = axes.transData.transform([(place.across, place.up) for place in places])
    taken = [Bbox([point - 8, point + 8]) for point in points]  # of the screen, as are all lengths here
    for place in places:
        left, right, low, high = axes.transData.transform(place.ends)
        taken += [Bbox([left - 1, right + 1]), Bbox([low - 1, high + 1])]
    for point, place in sorted(zip(points, places, strict=True), key=lambda pair: pair[1].up):
        for distance, side, over in itertools.product(range(10), (1, -1), (1, -1)):
            offset = np.array([9 * side, over * (4 + 14 * distance)])
            x, y = axes.transData.inverted().transform(point + offset)
            text = axes.text(
                x, y, place.name, ha="left" if side > 0 else "right", va="bottom" if over > 0 else "top", fontsize=8
            )
            box = text.get_window_extent()
            if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and not box.count_overlaps(taken):
                taken.append(box)
                if distance:
                    axes.plot([place.across, x], [place.up, y], color=style.MUTED, lw=0.5, zorder=0)
                break
            text.remove()


def main() -> None:
    """Write the pages and their figures, of networks that rivals were run on."""
    for network in NETWORKS:
        if network.folders:
            found = entries(network)
            network.page.write_text(page(network, found), encoding="utf-8")
            network.figure.write_bytes(style.as_png(figure(apart(found)[0], network.records())))


if __name__ == "__main__":
    main()
