"""Reads what figures show from the store: trained networks, what they put out, and curves."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlflow.exceptions import MlflowException
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dn_distributed.config import Cell
from dn_distributed.errors import DataError
from tracking import schema
from tracking.figures.values import NUM_PIXELS, Estimates, FigureData, Floats, Pictures, Trained, pruned_weights
from tracking.manifest import Manifest
from tracking.results import rows as reader
from tracking.results import threshold_curves
from tracking.results.cells import MethodResult
from tracking.results.rows import Row
from tracking.store import artifacts, checksums
from tracking.store.location import StoreLocation
from tracking.store.masks import Mask, load_masks
from tracking.tables import columns

_NO_NETWORK = (DataError, ModuleNotFoundError)  # a tracking server may be without torch
_UNREADABLE = (OSError, ValueError, MlflowException, SafetensorError)


def gather(
    location: StoreLocation, manifest: Manifest, methods: tuple[MethodResult, ...], data_dir: Path
) -> FigureData:
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
    estimates, curves = _estimates(location, shown, missing), threshold_curves.read(location, methods, missing)
    return FigureData(manifest, methods, networks, histories, pictures, estimates, tuple(missing), curves)


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
        except _UNREADABLE:
            missing.append(_unreadable(method.label, [row.seed]))
    return tuple(found)


def _unreadable(label: str, seeds: Sequence[int]) -> str:
    return f"The weights of {label}, seed {', '.join(map(str, seeds))}, could not be read from the store."


def _read_one(location: StoreLocation, label: str, cell: Cell, row: Row) -> Trained:
    masks, parameters = _read_weights(location, row)
    found = Trained(label, row.seed, cell, masks, parameters, is_linear=_is_linear(row), has_paths=row.counts.is_chain)
    return replace(found, reads_pixels=reads_pixels(found))


def _read_weights(location: StoreLocation, row: Row) -> tuple[dict[str, Mask], dict[str, Floats]]:
    """The masks and the parameters before pruning."""
    masks = load_masks(_checked(location, row, schema.MASKS_FILE))
    return masks, load_file(_checked(location, row, schema.WEIGHTS_FILE))


def _checked(location: StoreLocation, row: Row, name: str) -> Path:
    """A file of a replicate. ValueError where it is not what was written."""
    path = artifacts.path_of(location, row.run_id, name)
    checksums.check(path.parent, name, row.sha256)
    return path


def _is_linear(row: Row) -> bool:
    """Whether coefficients were compared with true ones when the replicate was measured."""
    return columns.SUPPORT_EXACT in row.metrics


def reads_pixels(item: Trained) -> bool:
    """Return whether the first regularised layer reads an image; the network is asked where shapes do not tell."""
    if item.is_linear or item.sizes[0] != NUM_PIXELS:
        return False
    if item.is_chain:
        return True
    with contextlib.suppress(*_NO_NETWORK):
        from tracking.figures import stored_networks

        return stored_networks.reads_pixels(item)
    return False


def _pictures(networks: Sequence[Trained], data_dir: Path, missing: list[str]) -> Pictures | None:
    if not networks or networks[0].is_linear:
        return None
    inputs, outputs = networks[0].sizes
    if networks[0].is_chain and inputs != outputs:
        return None
    try:
        from tracking.figures import stored_networks

        return stored_networks.pictures(networks, networks[0].cell, data_dir)
    except _NO_NETWORK as error:
        missing.append(f"Reconstructions and encodings are left out: {error}.")
        return None


def _estimates(location: StoreLocation, methods: Sequence[MethodResult], missing: list[str]) -> tuple[Estimates, ...]:
    found = []
    for method in methods:
        if method.chosen is not None and method.chosen.rows and _is_linear(method.chosen.rows[0]):
            weights = _weights_by_seed(location, method.label, method.chosen.rows, missing)
            found += [(method.label, method.chosen.cell, weights)] if weights else []
    if not found:
        return ()
    try:
        from tracking.figures import stored_networks

        return tuple(stored_networks.estimates(*item) for item in found)
    except _NO_NETWORK as error:
        missing.append(f"Estimated coefficients are left out: {error}.")
        return ()


def _weights_by_seed(
    location: StoreLocation, label: str, rows: Sequence[Row], missing: list[str]
) -> dict[int, list[Floats]]:
    """The pruned weights of each layer, of every seed whose files can be read."""
    found, unreadable = dict[int, list[Floats]](), []
    for row in rows:
        try:
            found[row.seed] = list(pruned_weights(*_read_weights(location, row)).values())
        except _UNREADABLE:
            unreadable.append(row.seed)
    if unreadable and unreadable != [rows[0].seed]:  # that one stands in `missing` already
        missing.append(_unreadable(label, unreadable))
    return found
