"""Replicates at several pruning thresholds: read from the store, and as the file that is shipped beside the rows."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from dn_distributed import files, score_names
from tracking import schema
from tracking.reasons import as_store_error
from tracking.results.cells import MethodResult
from tracking.store import artifacts, checksums
from tracking.store.location import StoreLocation
from tracking.store.record import Figure, Key

Curve = Sequence[Mapping[str, float]]
"""A trained replicate at several thresholds, as ``training.Outcome.curve``: for each the ``threshold``, what is left by
each measure of ``fronts.SIZES``, ``validation/SCORE`` and ``test/SCORE``."""
Curves = Mapping[str, Mapping[int, Curve]]
"""By cell key and seed."""


def read(location: StoreLocation, methods: Sequence[MethodResult], missing: list[str]) -> Curves:
    """Return the curves of every replicate that has one.

    A cell of which one cannot be read is left out, as nothing is averaged around; ``missing`` gets a sentence for it.
    """
    measured = {
        result.cell.key: (method.label, result.rows)
        for method in methods
        for result in method.tried
        if result.cell.pruning.curve and not result.cell.baseline
    }
    rows = [(label, row) for label, cell_rows in measured.values() for row in cell_rows]
    found: dict[str, dict[int, Curve]] = {key: {} for key in measured}
    files = artifacts.paths_of(location, [row.run_id for _, row in rows], schema.CURVE_FILE)
    for (label, row), file in zip(rows, files, strict=True):
        try:
            checksums.check(file.parent, file.name, row.sha256)
            found[row.cell_key][row.seed] = json.loads(file.read_text())
        except (ValueError, OSError) as error:
            missing.append(checksums.damage_note(label, row.seed, error))
    return {key: curves for key, curves in found.items() if len(curves) == len(measured[key][1])}


def as_json(curves: Curves) -> str:
    """Return the curves as they are shipped beside the rows."""
    return json.dumps(curves, indent=None, separators=(",", ":"), sort_keys=True) + "\n"


_CURVES: TypeAdapter[dict[Key, dict[int, list[dict[str, Figure]]]]] = TypeAdapter(
    dict[Key, dict[int, list[dict[str, Figure]]]]
)


def load(path: Path, score: str) -> Curves:
    """Read what ``as_json`` wrote; empty where there is no such file.

    StoreError where it holds something else: each curve has the thresholds of its cell, and scores of that name.
    """
    if not path.exists():
        return {}
    with as_store_error(path), files.open_regular(path) as file:
        text = file.read()
    with as_store_error(path, "no curves, as `dn report` writes them"):
        curves = _CURVES.validate_json(text)
        for cell_key, by_seed in curves.items():
            _check(cell_key, by_seed, ("threshold", *score_names.at_threshold(score)))
    return curves


def _check(cell_key: str, by_seed: Mapping[int, Curve], needed: Iterable[str]) -> None:
    """ValueError where the curves of a cell are not points at the same thresholds."""
    for seed, curve in by_seed.items():
        for name, point in itertools.product(needed, curve):
            if name not in point:
                raise ValueError(f"cell {cell_key}, seed {seed}: a point without {name}")
    if len({tuple(point["threshold"] for point in curve) for curve in by_seed.values()}) > 1:
        raise ValueError(f"cell {cell_key}: the seeds are not measured at the same thresholds")
