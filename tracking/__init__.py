"""What is remembered, and shown: the MLflow store, and the tables, figures and reports computed from it alone.

``load_results(name)`` returns the results of a sweep: its rows, cells and table, and a data frame of them.
"""

import os
from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names
from tracking.store import migrations_path, proxies

if TYPE_CHECKING:
    from tracking.errors import StoreError as StoreError
    from tracking.store.location import StoreLocation as StoreLocation
    from tracking.sweep_results import Results as Results
    from tracking.sweep_results import load_network as load_network
    from tracking.sweep_results import load_results as load_results
    from tracking.sweep_results import load_rows as load_rows
    from tracking.sweep_results import open_store as open_store

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "errors": ("StoreError",),
        "store.location": ("StoreLocation",),
        "sweep_results": ("Results", "load_network", "load_results", "load_rows", "open_store"),
    },
)

if os.path.expanduser("~") == "~":  # a container without HOME and without a name for its user: MLflow asks for a home
    os.environ["HOME"] = "/nonexistent"

# MLflow reads them when it is imported, so they are set before any module of this package can do that.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# What a shell may say of other uses of MLflow, and would change here what is written, when, or to whose account.
os.environ.update({"MLFLOW_ENABLE_ASYNC_LOGGING": "false", "MLFLOW_ENABLE_WORKSPACES": "false"})
for _name in ("MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_ACTIVE_MODEL_ID", "MLFLOW_RUN_CONTEXT", "MLFLOW_SQLALCHEMYSTORE_ECHO"):
    os.environ.pop(_name, None)
proxies.spare_loopback(os.environ)

migrations_path.escape()
