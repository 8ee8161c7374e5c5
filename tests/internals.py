"""Looks for what this project uses of a library that the library does not promise."""

import importlib
from typing import Any

import pytest


def find(place: str, library: str, remedy: str) -> Any:
    """What ``module:name`` is in this version of ``library``; a failure in words where it is gone."""
    module, _, name = place.partition(":")
    changed = f"{library} has no {place} any more: {remedy}"
    try:
        value: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        pytest.fail(changed)
    for part in name.split("."):
        assert hasattr(value, part), changed
        value = getattr(value, part)
    return value
