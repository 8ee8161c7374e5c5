"""Measure the weights of any chain of layers, fully connected or convolutions: counts and neurons of a file."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dn_distributed import pruning, sparsity
from dn_distributed.chains import is_chain, is_followed_chain
from dn_distributed.errors import ArgumentError
from dn_distributed.errors import MeasureError as MeasureError
from dn_distributed.files import open_regular
from dn_distributed.layers import Layer, check_groups, other_weights, select, used_layers
from dn_distributed.weights_file import masked


def measure(path: Path, layers: Sequence[str], threshold: float) -> sparsity.NetworkCounts:
    """Return the counts of consecutive layers as ``nn.Linear`` and ``nn.Conv2d`` hold them, in forward order.

    ``layers`` names tensors of the safetensors file, or modules whose ``.weight`` is in it, or ``.weight_orig`` and
    ``.weight_mask``, which ``torch.nn.utils.prune`` makes of it. Weights with ``|w| < threshold`` count as zero.
    MeasureError for a file that cannot be read and for layers that do not chain.
    """
    _check_threshold(threshold)
    weights = _read(path, layers)
    try:
        pruning.check_finite(weights)
        return sparsity.count(pruning.masks(weights, threshold))
    except ValueError as error:
        raise MeasureError(f"{path}: {error}") from error


def measure_network(
    path: Path, network: nn.Module, layers: Sequence[str], threshold: float, hidden_rule: sparsity.HiddenRule = "min"
) -> sparsity.NetworkCounts:
    """Return the counts of the layers of a network of which ``path`` has the weights.

    ``layers`` names them in forward order. Where they are no chain, each is counted for itself. ``hidden_rule`` as for
    ``sparsity.count``. MeasureError where they cannot be counted.
    """
    _check_threshold(threshold)
    try:
        chosen = select(network, layers)
        check_groups(chosen)
        return sparsity.count(_left(chosen, threshold), hidden_rule, chain=is_chain(network, tuple(chosen)))
    except ValueError as error:
        raise MeasureError(f"{path}: {error}") from error


def measure_all(path: Path, network: nn.Module, threshold: float) -> tuple[sparsity.NetworkCounts, list[str]]:
    """Return the counts of every ``nn.Linear`` and ``nn.Conv2d`` that a network uses, and what of it is not counted.

    ``path`` has its weights. Not counted, by the names of their weights, are layers of other kinds. Where a layer does
    not alone read what the one before gives, each is counted for itself; so is a convolution with groups, whose inputs
    are those of one group. MeasureError where they cannot be counted.
    """
    _check_threshold(threshold)
    try:
        names = used_layers(network)
        others = other_weights(network, names)
        if not names:
            raise ArgumentError("the network has no nn.Linear or nn.Conv2d")
        chosen = select(network, names)
        has_groups = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in chosen.values())
        chain = not has_groups and not others and is_followed_chain(network, names)
        return sparsity.count(_left(chosen, threshold), chain=chain), others
    except ValueError as error:
        raise MeasureError(f"{path}: {error}") from error


def _left(layers: Mapping[str, Layer], threshold: float) -> dict[str, Tensor]:
    """The masks of the weights that are left."""
    weights = {name: layer.weight.detach() for name, layer in layers.items()}
    pruning.check_finite(weights)
    return pruning.masks(weights, threshold)


def _check_threshold(threshold: float) -> None:
    if math.isinf(threshold):
        raise MeasureError(f"--threshold {threshold}: give a finite number")


def as_dict(counts: sparsity.NetworkCounts, threshold: float) -> dict[str, Any]:
    """Return counts as plain data, with the keys of ``dn measure --json``; rates are None where nothing is left."""
    return {
        "threshold": threshold,
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "num_weights": layer.num_weights,
                "num_nonzero": layer.num_nonzero,
                "density": layer.density,
                **({} if layer.inputs_alive is None else {"inputs_alive": layer.inputs_alive}),
            }
            for layer in counts.layers
        ],
        "num_weights": counts.num_weights,
        "num_nonzero": counts.num_nonzero,
        "density": counts.density,
        "compression_rate": counts.compression_rate,
        "neurons": [
            {"name": unit.name, "total": unit.total, "published": unit.published, "alive": unit.alive}
            for unit in counts.units
        ],
        "neurons_total": counts.neurons_total,
        "neurons_published": counts.neurons_published,
        "neurons_alive": counts.neurons_alive,
        "dense_size": counts.dense_size,
        "dense_compression": counts.dense_compression,
    }


def _read(path: Path, layers: Sequence[str]) -> dict[str, Tensor]:
    try:
        with open_regular(path) as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise MeasureError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if is_empty:
        raise MeasureError(f"{path}: the file is empty")
    if len(set(layers)) != len(layers) or not all(layers):
        raise MeasureError(f"--layers {','.join(layers)}: name each layer once")
    try:
        with safe_open(path, framework="pt") as tensors:
            names = list(tensors.keys())
            if not names:
                raise MeasureError(f"{path}: the file holds no tensors")
            weights = {layer: _weight(tensors, layer, names, path) for layer in layers}
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise MeasureError(f"{path}: not a safetensors file ({str(error).splitlines()[0]})") from error
    return {layer: _as_float(path, layer, weight) for layer, weight in weights.items()}


def _as_float(path: Path, layer: str, weight: Tensor) -> Tensor:
    """The usual types as they are; integers, booleans and eight-bit floats have no arithmetic of their own."""
    if weight.is_complex():
        raise MeasureError(f"{path}: layer {layer!r} holds complex weights")
    usual = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return weight if weight.dtype in usual else weight.float()


def _weight(tensors: Any, layer: str, names: Sequence[str], path: Path) -> Tensor:
    for name in (layer, f"{layer}.weight"):
        if name in names:
            found: Tensor = tensors.get_tensor(name)
            return found
        if {f"{name}_orig", f"{name}_mask"} <= set(names):
            try:
                return masked(name, *(tensors.get_tensor(f"{name}_{part}") for part in ("orig", "mask")))
            except ArgumentError as error:
                raise MeasureError(f"{path}: {error}") from error
    raise MeasureError(f"{path}: no tensor {layer!r}; it holds: {', '.join(sorted(names))}")
