"""Matplotlib as it is delivered: neither a shell's variables nor a user's files change what is drawn.

To be imported before anything of matplotlib: it reads its variables then, and a notebook's MPLBACKEND, which all
processes that are started there inherit, may name what is not installed here.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

_BACKEND = "MPLBACKEND"

_inherited = os.environ.pop(_BACKEND, None)
try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
finally:
    if _inherited is not None:
        os.environ[_BACKEND] = _inherited

__all__ = ["Figure", "settings"]


@contextlib.contextmanager
def settings(changes: Mapping[Any, Any]) -> Iterator[None]:
    """Draw with matplotlib's own settings and these changes, and leave those of the process as they are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(changes)
        yield
