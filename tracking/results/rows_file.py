"""The rows of a sweep as one JSON file: small enough for a repository, whole enough to rebuild every table."""

import io
import json
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from dn_distributed import files
from dn_distributed.config import FrozenModel
from dn_distributed.sparsity import layers_as_json
from dn_distributed.text import one_line
from tracking import schema
from tracking.manifest import LARGEST_SEED, Manifest
from tracking.reasons import as_store_error
from tracking.results import rows as reader
from tracking.results.rows import Ended, Row, Snapshot
from tracking.store.record import Figure, Key, Layers, check_manifest

Provenance = Mapping[str, str]
"""What made the rows, and when: software, machine, date."""


@dataclass(frozen=True)
class Shipped:
    """A sweep without its store."""

    manifest: Manifest
    snapshot: Snapshot
    provenance: Provenance


def as_json(shipped: Shipped) -> str:
    """Return the sweep's replicates, ordered by method, cell and seed, with the sweep that asked for them."""
    labels = {cell.key: method.label for method in reversed(shipped.manifest.methods) for cell in method.cells}
    rows = [row for row in shipped.snapshot.rows if row.cell_key in labels and row.seed in shipped.manifest.seeds]
    rows.sort(key=lambda row: (labels[row.cell_key], row.cell_key, row.seed))
    asked = [item for item in shipped.snapshot.ended if item.cell_key in labels]
    ended = [item for item in asked if item.seed in shipped.manifest.seeds]
    value = {
        "sweep": shipped.manifest.model_dump(mode="json"),
        "provenance": dict(shipped.provenance),
        "replicates": [_row_as_dict(labels[row.cell_key], row) for row in rows],
        "ended": [{**item.__dict__, "method": labels[item.cell_key]} for item in ended],
    }
    text = io.StringIO()  # piece by piece: json.dumps would hold millions of them at once
    json.dump(value, text, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return text.getvalue() + "\n"


def _row_as_dict(label: str, row: Row) -> dict[str, Any]:
    return {
        "method": label,
        "cell_key": row.cell_key,
        "replicate_key": row.replicate_key,
        "seed": row.seed,
        "layers": json.loads(layers_as_json(row.counts)),
        "dense_size": row.counts.dense_size,
        "dense_compression": row.counts.dense_compression,
        "metrics": {name: _json_number(value) for name, value in row.metrics.items()},
        **({"processor": row.processor} if row.processor else {}),
    }


def _json_number(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are written as text, never left out."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


_COUNTS = ("layers/", "neurons", schema.NUM_NONZERO)


class _Seeded(FrozenModel):
    """What a replicate's object says first. What else it holds is for other readers, and derived."""

    model_config = ConfigDict(extra="ignore")

    cell_key: Key
    replicate_key: Key
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class _Replicate(_Seeded):
    layers: Layers
    metrics: dict[str, Figure]
    processor: str = ""

    def as_row(self) -> Row:
        counted = [name for name in self.metrics if name.startswith(_COUNTS)]
        if wrong := [name for name in counted if not self.metrics[name].is_integer()]:
            raise ValueError(f"{wrong[0]} is {self.metrics[wrong[0]]}, which counts nothing")
        counts = reader.counts_from_metrics(json.dumps(self.layers), self.metrics)
        left = [(layer.name, layer.num_nonzero, layer.num_weights) for layer in counts.layers]
        left += [(unit.name, number, unit.total) for unit in counts.units for number in (unit.published, unit.alive)]
        left += [(f"the inputs of {c.name}", c.inputs_alive or 0, c.shape[1]) for c in counts.layers]
        for name, number, total in left:
            if not 0 <= number <= total:
                raise ValueError(f"{number} of {total} are left in {name}")
        known = one_line(self.processor)
        return Row("", self.cell_key, self.replicate_key, self.seed, self.metrics, counts, processor=known)


class _Ended(_Seeded):
    state: Literal["failed", "stopped"]
    reason: str

    def as_ended(self) -> Ended:
        return Ended(self.cell_key, self.replicate_key, self.seed, self.state, one_line(self.reason))


class _File(FrozenModel):
    model_config = ConfigDict(extra="ignore")

    sweep: Manifest
    provenance: dict[str, str]
    replicates: tuple[_Replicate, ...]
    ended: tuple[_Ended, ...]


def load(path: Path) -> Shipped:
    """Read what ``as_json`` wrote. StoreError where the file is not such a one, or its rows are not of its sweep."""
    with as_store_error(path), files.open_regular(path) as file:
        text = file.read()
    with as_store_error(path, "no rows of a sweep, as `dn report` writes them"):
        found = _File.model_validate_json(text)
        check_manifest(found.sweep)
        cells = {cell.key for method in found.sweep.methods for cell in method.cells}
        _check_asked_for(found, cells)
        rows = tuple(item.as_row() for item in found.replicates)
    ended = {item.replicate_key: item.as_ended() for item in found.ended if item.cell_key in cells}
    for row in rows:
        ended.pop(row.replicate_key, None)
    provenance = {one_line(name): one_line(text) for name, text in found.provenance.items()}
    return Shipped(found.sweep, Snapshot(rows, tuple(ended.values())), provenance)


def _check_asked_for(found: _File, cells: Set[str]) -> None:
    """ValueError where a replicate is none of the sweep's, or stands there twice: each would be counted."""
    seeds, counted = set(found.sweep.seeds), set[tuple[str, int]]()
    for item in found.replicates:
        if item.cell_key not in cells:
            raise ValueError(f"replicate {item.replicate_key} is of a cell that the sweep does not have")
        if item.seed not in seeds:
            raise ValueError(f"replicate {item.replicate_key} has seed {item.seed}, which the sweep does not ask for")
        if (item.cell_key, item.seed) in counted:
            raise ValueError(f"replicate {item.replicate_key}, seed {item.seed}, stands there twice")
        counted.add((item.cell_key, item.seed))
