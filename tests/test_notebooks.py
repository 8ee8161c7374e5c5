"""The notebooks under ``examples`` run as they are, and print what is shown in them."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def _printed(notebook: Any) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs_and_prints_what_is_shown(path: Path) -> None:
    shown = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    run = nbformat.from_dict({**shown, "cells": [{**cell} for cell in shown.cells]})  # type: ignore[no-untyped-call]
    NotebookClient(run, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    assert _printed(run) == _printed(shown) != []
