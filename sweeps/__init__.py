"""What is run, and where: sweep files, plans, Ray Tune, and the command ``dn``.

``run(sweep)`` runs what is missing of a sweep and returns its results; ``load(sweep)`` checks it and returns what it
means. Both take a sweep file's path, or its content as a dictionary.
"""

from typing import TYPE_CHECKING

from dn_distributed.installation import foreign_package
from dn_distributed.lazy_names import lazy_names

if (_line := foreign_package()) is not None:
    raise ImportError(_line)

if TYPE_CHECKING:
    from sweeps.errors import ClusterError as ClusterError
    from sweeps.errors import SpecError as SpecError
    from sweeps.running import run as run
    from sweeps.spec.load import load as load

__getattr__, __dir__ = lazy_names(
    __name__,
    {"errors": ("ClusterError", "SpecError"), "running": ("run",), "spec.load": ("load",)},
)
__all__ = __dir__()
