"""Whether what comes from another store fits together: cells as MLflow holds them, files as their record says."""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from safetensors import safe_open

from dn_distributed import score_names, sparsity
from dn_distributed.config import Cell
from dn_distributed.data import DATASETS
from dn_distributed.tasks import TASKS
from tracking import schema
from tracking.results import rows
from tracking.store.cell_params import describe_cell
from tracking.store.masks import load_masks
from tracking.store.record import Figure, Layers, Name, Record, check_texts

_MOST_TENSORS = 10_000
_FLOATS = ("F64", "F32", "F16")  # a report reads them with NumPy, which has no other
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_SHAPES = TypeAdapter(dict[str, tuple[int, ...]])
_PARAMS = TypeAdapter(dict[Name, str])
_CURVE = TypeAdapter(Annotated[tuple[dict[Name, Figure], ...], Field(max_length=10_000)])


def check_cell(cell: Cell) -> None:
    """ValueError where a cell cannot be stored, or is none of the tasks and datasets that are known here."""
    if len(cell.model_dump_json()) > schema.LONGEST_TAG:
        raise ValueError(f"a cell of more than {schema.LONGEST_TAG} characters")
    plain = cell.model_dump()
    json.dumps(plain, allow_nan=False)
    check_texts(plain)
    for what, identity, known in (("task", cell.task, TASKS), ("dataset", cell.dataset, DATASETS)):
        name = identity.get("name")
        if not isinstance(name, str):
            raise ValueError(f"a cell whose {what} has no name")
        if name in known:  # one of the user's own is not, unless it was imported
            known[name](**identity)
    _PARAMS.validate_python(describe_cell(cell))


def file_names(record: Record, cell: Cell) -> list[str]:
    """Return the files that a replicate has. ValueError where its layers are not named."""
    if not record.finished:
        return []
    pictures = [f"{schema.PATTERN_FOLDER}/{name}.png" for name, *_ in record.layers]
    has_curve = cell.pruning.curve and cell.baseline is None
    return [schema.WEIGHTS_FILE, schema.MASKS_FILE, *[schema.CURVE_FILE] * bool(has_curve), *pictures]


def check_files(folder: Path, record: Record, cell: Cell, score: str) -> None:
    """ValueError where the files of a finished replicate are not what its record says.

    The counts are counted again from the masks, so figures and files are of the same replicate.
    """
    _check_weights(folder / schema.WEIGHTS_FILE, record.layers)
    _check_masks(folder / schema.MASKS_FILE, record.layers)
    said = rows.counts_from_metrics(record.params[schema.LAYERS], record.metrics)
    counted = sparsity.count(load_masks(folder / schema.MASKS_FILE), chain=said.is_chain)
    if _recounted(counted) != _recounted(said):
        raise ValueError("its figures are not those of its masks")
    for name, n_out, *others in record.layers:
        _check_picture(folder / schema.PATTERN_FOLDER / f"{name}.png", n_out, math.prod(others))
    if (folder / schema.CURVE_FILE).exists():
        _check_curve(folder / schema.CURVE_FILE, cell, score)


def _check_weights(path: Path, layers: Layers) -> None:
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if len(names) > _MOST_TENSORS:
            raise ValueError(f"{path.name}: {len(names)} tensors")
        if other := {file.get_slice(name).get_dtype() for name in names} - set(_FLOATS):
            raise ValueError(f"{path.name}: numbers of type {min(other)}")
        for name, *shape in layers:
            if f"{name}.weight" not in names:
                raise ValueError(f"{path.name}: no weights of layer {name!r}")
            weight = file.get_slice(f"{name}.weight")
            if weight.get_shape() != shape:
                raise ValueError(f"{path.name}: layer {name!r} is not {_size(shape)} numbers")


def _check_masks(path: Path, layers: Layers) -> None:
    """Before they are unpacked: the sizes must be those of the layers, whose weights are there."""
    with safe_open(path, framework="pt") as file:
        shapes = _SHAPES.validate_json((file.metadata() or {}).get("shapes", ""), strict=True)
        if list(shapes.items()) != [(name, tuple(shape)) for name, *shape in layers]:
            raise ValueError(f"{path.name}: not the masks of these layers")
        if set(file.keys()) != set(shapes):
            raise ValueError(f"{path.name}: not one mask a layer")
        for name, shape in shapes.items():
            packed = file.get_slice(name)
            if packed.get_dtype() != "U8" or packed.get_shape() != [math.ceil(math.prod(shape) / 8)]:
                raise ValueError(f"{path.name}: layer {name!r} is not packed as {_size(shape)} bits")


def _recounted(counts: sparsity.NetworkCounts) -> tuple[object, ...]:
    """What masks tell: not what the network needs where layers are no chain, or convolutions in it may pad."""
    may_pad = any(math.prod(layer.shape[2:]) > 1 for layer in counts.layers[1:])
    if counts.is_chain and not may_pad:
        return counts.layers, counts.neurons_alive
    return tuple((layer.name, layer.shape, layer.num_nonzero) for layer in counts.layers), counts.neurons_published


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _check_picture(path: Path, width: int, height: int) -> None:
    with path.open("rb") as file:
        start = file.read(len(_PNG_START) + 8)
    if start != _PNG_START + struct.pack(">II", width, height):
        raise ValueError(f"{schema.PATTERN_FOLDER}/{path.name}: not a PNG of {width} × {height} pixels")


def _check_curve(path: Path, cell: Cell, score: str) -> None:
    points = _CURVE.validate_json(path.read_bytes(), strict=True)
    needed: set[Any] = {"threshold", "density", "neurons_alive", *score_names.at_threshold(score)}
    if [point.get("threshold") for point in points] != list(cell.pruning.curve):
        raise ValueError(f"{path.name}: not the thresholds of its cell")
    if missing := {name for point in points for name in needed - set(point)}:
        raise ValueError(f"{path.name}: a point without {min(missing)}")
