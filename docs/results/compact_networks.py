"""Makes smaller networks of replicates in a store, and the table of them in ``compact/``.

    python docs/results/compact_networks.py dn-store

The page says which sweeps are to be run first. Names of sweeps after the store, and ``--method``, restrict it to these;
the others stay as they are on the page. Each network is proven equal on the whole test set first.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import page_parts

from dn_distributed.score_names import final
from sweeps.planning.data_dir import resolve_data_dir
from sweeps.spec.own_modules import own_modules
from tracking import compacting, load_results, open_store
from tracking.compacting import Compacted
from tracking.results.networks import find_network
from tracking.store.location import StoreLocation
from tracking.sweep_results import Results

HERE = Path(__file__).parent / "compact"
SWEEPS = ("regression", "lenet300", "autoencoder", "lenet5-filters", "convnet")
OUTPUTS = "they are outputs of the network"
_LENET5 = 1662752
"""Weights of LeNet-5 and of the convnet."""
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"

HEAD = """# Smaller networks, proven equal

One replicate of each experiment, seed 0, ℓ1 with DropNeuron as the paper has it, and LeNet-5 with its filters
penalised too, at the paper's coefficient and at ten times that, where nothing is left. The rows of regression,
LeNet-300-100, autoencoder, LeNet-5 with filters and convnet are of sweeps in `sweeps/compact`, LeNet-5 as published is
of the sweep `lenet5-thresholds`:

```text
dn sweep compact/regression compact/lenet300 compact/autoencoder compact/lenet5-filters compact/convnet
dn sweep paper/lenet5-thresholds
python docs/results/compact_networks.py dn-store
python docs/results/compact_networks.py dn-store lenet5-thresholds --method ℓ1+DN+P
```

The two ResNet-18 are `narrow_resnet18.yaml` on digits, with batch and with group normalisation, pruned at the largest
T of 0.0003, 0.0005, 0.001, 0.0015, 0.002 and 0.003 that costs at most a point of validation accuracy. In `examples`:

```text
dn sweep narrow_resnet18.yaml --import narrow_resnet18 --set name=resnet18 --set pruning.threshold=T
dn sweep narrow_resnet18.yaml --import narrow_resnet18 --set name=resnet18-groupnorm --set task.norm=group \\
  --set pruning.threshold=T
python ../docs/results/compact_networks.py dn-store resnet18 resnet18-groupnorm --import narrow_resnet18 --method DN+P
```

The proof compares outputs on the whole test set: *apart* is the largest difference, as a share of the largest output.
Before is the pruned network, zeros and all. *Weights written* are those of the smaller network's files, where an output
that is constant stays an output; the *dense size* of the tables of sweeps leaves such outputs out.

"""
COLUMNS = (
    "network", "score", "weights", "weights written", "bytes", "multiply-adds",
    "apart in float64", "in float32", "predictions changed",
)  # fmt: skip
COSTS = ("network", "ms, batch 1", "times as fast", "ms, batch 256", "times as fast", "peak memory, batch 256")
LATENCY = """## Latency and memory

Medians of many runs on one thread in float32, with the 95 % interval of the median; both networks of a row ran in
turns, on a machine that did other work too. Rows were measured at different times: compare within a row, not across.
Memory: parameters, inputs and the values between layers, in bytes.

