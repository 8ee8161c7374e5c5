"""Proves the smaller networks of a recipe's replicates equal, and writes the page ``recipes/README.md``.

    dn sweep sweeps/recipes/lenet300-20x.yaml --report docs/results/recipes
    python docs/results/recipes.py dn-store recipe-lenet300-20x

Without arguments the page alone is written, from the rows and proofs that are there.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from page_parts import spread, table

from dn_distributed.score_names import Split, final
from sweeps.planning.data_dir import resolve_data_dir
from tracking import compacting, load_results, load_rows, open_store
from tracking.results.networks import find_network
from tracking.results.rows import Row
from tracking.store.location import StoreLocation

HERE = Path(__file__).parent / "recipes"
PROOFS, PAGE = HERE / "proofs.json", HERE / "README.md"
RECIPES = ("recipe-lenet300-20x", "recipe-lenet300-30x", "recipe-lenet5-caffe-160x")

HEAD = """# Recipes: a small network out of one training

LeNet-300-100 and Caffe's LeNet-5 on MNIST, five replicates each (seeds 0 to 4), measured after the last step: 55 000
images train, 5 000 validate, 10 000 test. Units are dropped while the networks train, by the sweep files in
`sweeps/recipes`; what is left is a dense network, so the compression is of its size, and nothing has to be stored of
where weights were. `python docs/results/recipes.py` writes this page.

How the settings were found is told in full, for it decides what the figures are worth. They are those of earlier
scripts in plain PyTorch, which chose by validation images and printed test errors too.
In this code the score of second order was taken over the Taylor score for LeNet-300-100, after trainings with the
latter had been seen (validation errors of 1.6 to 1.8 %, test errors of 1.7 to 1.9 %), and the rule that a large unit
is waited for came in after a run of LeNet-5 whose validation accuracy had broken down. No setting was changed after the
runs shown here.

Apart: the largest difference of an output of the smaller network from the pruned one on all test images, as a share
of the largest output. Changed: predictions that differ.

"""


def main() -> None:
    """Prove what is named, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?")
    parser.add_argument("sweeps", nargs="*")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    proofs = json.loads(PROOFS.read_text("utf-8")) if PROOFS.exists() else {}
    if arguments.store is not None:
        store, data_dir = open_store(arguments.store), resolve_data_dir(arguments.data_dir)
        for name in arguments.sweeps:
            (method,) = load_results(name, store).methods
            assert method.chosen is not None, f"{name} has no replicate"
            proofs[name] = {str(row.seed): _proof(row, store, data_dir) for row in method.chosen.rows}
        PROOFS.write_text(json.dumps(proofs, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(proofs), encoding="utf-8")


def _proof(row: Row, store: StoreLocation, data_dir: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        options = compacting.Options(Path(folder) / "small")
        done = compacting.compact_replicate(find_network(store, row.run_id), data_dir, options, None)
    costs = {
        name: {"weights": cost.num_weights, "multiply_adds": cost.multiply_adds, "bytes": cost.bytes_on_disk}
        for name, cost in (("before", done.exported.before), ("after", done.exported.after))
    }
    latencies = [cost.latencies[-1].median for cost in (done.exported.before, done.exported.after)]
    return {**dataclasses.asdict(done.proof), **costs, "ms_of_256": latencies}


def page(proofs: dict[str, dict[str, Any]]) -> str:
    """Return the page of the rows that lie beside it and of these proofs."""
    shown = [name for name in RECIPES if (HERE / name / "rows.json").exists()]
    lines = [HEAD, *_summary(shown), "", "## Replicate by replicate", "", *_replicates(shown, proofs)]
    return "\n".join(lines) + "\n"


def _rows(name: str) -> Sequence[Row]:
    (method,) = load_rows(HERE / name / "rows.json").methods
    assert method.chosen is not None
    return sorted(method.chosen.rows, key=lambda row: row.seed)


def _error(row: Row, split: Split) -> float:
    return 100 * (1 - row.metrics[final(split, "accuracy", "after_pruning")])


def _summary(names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        rows = _rows(name)
        counts = [row.counts for row in rows]
        lines.append(
            (
                f"[{name}]({name}/table.md)",
                str(len(rows)),
                str(counts[0].num_weights),
                spread([c.dense_size for c in counts], 0),
                spread([c.num_weights / c.dense_size for c in counts], 1),
                *(spread([_error(row, split) for row in rows], 2) for split in ("validation", "test")),
            )
        )
    return [table(_COLUMNS, "lrrrrrr", lines), "", "Mean ± standard deviation over the replicates."]


_COLUMNS = (
    "recipe", "n", "weights of the whole", "dense size", "compression", "validation error (%)", "test error (%)",
)  # fmt: skip
_COLUMNS_OF_REPLICATES = (
    "recipe, seed", "units, inputs first", "dense size", "test error (%)", "multiply-adds", "ms, batch 256",
    "apart in float64", "in float32", "changed",
)  # fmt: skip


def _replicates(names: Sequence[str], proofs: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for name in names:
        for row in _rows(name):
            units = "-".join(str(unit.alive) for unit in row.counts.units)
            cells = [
                f"{name.removeprefix('recipe-')}, {row.seed}",
                units,
                str(row.counts.dense_size),
                f"{_error(row, 'test'):.2f}",
            ]
            proof = proofs.get(name, {}).get(str(row.seed))
            if proof is not None:
                cells += [
                    f"{proof['before']['multiply_adds']} → {proof['after']['multiply_adds']}",
                    " → ".join(f"{ms:.3g}" for ms in proof["ms_of_256"]),
                    f"{proof['max_rel_float64']:.1e}",
                    f"{proof['max_rel_float32']:.1e}",
                    str(proof["changed_predictions"]),
                ]
            lines.append([*cells, *[""] * (len(_COLUMNS_OF_REPLICATES) - len(cells))])
    return [
        table(_COLUMNS_OF_REPLICATES, "llrrrrrrr", lines),
        "",
        "Milliseconds: medians on one thread, both networks in turns, on a machine that did other work too.",
    ]


if __name__ == "__main__":
    main()
