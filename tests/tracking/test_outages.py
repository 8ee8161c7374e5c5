"""Which errors can pass, and which would be the same the next time."""

import errno
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import InvalidUrlException, MlflowException, RestException
from mlflow.protos import databricks_pb2 as codes
from safetensors import SafetensorError
from sqlalchemy import create_engine, exc, text

from tests.tracking.fabricated import Recorder
from tracking.store.outages import is_transient, reason


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def refused_by_server(answer: dict[str, str]) -> RestException:
    return RestException(answer)  # type: ignore[no-untyped-call]


PASSING = [
    requests.ConnectionError("refused"),
    requests.ReadTimeout("slow"),
    requests.JSONDecodeError("a proxy's page", "<html>", 0),
    *map(answered, (408, 429, 500, 502, 503, 504)),
    MlflowException("API request to http://h failed with exception refused"),
    MlflowException("busy", codes.TEMPORARILY_UNAVAILABLE),
    MlflowException("slowly", codes.REQUEST_LIMIT_EXCEEDED),
    refused_by_server({"error_code": "INTERNAL_ERROR", "message": "no database"}),
    ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
    TimeoutError(errno.ETIMEDOUT, "slow"),
    OSError(errno.EIO, "input/output error"),
    OSError("of some library"),
    ssl.SSLError(1, "the other side went away"),
    exc.TimeoutError("no connection is free"),
]
LASTING = [
    *map(answered, (400, 401, 403, 404)),
    requests.exceptions.InvalidURL("http://"),
    InvalidUrlException("http://"),
    MlflowException("name", codes.INVALID_PARAMETER_VALUE),
    MlflowException("The run must be active", codes.INVALID_STATE),
    MlflowException("API request to endpoint /x failed with error code 413 != 200. Response body: ''"),
    refused_by_server({"error_code": "PERMISSION_DENIED", "message": "no"}),
    refused_by_server({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}),
    OSError(errno.ENOSPC, "full"),
    OSError(errno.EDQUOT, "full"),
    OSError(errno.EROFS, "read-only"),
    PermissionError(errno.EACCES, "denied"),
    FileNotFoundError(errno.ENOENT, "gone"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ssl.SSLCertVerificationError(1, "expired"),
    ValueError("a bug"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_can_pass(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_would_be_the_same(error: Exception) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("inner", [OSError(errno.ENOSPC, "full"), requests.ConnectionError("refused")], ids=repr)
def test_a_cause_that_is_named_decides(inner: Exception) -> None:
    error = MlflowException("whatever", codes.INTERNAL_ERROR)
    error.__cause__ = inner
    assert is_transient(error) is is_transient(inner)
    assert reason(error) == " ".join(str(inner).split())


def test_an_error_that_was_dealt_with_decides_nothing() -> None:
    error = MlflowException("API request failed", codes.INTERNAL_ERROR)
    error.__context__ = FileNotFoundError(errno.ENOENT, "not in the cache")
    assert is_transient(error)


def test_a_database_that_is_locked_can_pass(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", connect_args={"timeout": 0})
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("create table t (x)")
        other.execute("begin exclusive")
        with pytest.raises(exc.OperationalError) as caught, engine.begin() as connection:
            connection.execute(text("insert into t values (1)"))
    assert is_transient(caught.value)
    assert reason(caught.value) == "database is locked"


def test_a_database_that_is_full_is_so_the_next_time(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path}/x.db").begin() as connection:
        connection.execute(text("pragma max_page_count=2"))
        connection.execute(text("create table t (x)"))
        with pytest.raises(exc.OperationalError) as caught:
            connection.execute(text("insert into t values (zeroblob(100000))"))
    assert not is_transient(caught.value)
    assert reason(caught.value) == "database or disk is full"


def test_a_run_that_is_not_there_is_so_the_next_time(recorder: Recorder) -> None:
    with pytest.raises(MlflowException, match="not found") as caught:
        recorder.store.set_tag("0" * 32, "a", "b")
    assert not is_transient(caught.value)
