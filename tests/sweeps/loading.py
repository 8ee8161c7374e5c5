"""A short way from the text of a sweep file to what it means: ``from tests.sweeps.loading import load as load``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.spec import load as spec
from sweeps.spec.sweep import Sweep

Load = Callable[..., Sweep]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, *overrides: str) -> Sweep:
        path = tmp_path / "sweep.yaml"
        path.write_text(text, encoding="utf-8")
        return spec.load(path, overrides)

    return load_text
