"""What is run, and where: sweep files, plans, Ray Tune, and the command ``dn``.

``run(sweep)`` runs what is missing of a sweep and returns its results; ``load(sweep)`` checks it and returns what it
means. Both take a sweep file's path, or its content as a dictionary.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dn_distributed.installation import foreign_package

if (_line := foreign_package()) is not None:
    raise ImportError(_line)

if TYPE_CHECKING:
    from sweeps.errors import ClusterError as ClusterError
    from sweeps.errors import SpecError as SpecError
    from sweeps.running import run as run
    from sweeps.spec.load import load as load

_FACE = {
    "ClusterError": "sweeps.errors",
    "SpecError": "sweeps.errors",
    "load": "sweeps.spec.load",
    "run": "sweeps.running",
}
"""Where the public names are: they are imported when they are asked for, so that importing the package is cheap."""

__all__ = list(_FACE)


def __getattr__(name: str) -> Any:
    """Return a public name. AttributeError for any other."""
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
