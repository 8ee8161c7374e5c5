"""Stored networks run again: their outputs for test images, and the true coefficients of linear problems.

The only module of the figures that needs torch. ``collect`` imports it where a figure asks for it, and not before:
torch takes seconds and half a gigabyte, which the report of a network that is a chain of layers can do without.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dn_distributed import recovery
from dn_distributed.config import Cell
from dn_distributed.data import DataError, Dataset, RawImages
from dn_distributed.tasks import ImageTask, Task
from tracking.figures.values import NUM_SAMPLES, Estimates, Floats, Pictures, Trained
from tracking.results.networks import dataset_of, pruned_network, task_of


def network(item: Trained) -> nn.Module:
    """Return the pruned network, dropout off."""
    return pruned_network(task_of(item.cell), item.parameters, item.masks)


def reads_pixels(item: Trained) -> bool:
    """Return whether the first regularised layer is the first of a network of images."""
    task = task_of(item.cell)
    first, _ = next(task.network().named_parameters())
    return isinstance(task, ImageTask) and first.rpartition(".")[0] == next(iter(item.masks))


def pictures(trained: Sequence[Trained], cell: Cell, data_dir: Path) -> Pictures | None:
    """Return what the networks make of test images; None where they put out no images.

    DataError where the images cannot be had, or are not those that the networks were trained on.
    """
    task = task_of(cell)
    if not _reconstructs(trained[0], task):
        return None
    dataset = dataset_of(cell)
    raw = dataset.load(data_dir)
    assert isinstance(raw, RawImages)
    if dataset.digest(raw) != cell.dataset_digest:
        raise DataError(f"the images of {dataset.name!r} in {data_dir} are not those of this sweep")
    inputs = sample_inputs(task, dataset, raw)
    networks = {item.label: network(item) for item in trained}
    outputs = {label: _evaluate(made, inputs).numpy() for label, made in networks.items()}
    encoders = {label: getattr(made, "encode", None) for label, made in networks.items()}
    codes = {label: _evaluate(encode, inputs).numpy() for label, encode in encoders.items() if encode is not None}
    return Pictures(inputs.flatten(1).numpy(), outputs, codes)


def estimates(label: str, cell: Cell, weights: Mapping[int, Sequence[Floats]]) -> Estimates:
    """Return what a cell's linear networks estimate, by seed their pruned weights, beside what made the seed's data."""
    data = task_of(cell).data(dataset_of(cell), None)
    found, truths = [], []
    for seed, layers in weights.items():
        truth = data.for_seeds([seed]).truth  # seed by seed: the truth is all that is kept of a problem
        assert truth is not None
        found.append(recovery.estimate(map(torch.from_numpy, layers)).numpy())
        truths.append(truth[0].numpy())
    return Estimates(label, tuple(weights), np.stack(found), np.stack(truths))


def _reconstructs(item: Trained, task: Task) -> bool:
    """Whether the network puts out an image."""
    if not isinstance(task, ImageTask):
        return False
    blank = torch.zeros(1, *task.input_shape)
    return _evaluate(network(item), blank).shape == blank.flatten(1).shape


@torch.no_grad()
def _evaluate(made: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return made(inputs).flatten(1)


def sample_inputs(task: Task, dataset: Dataset, raw: RawImages) -> Tensor:
    """Return test images as the task feeds them to its network: see ``choose_samples``."""
    chosen = choose_samples(raw.test_labels)
    images, labels = raw.test_images[chosen], raw.test_labels[chosen]
    # Only these go through the task's own scaling: a whole dataset as floats takes a second and much memory.
    data = task.data(dataset, RawImages(images, labels, images, labels))
    assert data.shared is not None
    return data.shared.test.inputs


def choose_samples(labels: Tensor) -> list[int]:
    """Return the place of the first image of each class; of the first ten images where classes are not ten."""
    first: dict[int, int] = {}
    for place, label in enumerate(labels.tolist()):
        first.setdefault(label, place)
    if len(first) == NUM_SAMPLES:
        return [first[label] for label in sorted(first)]
    return list(range(min(NUM_SAMPLES, len(labels))))
