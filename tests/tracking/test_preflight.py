"""Before a sweep, a node writes to the store and reads back."""

import os
import socket

import pytest

from tests.tracking.fabricated import Recorder
from tracking.errors import StoreError
from tracking.store import artifacts, preflight, report_run
from tracking.store import location as store
from tracking.store.location import StoreLocation


def test_a_store_that_works_passes_and_keeps_the_proof(recorder: Recorder, location: StoreLocation) -> None:
    run_id = report_run.ensure_report_run(recorder.sweep)
    preflight.check(location, run_id, "10.0.0.7")
    assert "preflight/10.0.0.7" in recorder.store.get_run(run_id).data.metrics
    assert recorder.artifact(run_id, "preflight/10.0.0.7.txt").is_file()


def test_a_run_that_is_not_there_is_told_in_one_line(location: StoreLocation) -> None:
    with pytest.raises(StoreError, match="Run with id=0000 not found") as told:
        preflight.check(location, "0000", "a-node")
    assert "\n" not in str(told.value)


def test_a_server_that_is_not_there_is_told_and_nothing_is_left_changed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    before = dict(os.environ)
    with pytest.raises(StoreError, match="no MLflow server answers"):
        preflight.check(store.locate(f"http://127.0.0.1:{port}"), "0000", "a-node")
    assert dict(os.environ) == before


def test_an_artifact_that_comes_back_changed_is_refused(
    recorder: Recorder, location: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = report_run.ensure_report_run(recorder.sweep)
    genuine = artifacts.add_text
    monkeypatch.setattr(artifacts, "add_text", lambda client, run, text, name: genuine(client, run, text[::-1], name))
    with pytest.raises(StoreError, match="the artifact that was written did not come back"):
        preflight.check(location, run_id, "a-node")


def test_a_figure_that_comes_back_changed_is_refused(
    recorder: Recorder, location: StoreLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = report_run.ensure_report_run(recorder.sweep)
    monkeypatch.setattr("mlflow.MlflowClient.log_metric", lambda *_: None)
    with pytest.raises(StoreError, match="the metric that was written did not come back"):
        preflight.check(location, run_id, "a-node")
