"""What the figures are drawn from, read from the store: trained networks, what they put out, and curves."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from safetensors.numpy import load_file

from dn_distributed.config import Cell
from tracking import fronts, reader, runs, schema
from tracking.cells import MethodResult
from tracking.fronts import Curves, Point
from tracking.manifest import Manifest
from tracking.patterns import Mask, load_masks
from tracking.reader import History, Row
from tracking.store import StoreLocation

NUM_PIXELS = 28 * 28
NUM_SAMPLES = 10
"""Test images that are shown."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """The network of a method's first finished seed, as the store holds it."""

    label: str
    seed: int
    cell: Cell
    masks: Mapping[str, Mask]
    """What pruning leaves of each regularised layer ``[n_out, n_in]``, in forward order."""
    parameters: Mapping[str, Floats]
    """All parameters before pruning."""
    reads_pixels: bool = False
    """Whether its first regularised layer reads an image."""

    @property
    def is_linear(self) -> bool:
        """Whether it estimates the coefficients of a linear problem, which is made with a number of features."""
        return "features" in self.cell.dataset

    @property
    def is_chain(self) -> bool:
        """Whether the regularised layers are the whole network, so that their shapes tell its inputs and outputs."""
        return {name.rpartition(".")[0] for name in self.parameters} == set(self.masks)

    @property
    def sizes(self) -> tuple[int, int]:
        """Inputs of the first regularised layer, and outputs of the last."""
        matrices = list(self.masks.values())
        return matrices[0].shape[1], matrices[-1].shape[0]

    def pruned_weights(self) -> dict[str, Floats]:
        """Return the pruned weight of each regularised layer."""
        return {name: self.parameters[f"{name}.weight"] * mask for name, mask in self.masks.items()}


@dataclass(frozen=True)
class Pictures:
    """Test images ``[N, pixels]``, and per method what its network makes of them."""

    inputs: Floats
    outputs: Mapping[str, Floats]
    """``[N, pixels]`` by method."""
    codes: Mapping[str, Floats]
    """``[N, units]`` by method; empty for a network that has no ``encode``."""


@dataclass(frozen=True)
class Estimate:
    """The coefficients ``[features]`` that a linear network found for a seed's problem, and those that made it."""

    label: str
    seed: int
    found: Floats
    truth: Floats


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
    networks = tuple(item for item in trained if item.cell.baseline is None)
    pictures = _pictures(networks, data_dir, missing)
    estimates, curves = _estimates(trained, missing), fronts.read(location, methods)
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
    masks = load_masks(runs.download(location, row.run_id, schema.MASKS_FILE))
    parameters = load_file(runs.download(location, row.run_id, schema.WEIGHTS_FILE))
    found = Trained(label, row.seed, cell, masks, parameters)
    return replace(found, reads_pixels=reads_pixels(found))


def reads_pixels(item: Trained) -> bool:
    """Return whether the first regularised layer reads an image; the network is asked where shapes do not tell."""
    if item.is_linear or item.sizes[0] != NUM_PIXELS:
        return False
    if item.is_chain:
        return True
    from dn_distributed.data import DataError
    from tracking.figures import rerun

    with contextlib.suppress(DataError):
        return rerun.reads_pixels(item)
    return False


def _pictures(networks: Sequence[Trained], data_dir: Path, missing: list[str]) -> Pictures | None:
    if not networks or networks[0].is_linear:
        return None
    inputs, outputs = networks[0].sizes
    if networks[0].is_chain and inputs != outputs:
        return None
    from dn_distributed.data import DataError
    from tracking.figures import rerun

    try:
        return rerun.pictures(networks, networks[0].cell, data_dir)
    except DataError as error:
        missing.append(f"Reconstructions and encodings are left out: {error}.")
        return None


def _estimates(trained: Sequence[Trained], missing: list[str]) -> tuple[Estimate, ...]:
    if not trained or not trained[0].is_linear:
        return ()
    from dn_distributed.data import DataError
    from tracking.figures import rerun

    try:
        return rerun.estimates(trained, trained[0].cell)
    except DataError as error:
        missing.append(f"Estimated coefficients are left out: {error}.")
        return ()
