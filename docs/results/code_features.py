"""Asks how well a linear classifier reads the digit off the autoencoder's code; writes ``code-features/``.

    dn sweep questions/equal-score-autoencoder
    python docs/results/code_features.py dn-store

The plan is ``plans/code-features.md``. All in the page is computed from ``results.json`` beside it.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import page_parts
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dn_distributed import score_names
from dn_distributed.data import DATASETS, Split
from dn_distributed.data.base import RawImages
from dn_distributed.seeds import generator
from dn_distributed.tasks.autoencoder import Autoencoder, DeepAutoencoder
from dn_distributed.tasks.base import image_splits
from sweeps.planning.data_dir import resolve_data_dir
from tracking import Results, load_network, load_results, open_store
from tracking.results import inference
from tracking.results.rows import Row

FOLDER = Path(__file__).parent / "code-features"
PAGE, RESULTS = FOLDER / "README.md", FOLDER / "results.json"
SWEEP = "equal-score-autoencoder"
VALIDATION = 10_000
NETWORKS: Mapping[str, Mapping[str, float]] = {
    "no penalty": {},
    "ℓ1": {"l1": 1e-6},
    "DN": {"dn_incoming": 1e-6, "dn_outgoing": 1e-6},
    "ℓ1+DN": {"l1": 1e-6, "dn_incoming": 1e-6, "dn_outgoing": 1e-6},
}
"""The penalties of the trained networks."""
UNTRAINED, PIXELS = "untrained", "784 pixels"
STRENGTHS = (0.01, 0.1, 1.0, 10.0)

Found = dict[str, dict[str, dict[str, float]]]
"""By features and seed: accuracies, and of a trained network its error and the units of its code that are alive."""
Images = dict[str, tuple[Tensor, Tensor]]
"""By split: pixels ``[N, 784]`` in [0, 1], and labels."""


def images(raw: RawImages) -> Images:
    """Return the images as the sweep cuts them: the first of the training images are held out."""
    splits = image_splits(
        "mnist", raw, VALIDATION, lambda part, labels: Split(part.float().div(255).flatten(1), labels)
    )
    return {
        split: (part.inputs, part.targets)
        for split, part in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
    }


def probe(features: Mapping[str, Tensor], data: Images) -> dict[str, float]:
    """Return the accuracies of the linear classifier whose strength the validation images choose.

    ``features``: by split, ``[N, n]``. They are standardised by those of the training images; what never changes is 0.
    """
    mean, deviation = features["train"].mean(0), features["train"].std(0)
    scale = torch.where(deviation > 0, 1 / deviation, 0.0)
    standard = {split: ((values - mean) * scale).numpy() for split, values in features.items()}
    labels = {split: found.numpy() for split, (_, found) in data.items()}
    tried = []
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(standard["train"], labels["train"])
        accuracies = {split: float(fitted.score(standard[split], labels[split])) for split in ("validation", "test")}
        tried.append({"C": strength, **accuracies})
    return max(tried, key=lambda one: one["validation"])


def codes(network: DeepAutoencoder, data: Images) -> dict[str, Tensor]:
    """Return the code of every image, by split."""
    with torch.no_grad():
        return {split: network.eval().encode(pixels) for split, (pixels, _) in data.items()}


def untrained(seed: int) -> DeepAutoencoder:
    """Return the network as a replicate of this seed begins."""
    task = Autoencoder()
    network = task.network()
    assert isinstance(network, DeepAutoencoder)
    task.initialize(network, generator(seed, "init"))
    return network


def rows(results: Results, penalties: Mapping[str, float]) -> Sequence[Row]:
    """Return the replicates that were trained with just these penalties, one a seed."""
    for cell in results.cells:
        if {name: value for name, value in cell.cell.regularization.items() if value} == penalties:
            assert cell.complete
            return cell.rows
    raise LookupError(f"no cell with {dict(penalties)}")


def measured(store: Path, data: Images) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yield the features, the seed, and what was measured."""
    where = open_store(store)
    results = load_results(SWEEP, where)
    for name, penalties in NETWORKS.items():
        for row in rows(results, penalties):
            network = load_network(row, where)
            assert isinstance(network, DeepAutoencoder)
            error = row.metrics[score_names.final("test", "mse", "after_pruning")]
            alive = next(unit.alive for unit in row.counts.units if unit.name == "encoder2")
            yield name, row.seed, {**probe(codes(network, data), data), "error": error, "alive": alive}
    for seed in results.manifest.seeds:
        yield UNTRAINED, seed, probe(codes(untrained(seed), data), data)
    yield PIXELS, 0, probe({split: pixels for split, (pixels, _) in data.items()}, data)


def read() -> Found:
    """Return what was measured."""
    found: Found = json.loads(RESULTS.read_text("utf-8"))
    return found


def page(found: Found) -> str:
    """Return the page."""
    return f"""# How good are the autoencoder's codes as features?

By the [plan](../plans/code-features.md), which was written before the run: logistic regression on the 64 outputs of the
encoder, MNIST. Written by `python docs/results/code_features.py` from [results.json](results.json). Networks: those of
[this sweep](../questions/{SWEEP}/table.md), pruned at 0.005. They are not at equal error: the rows
compare settings, of which ℓ1 and DropNeuron of 1e-6 are those that the paper prints, after half of its epochs.

{table(found)}

*Units alive*: of the code, after pruning. *C*: the strengths that validation images chose, with how many seeds each.

Differences of the accuracies, in points, paired by seed, with the 95 % interval; p by Holm over the six:

{_comparisons(found)}
"""


def table(found: Found) -> str:
    """Return what was measured, a line for each kind of features."""
    rows = []
    for name, by_seed in found.items():
        every = list(by_seed.values())
        accuracy = page_parts.spread([100 * one["test"] for one in every], 2)
        shown = (("error", 4), ("alive", 1)) if name in NETWORKS else ()
        error, alive = [page_parts.spread([one[key] for one in every], decimals) for key, decimals in shown] or ("", "")
        chosen = [one["C"] for one in every]
        strengths = ", ".join(f"{value:g} ({chosen.count(value)})" for value in sorted(set(chosen)))
        rows.append((name, str(len(every)), accuracy, error, alive, strengths))
    head = (
        "features", "n", "accuracy of the classifier (%)", "error of the reconstruction", "units alive (of 64)", "C",
    )  # fmt: skip
    return page_parts.table(head, "lrrrrl", rows)


def compared(found: Found) -> Sequence[inference.Comparison]:
    """Return the plan's family: every pair of trained networks, corrected together."""
    accuracies = {name: {int(seed): 100 * one["test"] for seed, one in found[name].items()} for name in NETWORKS}
    return inference.corrected(inference.compare("accuracy", accuracies))


def _comparisons(found: Found) -> str:
    rows = [
        (
            f"{item.first} − {item.second}",
            f"{item.difference:+.2f}",
            f"{item.interval.low:+.2f} to {item.interval.high:+.2f}",
            f"{item.p_corrected:.2g}",
            "holds" if item.holds else "not shown",
        )
        for item in compared(found)
    ]
    return page_parts.table(("pair", "points", "95 % interval", "p (Holm)", "verdict"), "lrrrl", rows)


def main() -> None:
    """Measure what a store holds, and write it and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    raw = DATASETS["mnist"](name="mnist").load(resolve_data_dir(arguments.data_dir))
    assert isinstance(raw, RawImages)
    data = images(raw)
    found: Found = {}
    for name, seed, one in measured(arguments.store, data):
        found.setdefault(name, {})[str(seed)] = one
    FOLDER.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(read()), encoding="utf-8")


if __name__ == "__main__":
    main()
