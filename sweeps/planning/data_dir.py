"""Where image datasets are: as given, or in the folder that DN_DATA_DIR names, or in ``./data``."""

import os
from pathlib import Path

from tracking.variables import DATA_DIR


def resolve_data_dir(data_dir: Path | None) -> Path:
    """Return the folder; ``~`` at its beginning is the home. DataError where the one that was given does not exist."""
    if data_dir is not None and not os.path.isdir(data_dir):  # a Path would raise over a name that is too long
        from dn_distributed.data import DataError  # and torch, which not every command waits for

        raise DataError(f"--data-dir {data_dir}: no such folder")
    return (data_dir or Path(os.path.expanduser(os.environ.get(DATA_DIR) or "data"))).absolute()
