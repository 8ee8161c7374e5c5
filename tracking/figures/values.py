"""What figures are drawn from, as values: NumPy arrays and results, nothing of the store, of torch or of matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dn_distributed.config import Cell
from tracking.manifest import Manifest
from tracking.results import fronts
from tracking.results.cells import MethodResult
from tracking.results.fronts import Point
from tracking.results.rows import History
from tracking.results.threshold_curves import Curves
from tracking.store.masks import Mask

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
    """What pruning leaves of the weight of each regularised layer, in forward order."""
    parameters: Mapping[str, Floats]
    """All parameters before pruning."""
    is_linear: bool = False
    """Whether it estimates the coefficients of a linear problem."""
    has_paths: bool = True
    """Whether each regularised layer reads the neurons of the one before."""
    reads_pixels: bool = False
    """Whether its first regularised layer reads an image."""

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
        return pruned_weights(self.masks, self.parameters)


def pruned_weights(masks: Mapping[str, Mask], parameters: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return what pruning leaves of the weight of each regularised layer, in forward order."""
    return {name: parameters[f"{name}.weight"] * mask for name, mask in masks.items()}


@dataclass(frozen=True)
class Pictures:
    """Test images ``[N, pixels]``, and per method what its network makes of them."""

    inputs: Floats
    outputs: Mapping[str, Floats]
    """``[N, pixels]`` by method."""
    codes: Mapping[str, Floats]
    """``[N, units]`` by method; empty for a network that has no ``encode``."""


@dataclass(frozen=True)
class Estimates:
    """The coefficients that a method's linear networks found for the problems of their seeds, and the true ones."""

    label: str
    seeds: tuple[int, ...]
    found: Floats
    """``[seeds, features]``."""
    truth: Floats
    """``[seeds, features]``."""


@dataclass(frozen=True)
class FigureData:
    """Everything that the figures of a sweep show."""

    manifest: Manifest
    methods: tuple[MethodResult, ...]
    trained: tuple[Trained, ...] = ()
    histories: Mapping[str, Sequence[History]] = field(default_factory=dict)
    """By method, of each finished replicate of the cell that stands for it."""
    pictures: Pictures | None = None
    estimates: tuple[Estimates, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be had, in sentences."""
    curves: Curves = field(default_factory=dict)
    """Of every configuration that was measured at several thresholds."""

    def points(self) -> dict[str, list[Point]]:
        """Return, by method, each configuration at each threshold."""
        return {method.label: fronts.points(self.manifest, method, self.curves) for method in self.methods}
