"""What is remembered, and shown: the MLflow store, and the tables, figures and reports computed from it alone.

One module writes (``writer``), two read (``runs``, and ``reader`` what replicates have measured); reading, choosing and
drawing are apart.
"""

import os

from tracking.store import migrations_path, proxies

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
