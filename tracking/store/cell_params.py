"""The parameters of a cell, flat, as MLflow shows them and as a data frame has columns."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from dn_distributed.config import Cell, Training
from tracking import schema

_ALWAYS_SHOWN = ("l1", "l2", "dn_incoming", "dn_outgoing", "dropout")


def settings_of(cell: Cell) -> dict[str, Any]:
    """Return every setting of a cell by name: text and numbers. A usual coefficient that it has not is 0."""
    found = {"task": cell.task["name"], "dataset": cell.dataset["name"], "dataset_digest": cell.dataset_digest}
    found |= {f"task.{key}": value for key, value in cell.task.items() if key != "name"}
    found |= {f"dataset.{key}": value for key, value in cell.dataset.items() if key != "name"}
    found |= {name: cell.regularization.get(name, 0.0) for name in (*_ALWAYS_SHOWN, *cell.regularization)}
    if cell.step != "subgradient":
        found["step"] = cell.step
    if cell.baseline is not None:
        found["baseline"] = cell.baseline
    found |= {f"code.{part}": digest for part, digest in cell.code.items()}
    for prefix, phase in phases_of(cell):
        found |= flat(prefix, phase.model_dump(exclude_none=True))
    return found | flat("pruning", cell.pruning.model_dump(exclude={"curve"}))


def phases_of(cell: Cell) -> Iterator[tuple[str, Training]]:
    """Yield each phase of a cell's training with the beginning of its settings' names: ``training``, ``training.0``."""
    for number, phase in enumerate(cell.phases):
        yield f"training.{number}" if isinstance(cell.training, tuple) else "training", phase


def flat(prefix: str, value: Any) -> dict[str, Any]:
    """Return the leaves of nested settings by dotted name, beginning with ``prefix``."""
    if not isinstance(value, dict | BaseModel):
        return {prefix: value}
    return {name: leaf for key, inner in dict(value).items() for name, leaf in flat(f"{prefix}.{key}", inner).items()}


def describe_cell(cell: Cell) -> dict[str, str]:
    """Return every setting of a cell as the text that MLflow keeps."""
    return {name: str(value) for name, value in settings_of(cell).items()}


def check_storable(cell: Cell) -> None:
    """ValueError where MLflow would cut what is stored of a cell."""
    check_length("the cell itself", cell.model_dump_json(), schema.LONGEST_TAG)
    for name, value in describe_cell(cell).items():
        check_length("the name of a parameter", name, schema.LONGEST_NAME)
        check_length(name, value, schema.LONGEST_PARAM)


def check_length(what: str, text: str, longest: int) -> None:
    """ValueError where a text is longer than the store keeps."""
    if len(text) > longest:
        raise ValueError(f"{what} is {len(text)} characters long; the store keeps {longest}")
