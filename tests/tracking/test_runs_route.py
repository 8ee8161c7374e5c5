"""What the path for runs takes for a question. What it answers: ``test_queries``."""

import http.client
import json
from typing import Any

import pytest

from tracking.store import http as runs_path
from tracking.store.location import StoreLocation

QUESTION = {"experiment_id": "1", "where": {}, "tags": [], "params": [], "metrics": False}


@pytest.fixture(scope="module")
def port(served: StoreLocation) -> int:
    return int(served.uri.rpartition(":")[2])


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"experiment_id": "2147483648"}, "experiment_id: there is no such experiment\n"),
        (
            {"metrics": "yes", "more": 1},
            "metrics: Input should be a valid boolean; more: Extra inputs are not permitted\n",
        ),
    ],
)
def test_what_is_wrong_with_a_question_is_one_line(port: int, wrong: dict[str, Any], said: str) -> None:
    assert answer_of(port, "POST", {**QUESTION, **wrong}) == (400, said)


def test_an_experiment_that_is_not_there_is_not_found(port: int) -> None:
    assert answer_of(port, "POST", {**QUESTION, "experiment_id": "2147483647"}) == (404, "no experiment 2147483647\n")


def test_a_question_is_a_post_of_json(port: int) -> None:
    assert status_of(port, "POST", {**QUESTION, "experiment_id": "0"}) == 200
    assert status_of(port, "GET", None) == 405
    assert status_of(port, "POST", None) == 400


@pytest.mark.parametrize("path", [runs_path.PATH, "/api/2.0/mlflow/experiments/create"])
def test_json_that_is_too_deep_is_refused(port: int, path: str) -> None:
    deep = "[" * 100_000
    assert status_of(port, "POST", deep, path) == 400
    assert status_of(port, "POST", json.dumps(deep), path) == 400


def status_of(port: int, method: str, question: object, path: str = runs_path.PATH) -> int:
    return answer_of(port, method, question, path)[0]


def answer_of(port: int, method: str, question: object, path: str = runs_path.PATH) -> tuple[int, str]:
    """``question``: a text is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        body = question if question is None or isinstance(question, str) else json.dumps(question)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_column_is_made_once_for_a_name_however_many_runs_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    empty = runs_path._empty_column

    def counted(length: int) -> list[object]:
        made.append(length)
        return empty(length)

    monkeypatch.setattr(runs_path, "_empty_column", counted)
    runs = [(f"run {number}", "FINISHED", number, None) for number in range(50)]
    tags = [(run_id, name, run_id) for run_id, *_ in runs for name in ("a", "b")]
    answer = runs_path.encode(runs, {"tags": tags, "params": [], "metrics": []})
    assert made == [50, 50]
    assert [run.tags["b"] for run in runs_path.decode(answer)] == [run_id for run_id, *_ in runs]
