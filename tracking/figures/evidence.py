"""What the figures are drawn from, read from the store: trained networks, what they put out, and curves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mlflow.exceptions import MlflowException
from safetensors.torch import load_file
from torch import Tensor, nn

from dn_distributed import recovery
from dn_distributed.config import Cell
from dn_distributed.data import DATASETS, DataError, Dataset, RawImages
from dn_distributed.tasks import TASKS, ImageTask, Task
from tracking import fronts, reader, runs, schema
from tracking.cells import MethodResult
from tracking.fronts import Curves, Point
from tracking.manifest import Manifest
from tracking.patterns import load_masks
from tracking.reader import History, Row
from tracking.store import StoreLocation

NUM_SAMPLES = 10
"""Test images that are shown."""


@dataclass(frozen=True)
class Trained:
    """The network of a method's first finished seed, as the store holds it."""

    label: str
    seed: int
    task: Task
    masks: Mapping[str, Tensor]
    """What pruning leaves of each regularised layer ``[n_out, n_in]``, in forward order."""
    parameters: Mapping[str, Tensor]
    """All parameters before pruning."""

    @property
    def is_network(self) -> bool:
        """Whether it is the task's network, and not the coefficients of a baseline."""
        return set(self.masks) == set(self.task.layers)

    def pruned_weights(self) -> dict[str, Tensor]:
        """Return the pruned weight of each regularised layer."""
        return {name: self.parameters[f"{name}.weight"] * mask for name, mask in self.masks.items()}

    def network(self) -> nn.Module:
        """Return the pruned network, dropout off."""
        network = self.task.network()
        weights = {f"{name}.weight": weight for name, weight in self.pruned_weights().items()}
        network.load_state_dict({**self.parameters, **weights})
        return network.eval()


@dataclass(frozen=True)
class Pictures:
    """Test images ``[N, pixels]``, and per method what its network makes of them."""

    inputs: Tensor
    outputs: Mapping[str, Tensor]
    """``[N, pixels]`` by method."""
    codes: Mapping[str, Tensor]
    """``[N, units]`` by method; empty for a network that has no ``encode``."""


@dataclass(frozen=True)
class Estimate:
    """The coefficients that a linear network found for the problem of a seed, and those that made it."""

    label: str
    seed: int
    found: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Evidence:
    """Everything that the figures of a sweep show."""

    manifest: Manifest
    methods: tuple[MethodResult, ...]
    trained: tuple[Trained, ...] = ()
    histories: Mapping[str, Sequence[History]] = field(default_factory=dict)
    """By method, of each finished replicate of the cell that stands for it."""
    pictures: Pictures | None = None
    estimates: tuple[Estimate, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be had, in sentences."""
    curves: Curves = field(default_factory=dict)
    """Of every configuration that was measured at several thresholds."""

    def points(self) -> dict[str, list[Point]]:
        """Return, by method, each configuration at each threshold."""
        return {method.label: fronts.points(self.manifest, method, self.curves) for method in self.methods}


def gather(location: StoreLocation, manifest: Manifest, methods: tuple[MethodResult, ...], data_dir: Path) -> Evidence:
    """Read what the figures show. What cannot be had is left out, and said in ``missing``."""
    missing: list[str] = []
    shown = _each_cell_once(methods, missing)
    trained = _read_trained(location, shown, missing)
    histories = {
        method.label: reader.read_histories(location, [row.run_id for row in method.chosen.rows])
        for method in shown
        if method.chosen is not None and method.chosen.rows and method.chosen.cell.baseline is None
    }
    if not trained:
        return Evidence(manifest, methods, histories=histories, missing=tuple(missing))
    cell = next(method.chosen.cell for method in methods if method.chosen is not None)  # one dataset in a sweep
    pictures = None
    try:
        pictures = _pictures(trained, cell, data_dir)
    except DataError as error:
        missing.append(f"Reconstructions and encodings are left out: {error}.")
    networks = tuple(item for item in trained if item.is_network)
    estimates, curves = _estimates(trained, cell), fronts.read(location, methods)
    return Evidence(manifest, methods, networks, histories, pictures, estimates, tuple(missing), curves)


def _each_cell_once(methods: Sequence[MethodResult], missing: list[str]) -> list[MethodResult]:
    """Methods that differ only in how they are tested have the same networks, which would be drawn over each other."""
    first: dict[str, MethodResult] = {}
    for method in methods:
        if method.chosen is not None and first.setdefault(method.chosen.cell.key, method) is not method:
            same = first[method.chosen.cell.key].label
            missing.append(f"The networks of {method.label} are those of {same}: figures of networks show them once.")
    return list(first.values())


def _read_trained(location: StoreLocation, methods: Sequence[MethodResult], missing: list[str]) -> tuple[Trained, ...]:
    found = []
    for method in methods:
        if method.chosen is None or not method.chosen.rows:
            continue
        row = method.chosen.rows[0]
        try:
            found.append(_read_one(location, method.label, method.chosen.cell, row))
        except (OSError, MlflowException):
            missing.append(f"The weights of {method.label}, seed {row.seed}, could not be read from the store.")
    return tuple(found)


def _read_one(location: StoreLocation, label: str, cell: Cell, row: Row) -> Trained:
    task = TASKS[cell.task["name"]](**cell.task)
    masks = load_masks(runs.download(location, row.run_id, schema.MASKS_FILE))
    parameters = load_file(runs.download(location, row.run_id, schema.WEIGHTS_FILE))
    return Trained(label, row.seed, task, masks, parameters)


def _dataset_of(cell: Cell) -> Dataset:
    return DATASETS[cell.dataset["name"]](**cell.dataset)


def _pictures(trained: Sequence[Trained], cell: Cell, data_dir: Path) -> Pictures | None:
    """DataError where the images cannot be had, or are not those that the networks were trained on."""
    if not _reconstructs(trained[0]):
        return None
    dataset = _dataset_of(cell)
    raw = dataset.load(data_dir)
    assert raw is not None
    if dataset.digest(raw) != cell.dataset_digest:
        raise DataError(f"the images of {dataset.name!r} in {data_dir} are not those of this sweep")
    inputs = sample_inputs(trained[0].task, dataset, raw)
    networks = {item.label: item.network() for item in trained}
    outputs = {label: _evaluate(network, inputs) for label, network in networks.items()}
    encoders = {label: getattr(network, "encode", None) for label, network in networks.items()}
    codes = {label: _evaluate(encode, inputs) for label, encode in encoders.items() if encode is not None}
    return Pictures(inputs.flatten(1), outputs, codes)


def _reconstructs(item: Trained) -> bool:
    """Whether the network puts out an image."""
    if not isinstance(item.task, ImageTask):
        return False
    blank = torch.zeros(1, *item.task.input_shape)
    return _evaluate(item.network(), blank).shape == blank.flatten(1).shape


@torch.no_grad()
def _evaluate(network: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return network(inputs).flatten(1)


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


def _estimates(trained: Sequence[Trained], cell: Cell) -> tuple[Estimate, ...]:
    if trained[0].task.kind != "linear":
        return ()
    dataset = _dataset_of(cell)
    found = []
    for item in trained:
        truth = item.task.data(dataset, None).for_seeds([item.seed]).truth
        assert truth is not None
        found.append(Estimate(item.label, item.seed, recovery.estimate(item.pruned_weights().values()), truth[0]))
    return tuple(found)