"""


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
    dropped = [text for line in found.values() for text in _layers(line)]
    parts = [
        HEAD + page_parts.table(COLUMNS, "l" + "r" * (len(COLUMNS) - 1), map(_cells, found.values())),
        LATENCY + page_parts.table(COSTS, "l" + "r" * (len(COSTS) - 1), map(_costs, found.values())),
        *map(page_parts.filled, _statements(found)),
        "## Layer by layer",
        "\n".join(dropped),
    ]
    return "\n\n".join(parts)


def _cells(line: dict[str, Any]) -> list[str]:
    before, after, proof = line["before"], line["after"], line["proof"]
    test = line["test"]
    score = f"{test:.2%}" if line["score"] == "accuracy" else f"{test:.4f}" if test >= 1e-3 else f"{test:.1e}"
    changed = proof["changed_predictions"]
    return [
        line["network"],
        f"{line['score']} {score}",
        f"{before['num_nonzero']} of {before['num_weights']}",
        f"{after['num_weights']} (÷ {before['num_weights'] / after['num_weights']:.1f})",
        f"{before['bytes_on_disk']} → {after['bytes_on_disk']}",
        f"{before['multiply_adds']} → {after['multiply_adds']}",
        f"{proof['max_rel_float64']:.1e}",
        f"{proof['max_rel_float32']:.1e}",
        "" if changed is None else str(changed),
    ]


def _pairs(line: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The latencies before and after, by batch size."""
    return list(zip(line["before"]["latencies"], line["after"]["latencies"], strict=True))


def _times(full: dict[str, Any], small: dict[str, Any]) -> str:
    return f"{full['median'] / small['median']:.2f}"


def _costs(line: dict[str, Any]) -> list[str]:
    cells = [line["network"]]
    for full, small in _pairs(line):
        shown = [f"{time['median']:.3g} ({time['low']:.3g} to {time['high']:.3g})" for time in (full, small)]
        cells += [" → ".join(shown), _times(full, small)]
    return [*cells, f"{line['before']['peak_memory']} → {line['after']['peak_memory']}"]


def _statements(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What the rows say of filters, of rows that are slower, and of outputs that stay."""
    convolutions = [line for line in found.values() if line["before"]["num_weights"] == _LENET5]
    said = "; ".join(f"{line['network']}: {_filters(line)}, {_faster(line)}" for line in convolutions)
    if said:
        medians = ", ".join(f"{_pairs(line)[0][0]['median']:.3g}" for line in convolutions)
        yield (
            f"What dropping filters does to latency, in LeNet-5 and in the convnet, which has its size. {said}. "
            "Filters go without a penalty on them too, where no weight of the layer that reads them is left. Before, "
            f"these networks are of the same size and take {medians} ms with a batch of 1: rows cannot be compared."
        )
    slower = [
        f"{line['network']} with a batch of {full['batch_size']} ({full['median']:.3g} → {small['median']:.3g} ms)"
        for line in found.values()
        for full, small in _pairs(line)
        if small["low"] > full["high"]
    ]
    if slower:
        yield f"Slower than before, beyond both intervals: {'; '.join(slower)}."
    for line in found.values():
        count = line["dropped"]["stayed"].get(OUTPUTS)
        if count and line["after"]["num_nonzero"]:
            inputs, written = line["dropped"]["layers"][-1]["inputs"], line["after"]["num_weights"]
            yield (
                f"{line['network']}: {count} outputs are constant and stay, with {inputs} weights each, all 0. Without "
                f"them the {written} weights are {written - count * inputs}: the dense size in the tables of sweeps."
            )


def _filters(line: dict[str, Any]) -> str:
    layers = [layer for layer in line["dropped"]["layers"] if layer["name"].startswith("conv")]
    return "filters " + " and ".join(f"{layer['outputs_before']} → {layer['outputs']}" for layer in layers)


def _faster(line: dict[str, Any]) -> str:
    times = [
        f"{_times(full, small)} times as fast with a batch of {full['batch_size']}" for full, small in _pairs(line)
    ]
    return " and ".join(times)


def _layers(line: dict[str, Any]) -> list[str]:
    lines = [f"**{line['network']}**", ""]
    lines += [
        f"- `{layer['name']}`: {layer['inputs_before']} → {layer['inputs']} inputs, "
        f"{layer['outputs_before']} → {layer['outputs']} units"
        for layer in line["dropped"]["layers"]
    ]
    lines += [
        f"- `{other['name']}`: {other['weights_before']} → {other['weights']} weights ({other['why']})"
        for other in line["dropped"].get("others", [])
    ]
    lines += [f"- {count} units that no weight enters stay: {why}" for why, count in line["dropped"]["stayed"].items()]
    return [*lines, ""]


if __name__ == "__main__":
    main()
