"""Artifacts in an S3-compatible store: moto's, on the loopback address."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from tests.tracking.served import FIRST, USER, Server, free_port
from tracking import variables
from tracking.store import artifacts, report_run
from tracking.store import location as store
from tracking.store.connection import connect
from tracking.store.sweep_store import SweepStore

pytestmark = pytest.mark.postgres

BUCKET = "results"
KEY, SECRET, REGION = "a-key", "a secret of the bucket", "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A client of an S3 server with an empty bucket."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    try:
        _create_bucket(client, process)
        yield client
    finally:
        process.terminate()
        process.wait()


def _create_bucket(client: Any, process: "subprocess.Popen[bytes]") -> None:
    """As soon as the server answers."""
    for _ in range(300):
        try:
            client.create_bucket(Bucket=BUCKET)
            return
        except EndpointConnectionError:
            assert process.poll() is None
            time.sleep(0.2)
    raise AssertionError("moto's server does not answer")


@pytest.fixture(scope="module")
def running(open_folder: Path, bucket: Any) -> Iterator[Server]:
    endpoint = {"MLFLOW_S3_ENDPOINT_URL": bucket.meta.endpoint_url}
    options = ("--artifacts", f"s3://{BUCKET}/sweeps")
    made = Server(open_folder, free_port(), options=options, environment={**CREDENTIALS, **endpoint})
    try:
        made.start(FIRST)
        yield made
    finally:
        made.process.terminate()
        made.process.wait()


def test_an_artifact_goes_through_the_server_to_the_bucket_and_back(
    running: Server, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variables.TRACKING_USER, USER)
    monkeypatch.setenv(variables.TRACKING_PASSWORD, FIRST)
    for name in (*CREDENTIALS, "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)  # clients know nothing of the bucket
    location = store.locate(running.address)
    client = connect(location)
    run_id = report_run.ensure_report_run(SweepStore.find_or_create(location, "in a bucket"))
    client.log_text(run_id, "some text", "folder/file.txt")
    (held,) = bucket.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert held["Key"].startswith("sweeps/")
    assert held["Key"].endswith(f"{run_id}/artifacts/folder/file.txt")
    assert artifacts.path_of(location, run_id, "folder/file.txt").read_text() == "some text"
    assert not (running.data / "artifacts").exists() or not list((running.data / "artifacts").rglob("*.txt"))


def test_no_log_names_the_credentials_of_the_bucket(running: Server) -> None:
    logs = [path.read_text("utf-8", "replace") for path in (running.data / "log").glob("*.log")]
    assert logs
    assert not any(SECRET in text for text in (*logs, running.output))
