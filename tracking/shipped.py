"""The rows of a sweep as one JSON file: small enough for a repository, whole enough to rebuild every table."""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dn_distributed.sparsity import layers_as_json
from tracking import reader
from tracking.manifest import Manifest
from tracking.reader import Ended, Row, Snapshot
from tracking.store import StoreError

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
    ended = [item for item in shipped.snapshot.ended if item.cell_key in labels]
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
        "metrics": {name: _json_number(value) for name, value in row.metrics.items()},
    }


def _json_number(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are written as text, never left out."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def load(path: Path) -> Shipped:
    """Read what ``as_json`` wrote. StoreError where the file is not such a one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate_json(json.dumps(value["sweep"]))
        rows = tuple(_row(item) for item in value["replicates"])
        ended = tuple(_ended(item) for item in value["ended"])
        provenance = {str(name): str(text) for name, text in value["provenance"].items()}
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StoreError(f"{path}: no rows of a sweep, as `dn report` writes them ({type(error).__name__})") from error
    return Shipped(manifest, Snapshot(rows, ended), provenance)


def _row(item: Mapping[str, Any]) -> Row:
    metrics = {name: float(number) for name, number in item["metrics"].items()}
    return Row(
        run_id="",
        cell_key=item["cell_key"],
        replicate_key=item["replicate_key"],
        seed=item["seed"],
        metrics=metrics,
        counts=reader.counts_from_metrics(json.dumps(item["layers"]), metrics),
    )


def _ended(item: Mapping[str, Any]) -> Ended:
    return Ended(item["cell_key"], item["replicate_key"], item["seed"], item["state"], item["reason"])
