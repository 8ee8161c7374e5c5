"""The published figures, from one data file, keyed like the columns of a table."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from tracking import columns

SOURCE = "published scripts, one run each (arXiv 1606.07326)"


@cache
def _all() -> dict[str, dict[str, dict[str, Any]]]:
    text = files("tracking").joinpath("published.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(text)
    return loaded


def row_names(task: str) -> tuple[str, ...]:
    """Return the labels of the rows published for a task."""
    return tuple(_all().get(task, {}))


def figures(task: str, row: str) -> dict[str, float]:
    """Return a published row by column key. KeyError for a row that was not published."""
    entry = _all()[task][row]
    values = {
        columns.SCORE_BEFORE: entry.get("before"),
        columns.SCORE_AFTER: entry.get("after"),
        columns.DENSITY: entry["weights"][0] / entry["weights"][1],
        columns.COMPRESSION: entry["compression"],
        columns.NEURONS: entry["total"][0],
    }
    values |= {columns.layer_density(index): share / 100 for index, share in enumerate(entry["density"])}
    values |= {columns.layer_neurons(index): left for index, left in enumerate(entry["neurons"])}
    return {key: float(value) for key, value in values.items() if value is not None}
