import base64
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tracking import variables
from tracking.errors import StoreError
from tracking.store import access, embedded, proxies, secret_files
from tracking.store import location as store
from tracking.store.connection import connect, log_in
from tracking.store.location import StoreLocation

LOGIN = (variables.TRACKING_URI, variables.TRACKING_USER, variables.TRACKING_PASSWORD, variables.TRACKING_PASSWORD_FILE)


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN:
        monkeypatch.setenv(name, "")  # rather than removed: what a test sets is then undone


def test_the_embedded_store_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = store.locate()
    assert location.database == tmp_path / "dn-store" / "mlflow.db"
    assert location.artifacts == tmp_path / "dn-store" / "artifacts"
    assert location.scratch == tmp_path / "dn-store" / "ray"


def test_a_folder_with_a_space_is_found_again(tmp_path: Path) -> None:
    assert store.locate(folder=tmp_path / "my store").database == tmp_path / "my store" / "mlflow.db"


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "https://mlflow.example.org/base"])
def test_a_server_keeps_its_address_and_its_artifacts(address: str) -> None:
    location = store.locate(address)
    assert location == StoreLocation(address)
    assert location.database is None
    assert access.exists(location)


def test_a_sqlite_address_is_an_embedded_store(tmp_path: Path) -> None:
    location = store.locate(f"sqlite:///{tmp_path}/other%20name.db")
    assert location.database == tmp_path / "other name.db"
    assert location.artifacts == tmp_path / "artifacts"


@pytest.mark.parametrize("address", ["", "file:///tmp/x", "/tmp/x", "sqlite:", "postgresql://host/db", "ftp://host"])
def test_other_addresses_are_refused_with_the_remedy(address: str) -> None:
    with pytest.raises(StoreError, match=r"is not supported: use http://HOST:PORT .*, sqlite:///PATH or a folder"):
        store.locate(address)


def test_the_environment_names_the_store_where_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variables.TRACKING_URI, "http://h:5000")
    assert store.locate().uri == "http://h:5000"
    assert store.locate("http://other:5000").uri == "http://other:5000"
    assert store.locate(folder=tmp_path).database == tmp_path / "mlflow.db"


@pytest.mark.parametrize("address", ["http://u:secret@h:5000", "https://secret@h", "postgresql://u:secret@h/d"])
def test_a_login_in_an_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(StoreError, match=r"holds a login: use \w+://h.* and set MLFLOW_TRACKING_USERNAME") as refused:
        store.locate(address)
    assert "secret" not in str(refused.value)


def test_a_prepared_store_has_a_write_ahead_log(location: StoreLocation) -> None:
    assert location.database is not None
    assert access.exists(location)
    with sqlite3.connect(location.database) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_commit_does_not_wait_for_the_disk(location: StoreLocation) -> None:
    connect(location)
    with create_engine(location.uri).connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 1  # NORMAL


def test_a_store_that_was_not_made_does_not_exist(tmp_path: Path) -> None:
    assert not access.exists(store.locate(folder=tmp_path))


def test_a_store_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot open the store .*taken/mlflow\.db"):
        embedded.prepare(store.locate(folder=tmp_path / "taken"))


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        location = store.locate(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StoreError, match=r"no MLflow server answers at http://127\.0\.0\.1"):
            access.check_answers(location)


Serve = Callable[[int, str], StoreLocation]


@pytest.fixture
def asked() -> list[str]:
    """What a server was asked: paths."""
    return []


@pytest.fixture
def serve(asked: list[str]) -> Iterator[Serve]:
    """Starts a server that gives one answer to everything."""
    servers: list[HTTPServer] = []

    def start(status: int, text: str) -> StoreLocation:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return store.locate(f"http://127.0.0.1:{servers[-1].server_port}/")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_answers_is_asked_once_for_something_cheap(serve: Serve, asked: list[str]) -> None:
    location = serve(200, '{"experiments": []}')
    access.check_answers(location)
    assert asked == ["/api/2.0/mlflow/experiments/search?max_results=1"]


