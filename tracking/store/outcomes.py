"""What is stored of the outcome of a replicate: its files, its final figures, and the data that it was trained on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow.entities import Dataset, DatasetInput
from safetensors.numpy import save_file

from dn_distributed.config import Cell
from tracking import schema
from tracking.store.masks import save_masks, save_pattern

if TYPE_CHECKING:
    from dn_distributed.training import Outcome


def write_outcome_files(outcome: "Outcome", folder: Path) -> None:
    """Write a replicate's weights (before pruning), masks and pictures of its sparsity patterns."""
    # safetensors takes the memory of an array as it lies.
    weights = {name: np.ascontiguousarray(value) for name, value in outcome.parameters.items()}
    save_file(weights, folder / schema.WEIGHTS_FILE)
    save_masks(outcome.masks, folder / schema.MASKS_FILE)
    if outcome.curve:
        (folder / schema.CURVE_FILE).write_text(json.dumps(outcome.curve), encoding="utf-8")
    pictures = folder / schema.PATTERN_FOLDER
    pictures.mkdir()
    for name, mask in outcome.masks.items():
        save_pattern(mask, pictures / f"{name}.png")


def final_metrics(outcome: "Outcome") -> dict[str, float]:
    """Return the final figures of a replicate by metric name: scores, counts, and two ratios for the eye."""
    counts = outcome.counts
    metrics = dict(outcome.scores)
    metrics |= {schema.layer_nonzero(layer.name): layer.num_nonzero for layer in counts.layers}
    metrics |= {
        schema.layer_inputs_alive(layer.name): layer.inputs_alive
        for layer in counts.layers
        if layer.inputs_alive is not None
    }
    for unit in counts.units:
        metrics[schema.units(unit.name, "published")] = unit.published
        metrics[schema.units(unit.name, "alive")] = unit.alive
    metrics[schema.NEURONS_PUBLISHED] = counts.neurons_published
    metrics[schema.DENSITY] = counts.density
    if counts.compression_rate is not None:
        metrics[schema.COMPRESSION_RATE] = counts.compression_rate
    return {name: float(value) for name, value in metrics.items()}


def dataset_input(cell: Cell) -> DatasetInput:
    """Return what MLflow records of a cell's data: name, digest and settings."""
    name = str(cell.dataset["name"])
    return DatasetInput(
        Dataset(
            name=name,
            digest=cell.dataset_digest[:32],
            source_type="dropneuron",
            source=json.dumps(cell.dataset, sort_keys=True),
        )
    )
