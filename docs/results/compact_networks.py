"""Makes smaller networks of replicates in a store, and the table of them in ``compact/``.

    dn sweep sweeps/compact/*.yaml
    python docs/results/compact_networks.py dn-store

Names of sweeps after the store, and ``--method``, restrict it to these; the others stay as they are on the page. Each
network is proven equal on the whole test set first.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from dn_distributed.score_names import final
from sweeps.planning.data_dir import resolve_data_dir
from sweeps.spec.own_modules import own_modules
from tracking import compacting, load_results, open_store
from tracking.compacting import Compacted
from tracking.results.networks import find_network
from tracking.store.location import StoreLocation
from tracking.sweep_results import Results

HERE = Path(__file__).parent / "compact"
SWEEPS = ("regression", "lenet300", "autoencoder", "lenet5", "lenet5-filters", "convnet")
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"

HEAD = """# Smaller networks, proven equal

One replicate of each experiment, seed 0, ℓ1 with DropNeuron as the paper has it, and LeNet-5 with its filters
penalised too, at the paper's coefficient and at ten times that, where nothing is left. `python
docs/results/compact_networks.py dn-store` makes the smaller networks of the sweeps in `sweeps/compact` and writes
this page; LeNet-5 as published is of the sweep `lenet5-thresholds`. The two ResNet-18 are those of
`examples/narrow_resnet18.yaml` on digits, with batch (`resnet18`) and with group normalisation
(`task.norm=group`), pruned at the largest of 0.0003, 0.0005, 0.001, 0.0015, 0.002 and 0.003 that costs at most a
point of validation accuracy.

Before: the pruned network, zeros and all. Apart: the largest difference of an output on the whole test set, as a
share of the largest output. Milliseconds: medians of many runs on one thread in float32, both networks in turns,
on a machine that did other work too; their 95 % intervals are in `results.json`.

"""
COLUMNS = (
    "network", "score", "weights", "dense size", "bytes", "multiply-adds", "ms, batch 1", "ms, batch 256",
    "apart in float64", "in float32", "predictions changed",
)  # fmt: skip


def main() -> None:
    """Make the networks, write what came out, and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("sweeps", nargs="*", default=[f"compact-{name}" for name in SWEEPS])
    parser.add_argument("--method", help="label of the only method to take; left out, all of a sweep")
    parser.add_argument("--import", dest="imports", action="append", default=[])
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    own_modules(tuple(arguments.imports)).load()
    store, data_dir = open_store(arguments.store), resolve_data_dir(arguments.data_dir)
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in arguments.sweeps:
        for line in _compacted(load_results(name, store), arguments.method, store, data_dir):
            found[line["network"]] = line
    HERE.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def _compacted(results: Results, label: str | None, store: StoreLocation, data_dir: Path) -> list[dict[str, Any]]:
    lines = []
    for method in results.methods:
        if label not in (None, method.label):
            continue
        assert method.chosen is not None, f"{results.name}: {method.label} has no replicate"
        row = min(method.chosen.rows, key=lambda row: row.seed)
        with tempfile.TemporaryDirectory() as folder:
            options = compacting.Options(Path(folder) / "small")
            done = compacting.compact_replicate(find_network(store, row.run_id), data_dir, options, None)
        score = results.manifest.score
        named = {"network": f"{results.name.removeprefix('compact-')}, {method.label}", "score": score}
        lines.append({**named, "test": row.metrics[final("test", score, "after_pruning")], **_plain(done)})
    return lines


def _plain(done: Compacted) -> dict[str, Any]:
    return {
        "before": dataclasses.asdict(done.exported.before),
        "after": dataclasses.asdict(done.exported.after),
        "proof": dataclasses.asdict(done.proof),
        "dropped": dataclasses.asdict(done.dropped),
        "onnx": done.exported.onnx_distance,
    }


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return the page of these results."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| :-- |" + " --: |" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(_cells(line)) + " |" for line in found.values()]
    dropped = [text for line in found.values() for text in _layers(line)]
    return HEAD + "\n".join([*lines, "", "## Layer by layer", "", *dropped])


def _cells(line: dict[str, Any]) -> list[str]:
    before, after, proof = line["before"], line["after"], line["proof"]
    score = f"{line['test']:.2%}" if line["score"] == "accuracy" else f"{line['test']:.4f}"
    latencies = [
        f"{full['median']:.3g} → {small['median']:.3g}"
        for full, small in zip(before["latencies"], after["latencies"], strict=True)
    ]
    changed = proof["changed_predictions"]
    return [
        line["network"],
        f"{line['score']} {score}",
        f"{before['num_nonzero']} of {before['num_weights']}",
        f"{after['num_weights']} (÷ {before['num_weights'] / after['num_weights']:.1f})",
        f"{before['bytes_on_disk']} → {after['bytes_on_disk']}",
        f"{before['multiply_adds']} → {after['multiply_adds']}",
        *latencies,
        f"{proof['max_rel_float64']:.1e}",
        f"{proof['max_rel_float32']:.1e}",
        "" if changed is None else str(changed),
    ]


def _layers(line: dict[str, Any]) -> list[str]:
    lines = [f"**{line['network']}**", ""]
    lines += [
        f"- `{layer['name']}`: {layer['inputs_before']} → {layer['inputs']} inputs, "
        f"{layer['outputs_before']} → {layer['outputs']} units"
        for layer in line["dropped"]["layers"]
    ]
    lines += [f"- {count} units that no weight enters stay: {why}" for why, count in line["dropped"]["stayed"].items()]
    return [*lines, ""]


if __name__ == "__main__":
    main()
