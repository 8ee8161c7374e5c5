"""Numbers that may differ in their last digits."""

from typing import Any

import pytest


def near(expected: Any, abs: float | None = None) -> Any:
    """Return ``pytest.approx`` as what stands for a number: within tuples and objects too."""
    return pytest.approx(expected, abs=abs)
