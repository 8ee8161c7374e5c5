"""``python -m tracking.report STORE FOLDER [NAME]``: a page as servers show it, made by a process of its own.

The page over all sweeps, or the report of one with its files, written into the folder.
"""

import os
import sys
from pathlib import Path

from mlflow.exceptions import MlflowException

from dn_distributed.errors import DropNeuronError
from tracking import variables
from tracking.errors import DeniedError, StoreError
from tracking.report.files import write
from tracking.report.index import write_index
from tracking.report.page import Served
from tracking.store import outages, ui_view
from tracking.store.location import locate
from tracking.store.sweep_store import SweepStore

_NICE = 10  # a sweep that runs beside it goes first


def main(store: str, folder: str, name: str | None = None) -> int:
    """Write the page and print its path, nothing where there is no such sweep; return the exit code.

    Where the page cannot be had, say on standard error in a line why, and print the status of HTTP for it.
    """
    os.nice(_NICE)
    location = locate(store)
    try:
        if name is None:
            print(write_index(location, Path(folder), served=Served("./", ui_view.PAGE)))
        elif SweepStore.find_or_none(location, name) is not None:
            data_dir = Path(os.environ.get(variables.DATA_DIR) or "data")
            print(write(location, name, Path(folder), data_dir, served=Served("../", f"../{ui_view.PAGE}")))
    except DropNeuronError as error:
        print(error, file=sys.stderr)
        print(error.http_status if isinstance(error, StoreError) else StoreError.http_status)
        return error.exit_code
    except MlflowException as error:
        print(f"the store cannot be read: {outages.reason(error)}", file=sys.stderr)
        print(DeniedError.http_status if outages.is_denied(error) else StoreError.http_status)
        return StoreError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
