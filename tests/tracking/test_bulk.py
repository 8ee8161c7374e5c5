"""What a server of ours answers at once is held to what MLflow's client returns of the same store."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.tracking.everything import OTHER, PARAMS, TAGS, exactly, fill_with_everything
from tests.tracking.fabricated import Recorder
from tests.tracking.served import free_port
from tracking import schema
from tracking.schema import Kind
from tracking.server import mlflow_process
from tracking.server.mlflow_process import MlflowServer
from tracking.store import http as bulk
from tracking.store import runs
from tracking.store.location import StoreLocation

QUESTION = {"experiment_id": "1", "where": {}, "tags": [], "params": [], "metrics": False}


@pytest.fixture(scope="module")
def filled(location: StoreLocation) -> Recorder:
    """An experiment that no test changes."""
    return fill_with_everything(Recorder(location, "test_bulk"))


@pytest.fixture(scope="module")
def port(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the server that ``dn ui`` runs."""
    port = free_port()
    words = mlflow_process.command("127.0.0.1", port, 1, mlflow_process.loopback_names(port))
    log = tmp_path_factory.mktemp("server") / "log"
    server = MlflowServer(words, mlflow_process.environment(location.uri), log)
    try:
        server.start()
        server.wait_until_ready("127.0.0.1", port)
        yield port
    finally:
        server.stop()


@pytest.fixture
def served(port: int) -> StoreLocation:
    return StoreLocation(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("kind", ["replicate", "cell", "report"])
@pytest.mark.parametrize("where", [{}, {schema.CELL_KEY: OTHER.key}, {schema.LABEL: "M"}])
def test_runs_are_those_of_the_client_in_its_order(
    filled: Recorder, served: StoreLocation, monkeypatch: pytest.MonkeyPatch, kind: Kind, where: dict[str, str]
) -> None:
    wanted: dict[str, Any] = {"tags": TAGS, "params": PARAMS, "metrics": True}
    at_once = bulk.find(served, filled.experiment_id, {**where, schema.KIND: kind}, **wanted)
    assert at_once is not None
    monkeypatch.setattr(bulk, "PATH", "/api/2.0/no-such-path")  # as at a server of MLflow's own
    assert bulk.find(served, filled.experiment_id, {}) is None
    by_client = runs.records(served, filled.experiment_id, kind, where, **wanted)
    assert by_client or where
    assert exactly(at_once) == exactly(by_client)


def test_nothing_is_answered_that_is_not_asked_for(filled: Recorder, served: StoreLocation) -> None:
    found = bulk.find(served, filled.experiment_id, {schema.KIND: "replicate"})
    assert found
    assert all((record.tags, record.params, record.metrics) == ({}, {}, {}) for record in found)


def test_a_server_that_does_not_answer_is_left_to_the_client() -> None:
    assert bulk.find(StoreLocation(f"http://127.0.0.1:{free_port()}"), "1", {}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"experiment_id": "1 or 1=1"},
        {"experiment_id": 1},
        {"experiment_id": "01"},
        {"experiment_id": "1\n"},
        {"experiment_id": "2147483648"},
        {"experiment_id": "9" * 5000},
        {"where": {"a\0": "b"}},
        {"where": {"a": "\0"}},
        {"where": {"a": "\ud800"}},
        {"tags": ["\ud800"]},
        {"where": {"a": 1}},
        {"where": {str(number): "" for number in range(11)}},
        {"tags": ["a"] * 101},
        {"params": ["a" * 251]},
        {"metrics": "yes"},
        {"more": 1},
    ],
)
def test_a_question_that_is_none_is_refused(port: int, wrong: dict[str, Any]) -> None:
    assert status_of(port, "POST", {**QUESTION, **wrong}) == 400


def test_a_question_is_a_post_of_json(port: int) -> None:
    assert status_of(port, "POST", QUESTION) == 200
    assert status_of(port, "GET", None) == 405
    assert status_of(port, "POST", None) == 400


@pytest.mark.parametrize("path", [bulk.PATH, "/api/2.0/mlflow/experiments/create"])
def test_json_that_is_too_deep_is_refused(port: int, path: str) -> None:
    deep = "[" * 100_000
    assert status_of(port, "POST", deep, path) == 400
    assert status_of(port, "POST", json.dumps(deep), path) == 400


def status_of(port: int, method: str, question: object, path: str = bulk.PATH) -> int:
    """``question``: a text is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        body = question if question is None or isinstance(question, str) else json.dumps(question)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
