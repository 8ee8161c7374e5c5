"""Writes ``rivals/README.md``: rivals on LeNet-300-100 in one harness, beside published records.

    dn sweep sweeps/rivals/lenet300-*.yaml --report docs/results/rivals
    python docs/results/rivals.py

All figures of ours are computed from the rows in ``rivals/`` and ``recipes/``; the records are in ``records.yaml``.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dn_distributed.config import Training
from dn_distributed.score_names import final
from tracking import load_rows
from tracking.results.rows import Row

HERE = Path(__file__).parent
FOLDER = HERE / "rivals"
PAGE, RECORDS = FOLDER / "README.md", FOLDER / "records.yaml"
RECIPES = ("recipe-lenet300-20x", "recipe-lenet300-30x")
_TRAINED = 55_000

HEAD = """# Rivals on LeNet-300-100, in one harness

By the [plan](../plans/rivals-lenet300.md), which was written before the runs: MNIST, 55 000 images train, 10 000 test;
five seeds each, measured after the last step; every method has one configuration, and none was tuned on what is shown.
Networks of a table are not at equal score: it orders nothing, and no difference is tested. Ordered by compression.

`python docs/results/rivals.py` writes this page. Sweep files: `sweeps/rivals/` and `sweeps/recipes/`.
"""


@dataclass(frozen=True)
class Entry:
    """One method: what its replicates are."""

    method: str
    folder: str
    epochs: float
    rows: Sequence[Row]

    @property
    def structured(self) -> list[float]:
        """Dense compression of each replicate."""
        return [_ratio(row.counts.num_weights, row.counts.dense_size) for row in self.rows]

    @property
    def mixed(self) -> list[float]:
        """All weights over the non-zero ones."""
        return [_ratio(row.counts.num_weights, row.counts.num_nonzero) for row in self.rows]

    @property
    def errors(self) -> list[float]:
        """Test errors in percent."""
        return [100 * (1 - row.metrics[final("test", "accuracy", "after_pruning")]) for row in self.rows]

    @property
    def units(self) -> str:
        """Mean units left, inputs first."""
        layers = zip(*([unit.alive for unit in row.counts.units] for row in self.rows), strict=True)
        return "-".join(f"{statistics.fmean(layer):.0f}" for layer in layers)


def entries() -> list[Entry]:
    """Return what is shown, from the rows beside this program."""
    folders = [*sorted(path.parent for path in FOLDER.glob("*/rows.json")), *(HERE / "recipes" / n for n in RECIPES)]
    found = []
    for folder in folders:
        results = load_rows(folder / "rows.json")
        for method in results.methods:
            assert method.chosen is not None, f"{folder.name}: {method.label} has no replicate"
            label = method.label if folder.parent == FOLDER else f"recipe {folder.name.rpartition('-')[2]}"
            found.append(Entry(label, folder.name, _epochs(method.chosen.cell.phases), method.chosen.rows))
    return found


def _epochs(phases: Sequence[Training]) -> float:
    steps = 0
    for phase in phases:
        assert phase.steps is not None
        steps += phase.steps * phase.batch_size * (phase.prune.rounds if phase.prune is not None else 1)
    return steps / _TRAINED


def _ratio(whole: int, left: int) -> float:
    return whole / left if left else math.inf


def page(found: Sequence[Entry], records: dict[str, Any]) -> str:
    """Return the page."""
    return "\n".join([HEAD, *_table("structured", found, records), "", *_table("mixed", found, records)]) + "\n"


_TITLES = {
    "structured": "Structured: weights of the smaller dense network",
    "mixed": "Mixed: weights that are not zero",
}


def _table(kind: str, found: Sequence[Entry], records: dict[str, Any]) -> Iterator[str]:
    yield f"## {_TITLES[kind]}"
    yield ""
    yield "| method | n | epochs | compression | test error (%) | units left, inputs first |"
    yield "| :-- | --: | --: | --: | --: | :-- |"
    for entry in sorted(found, key=lambda entry: -statistics.fmean(getattr(entry, kind))):
        link = f"{'../recipes/' if entry.folder in RECIPES else ''}{entry.folder}/table.md"
        compression, error = (_spread(values) for values in (getattr(entry, kind), entry.errors))
        yield (
            f"| [{entry.method}]({link}) | {len(entry.rows)} | {entry.epochs:.0f} | {compression} | {error} "
            f"| {entry.units} |"
        )
    yield ""
    yield "Published, one run each, under another protocol:"
    yield ""
    yield "| method | compression | test error (%) | units left | source |"
    yield "| :-- | --: | --: | :-- | :-- |"
    for record in records[kind]:
        kept = record.get("kept", "")
        yield f"| {record['method']} | {record['compression']} | {record['error']} | {kept} | {record['source']} |"


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(entries(), yaml.safe_load(RECORDS.read_text("utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
