"""The names under which a sweep's things are stored, for the writer and the reader to agree on.

``view`` has that of the UI's saved view, ``driver`` what a driver says of itself.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from dn_distributed import score_names

Kind = Literal["cell", "replicate", "report"]
BeforeOrAfter = Literal["before", "after"]

PARENT = "mlflow.parentRunId"
"""Tag of a replicate: the run of its cell."""
KIND = "dn.kind"
"""Tag: cell, replicate or report."""
LABEL = "dn.label"
"""Tag: the label of the method, as its row of the table is called."""
CELL_KEY = "dn.cell_key"
"""Tag: the identity of the cell, a hash of everything that changes a result."""
CELL = "dn.cell"
"""Tag of a cell: the cell itself, as JSON."""
REPLICATE_KEY = "dn.replicate_key"
"""Tag: the identity of the replicate, a hash of its cell and its seed."""
COMPLETE = "dn.complete"
"""Tag of a replicate, set with its last figures: a run counts only when FINISHED and so marked."""
FAILURE = "dn.failure"
"""Tag: why a replicate ended without a result that can be used; it is not tried again by itself."""
STOPPED = "dn.stopped"
"""Tag: where a search ended a replicate early."""
DRIVER = "dn.driver"
"""Tag of the report run, while a driver is at work: which one, and its last sign of life."""
LONGEST_TEXT = 4000
"""Characters of a text that somebody else has written: as much as is kept of a reason."""
MARKS = (COMPLETE, FAILURE, STOPPED)
"""What says how a replicate has ended."""
SUMMARIZED = "dn.summarized"
"""Tag of a cell: the seeds that its means are over; set with the last of them, so a cell run with it is whole."""
SHA256 = "dn.sha256"
"""Tag of a finished replicate: the checksums of its files."""
LONGEST_TAG, LONGEST_PARAM, LONGEST_NAME = 8000, 6000, 250
"""Characters that MLflow keeps of a tag and of a parameter's value, which it cuts without a word, and of a name."""

NAME = r"^[\w :-][\w. :-]*(?:/[\w :-][\w. :-]*)*$"
"""Of a metric, a parameter or a tag, as MLflow allows it: a path, none of whose parts begins with a dot."""

INPUT = "input"
"""What the inputs of a network are called among its layers of units. No layer may have that name."""
LAYERS = "layers"
"""Parameter: the regularised layers with their shapes, as JSON."""
SEED = "seed"
"""Parameter of a replicate that has ended."""
SEED_TAG = "dn.seed"
"""The same as a tag: a replicate has it from the moment it begins."""
EPOCH = "epoch"
"""Metric: the epoch itself, logged with its other figures, so that a retried pack knows what is there."""

COMPRESSION_RATE = "compression_rate"
DENSITY = "density"
NUM_NONZERO = "num_nonzero"
NEURONS_ALIVE = "neurons_alive"
NEURONS_PUBLISHED = "neurons_published"

ROUNDED_SCORE = "Score"
"""Metric of a cell run, for the eye: the mean of the score on test data after pruning, rounded; an accuracy in %."""
ROUNDED_WEIGHTS = "Weights left in percent"
"""Metric of a cell run, for the eye: the mean of ``density``, in % and rounded."""
ROUNDED_NEURONS = "Neurons left"
"""Metric of a cell run, for the eye: the mean of ``neurons_alive``, rounded."""

WEIGHTS_FILE = "weights.safetensors"
"""File: the trained weights before pruning."""
MASKS_FILE = "masks.safetensors"
"""File: which weights pruning leaves, one bit each."""
CURVE_FILE = "thresholds.json"
"""File: the trained replicate measured at other thresholds, where the sweep asks for them."""
PATTERN_FOLDER = "sparsity"
"""Folder: a picture of each regularised layer, its weights that are left in colour."""
COMPACT_FOLDER = "compact"
"""Folder of a replicate: the smaller network that ``dn compact`` made of it, without its ONNX file."""
COMPACT_MODEL = f"{COMPACT_FOLDER}/model"
"""Folder of a replicate: that network as MLflow's registered model, with its ONNX file, in a folder by its checksum."""
COMPACT_PROCESSOR = "dn.compact_processor"
"""Tag of a replicate: the processor on which ``dn compact`` measured latencies."""
NETWORK_SHA256 = "dn.network_sha256"
"""Tag of a version of a registered model: the checksum of the smaller network, its architecture and its numbers."""
MANIFEST_FILE = "sweep.json"
"""File of the report run: the sweep as it was resolved."""
SWEEP_FILE = "sweep.yaml"
"""File of the report run: what to run to have the sweep again."""
REPORT_NAME = "report"
"""Name of the report run, and of the folder with the finished report."""


def seed_list(seeds: Iterable[int]) -> str:
    """Tag: seeds as ``SUMMARIZED`` has them, or what stands for them where they are too many for a tag."""
    text = " ".join(map(str, seeds))
    if len(text) <= LONGEST_TAG:
        return text
    return f"{text.count(' ') + 1} seeds, sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def is_curve(name: str) -> bool:
    """Return whether a metric is logged at every epoch."""
    return score_names.is_of_epoch(name) or name in (NUM_NONZERO, NEURONS_ALIVE)


def deviation(name: str) -> str:
    """Metric of a cell run: the standard deviation of a metric over the replicates."""
    return f"{name}/std"


def layer_nonzero(layer: str) -> str:
    """Metric: non-zero weights of a layer after pruning."""
    return f"layers/{layer}/num_nonzero"


def compact_cost(which: BeforeOrAfter, name: str) -> str:
    """Metric: what a replicate's network costs before or after it was made smaller."""
    return f"{COMPACT_FOLDER}/{which}/{name}"


def compact_proof(name: str) -> str:
    """Metric: how far the outputs of a replicate's smaller network are from those of its pruned one."""
    return f"{COMPACT_FOLDER}/proof/{name}"


def layer_inputs_alive(layer: str) -> str:
    """Metric: inputs left of a layer, where they are not the neurons of the layer before."""
    return f"layers/{layer}/inputs_alive"


def units(name: str, count: Literal["published", "alive"]) -> str:
    """Metric: neurons left in a layer of units, by one of the two counts."""
    return f"neurons/{name}/{count}"
