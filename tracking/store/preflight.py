"""Can this machine write to the store, and read back what it wrote? Asked on every node before a sweep starts."""

import os
import secrets
import time

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking.errors import StoreError
from tracking.store import access, artifacts
from tracking.store.connection import location_of
from tracking.store.location import StoreLocation

_FEW_TRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""A store that cannot be written to is said at once, not after minutes."""


def check(location: StoreLocation, run_id: str, node: str) -> None:
    """Write a metric and an artifact to a run and read them back. StoreError says what did not come back."""
    before = {name: os.environ.get(name) for name in _FEW_TRIES}
    os.environ.update(_FEW_TRIES)
    try:
        access.check_answers(location)
        _round_trip(MlflowClient(location.for_mlflow), run_id, node)
    except (MlflowException, OSError) as error:
        raise StoreError(" ".join(str(error).split())) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _round_trip(client: MlflowClient, run_id: str, node: str) -> None:
    now = time.time()
    client.log_metric(run_id, f"preflight/{node}", now)
    if client.get_run(run_id).data.metrics.get(f"preflight/{node}") != now:
        raise StoreError("the metric that was written did not come back")
    token, path = secrets.token_hex(16), f"preflight/{node}.txt"
    artifacts.add_text(client, run_id, token, path)
    if artifacts.path_of(location_of(client), run_id, path).read_text() != token:
        raise StoreError("the artifact that was written did not come back")