def test_preparing_a_server_asks_nothing_and_makes_nothing(
    serve: Serve, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    embedded.prepare(serve(200, '{"experiments": []}'))
    assert asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (401, "", "wants a login: set MLFLOW_TRACKING_USERNAME, and MLFLOW_TRACKING_PASSWORD or DN_TRACKING_PASSWORD"),
        (403, "Invalid Host header - possible", "does not want to be called by this name: .*--allowed-hosts"),
        (403, "Permission denied", "does not let us read experiments"),
        (200, "<html>", r"is no MLflow server, or stands under another address \(it answers 200\)"),
        (302, "", "is no MLflow server, or stands under another address"),
        (404, "", "is no MLflow server, or stands under another address"),
        (503, "no\ndatabase", "answers 503: no database"),
    ],
)
def test_what_a_server_objects_to_is_one_line(serve: Serve, status: int, text: str, reason: str) -> None:
    with pytest.raises(StoreError, match=rf"^the server at http://127\.0\.0\.1:\d+/ {reason}"):
        access.check_answers(serve(status, text))


@pytest.mark.parametrize(("status", "reason"), [(401, "refuses the name or the password of"), (403, "does not let")])
def test_a_user_that_a_server_refuses_is_named(
    serve: Serve, status: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variables.TRACKING_USER, "researcher")
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "a secret")
    with pytest.raises(StoreError, match=f"{reason} the user 'researcher'") as refused:
        access.check_answers(serve(status, ""))
    assert "a secret" not in str(refused.value)


def test_what_a_proxy_answers_is_not_told_as_the_servers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(403, "Forbidden by policy").uri.removeprefix("http://").rstrip("/")
    monkeypatch.setenv("http_proxy", f"http://user:secret@{proxy}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "other.example.org")
    with pytest.raises(StoreError) as refused:
        access.check_answers(StoreLocation("http://store.example.org:5000"))
    assert str(refused.value) == (
        "what answers for http://store.example.org:5000 does not let us read experiments "
        f"(asked through the proxy {proxy} of http_proxy; to call it directly: no_proxy=store.example.org)"
    )


def test_this_machine_is_called_without_a_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:1")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    monkeypatch.setenv("NO_PROXY", "store.example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    proxies.spare_loopback(os.environ)
    access.check_answers(serve(200, "{}"))
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "store.example.org,localhost,127.0.0.1,127.0.0.0/8,::1"
    for address in ("http://127.0.0.2:1", "http://[::1]:1", "http://localhost:1", "http://store.example.org:1"):
        assert proxies.through(address) is None


def test_every_client_sends_the_password_in_its_file_and_no_other_process_inherits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking.request_header.registry import resolve_request_headers

    secret_files.write(tmp_path / "password", "of a file, näive\n")
    monkeypatch.setenv(variables.TRACKING_USER, "researcher")
    monkeypatch.setenv(variables.TRACKING_PASSWORD_FILE, str(tmp_path / "password"))
    connect(StoreLocation("http://127.0.0.1:1"))
    sent = resolve_request_headers()["Authorization"].removeprefix("Basic ")  # type: ignore[no-untyped-call]
    assert base64.b64decode(sent).decode() == "researcher:of a file, näive"
    assert not any("of a file" in value for value in os.environ.values())
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "of the environment")  # which MLflow reads itself
    assert "Authorization" not in resolve_request_headers()  # type: ignore[no-untyped-call]


def test_a_password_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "of the environment")
    monkeypatch.setenv(variables.TRACKING_PASSWORD_FILE, "/absent")
    log_in()
    assert os.environ[variables.TRACKING_PASSWORD] == "of the environment"


def test_a_password_without_a_user_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variables.TRACKING_PASSWORD_FILE, "/absent")
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_USERNAME is not: name the user"):
        log_in()
