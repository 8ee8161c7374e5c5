"""The figures printed with the published scripts, as ``published.yaml`` has them: rows of text, by task and label."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def _rows() -> dict[str, dict[str, dict[str, Any]]]:
    """Every number as text: how many digits were printed is part of it."""
    text = files("tracking").joinpath("published.yaml").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, dict[str, Any]]] = yaml.load(text, Loader=yaml.BaseLoader)
    return loaded


def row_names(task: str) -> tuple[str, ...]:
    """Return the labels of the rows published for a task; none for a task of one's own."""
    return tuple(_rows().get(task, {}))


def row(task: str, label: str) -> dict[str, Any]:
    """Return a published row by the keys of the file. KeyError for a row that was not published."""
    return _rows()[task][label]
