"""One real server, with PostgreSQL and a login: what it lets in, what it survives, and what it leaves behind."""

import base64
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tracking.everything import PARAMS, TAGS, exactly, fill_with_everything
from tests.tracking.fabricated import Recorder, make_cell
from tests.tracking.served import FIRST, USER, Server, command_lines, free_port
from tracking import schema, variables
from tracking.errors import DeniedError, StoreError
from tracking.schema import Kind
from tracking.server import middleware, supervisor
from tracking.server.database import INDEX
from tracking.server.postgres import Postgres
from tracking.store import access, http, remote, secret_files
from tracking.store import location as store
from tracking.store.connection import connect
from tracking.store.queries import RunQuery
from tracking.store.sweep_store import SweepStore

pytestmark = pytest.mark.postgres

SECOND = "second password, long"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
CREATE = "/api/2.0/mlflow/experiments/create"
SECRETS = ("DN_SERVER_PASSWORD", "DN_DATABASE_URL", "DN_DATABASE_PASSWORD", "DN_TRACKING_PASSWORD")

OF_ANOTHER = {
    **{
        "PGPORT": "1",
        "PGHOST": "192.0.2.1",
        "PGHOSTADDR": "192.0.2.1",
        "PGOPTIONS": "-c no.such=1",
        "PGUSER": "nobody",
    },
    **{"http_proxy": "http://192.0.2.1:1", "HTTP_PROXY": "http://192.0.2.1:1", "all_proxy": "http://192.0.2.1:1"},
    **{"MLFLOW_TRACKING_URI": "http://192.0.2.1:1", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*"},
}
"""What a shell may have set for other servers."""


@pytest.fixture(scope="module")
def running(open_folder: Path) -> Iterator[Server]:
    made = Server(open_folder, free_port(), environment=OF_ANOTHER)
    made.start(FIRST)
    yield made
    made.process.terminate()
    made.process.wait()


@pytest.fixture
def client(running: Server, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client as a worker makes it: name in the environment, password in a file."""
    monkeypatch.setenv(variables.TRACKING_USER, USER)
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "")  # so that what is set in the test is undone
    monkeypatch.setenv(variables.TRACKING_PASSWORD_FILE, str(running.folder / "password"))
    location = store.locate(running.address)
    access.check_answers(location)
    return connect(location)


CALLS = [
    ("GET", "/"),
    ("GET", "/mlflow"),
    ("GET", "/sweeps/x"),
    ("GET", "/sweeps/health"),
    ("GET", "/sweeps/api/3.0/mlflow/server-info"),
    ("GET", SEARCH),
    ("POST", CREATE),
    ("POST", http.PATH),
    ("POST", "/graphql"),
    ("POST", "/api/2.0/mlflow/users/create"),
    ("GET", f"{ARTIFACTS}/x"),
    ("PUT", f"{ARTIFACTS}/x"),
    ("DELETE", f"{ARTIFACTS}/x"),
    ("GET", f"{ARTIFACTS}?path=x"),
    ("GET", "/get-artifact?run_id=x&path=x"),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_id=x&path=x"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_nothing_is_told_or_taken_without_the_login(running: Server, method: str, path: str) -> None:
    body = {"name": "intruder"} if method in ("POST", "PUT") else None
    assert running.call(method, path, body=body) == 401
    assert running.call(method, path, body=body, password="a wrong password") == 401


def test_the_login_opens(running: Server) -> None:
    assert running.call("GET", SEARCH, password=FIRST) == 200
    assert running.call("GET", SEARCH, password=FIRST, host=f"store.example.org:{running.port}") == 200


@pytest.mark.parametrize("host", ["evil.example.org", "10.evil.example.org", "localhost", "store.example.org:1", "*"])
def test_a_name_that_was_not_allowed_is_refused_even_with_the_login(running: Server, host: str) -> None:
    assert running.call("GET", SEARCH, password=FIRST, host=host) == 403
    assert running.call("PUT", f"{ARTIFACTS}/x", body={}, password=FIRST, host=host) == 403


def test_a_page_of_another_site_cannot_write_and_the_ui_can(running: Server) -> None:
    own = f"http://store.example.org:{running.port}"
    for origin in ("http://evil.example.org", "http://localhost:1", "http://127.0.0.1:1", "http://localhost", "null"):
        for method, path in (("POST", CREATE), ("GET", SEARCH), ("OPTIONS", CREATE), ("POST", "/graphql")):
            body = {"name": "of a page"} if method == "POST" else None
            assert running.call(method, path, body=body, password=FIRST, headers={"Origin": origin}) == 403
    assert running.call("POST", CREATE, body={"name": "of a page"}, password=FIRST, headers={"Origin": own}) == 200


@pytest.mark.parametrize(
    "path",
    [
        "../secrets/login.ini",
        "a/../../secrets/login.ini",
        "%2e%2e/secrets/login.ini",
        "..%2fsecrets%2flogin.ini",
        "%252e%252e%252fsecrets%252flogin.ini",
        "file:%2f%2f%2fetc%2fhostname",
    ],
)
def test_no_path_leads_out_of_the_artifacts(running: Server, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert running.call(method, f"{ARTIFACTS}/{path}", body={}, password=FIRST) == 400
    assert running.call("GET", f"{ARTIFACTS}?path={path}", password=FIRST) == 400
    assert running.call("GET", f"{ARTIFACTS}//etc/hostname", password=FIRST) == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/ajax-api/3.0/mlflow/scorer/invoke"),
        ("GET", "/ajax-api/3.0/jobs/1"),
        ("POST", "/gateway/proxy/x"),
        ("GET", "/ajax-api/3.0/mlflow/mcp-servers"),
    ],
)
def test_what_runs_commands_or_calls_others_is_closed(running: Server, method: str, path: str) -> None:
    assert running.call(method, path, body={}, password=FIRST) == 404


@pytest.mark.parametrize(
    "location",
    ["file:///etc", "/etc", "relative", "s3://bucket", "http://127.0.0.1/", "mlflow-artifacts:/1", "runs:/a"],
)
@pytest.mark.parametrize("name", ["artifact_location", "artifactLocation"])
def test_a_client_does_not_say_where_artifacts_go(running: Server, name: str, location: str) -> None:
    body = {"name": f"{name} {location}", name: location}
    for sent in (body, json.dumps(body)):  # MLflow reads a text of JSON too
        assert running.call("POST", CREATE, body=sent, password=FIRST) == 400


def test_a_model_does_not_say_where_its_files_are(running: Server) -> None:
    registry = "/api/2.0/mlflow"
    assert running.call("POST", f"{registry}/registered-models/create", body={"name": "m"}, password=FIRST) == 200
    for source in ("s3://bucket/a", "/etc", "file:///etc", "http://127.0.0.1/", "dbfs:/a"):
        asked = {"name": "m", "source": source}
        assert running.call("POST", f"{registry}/model-versions/create", body=asked, password=FIRST) == 400


@pytest.mark.parametrize(
    "location",
    ["file://{elsewhere}", "mlflow-artifacts:/../elsewhere", "http://h/api/2.0/mlflow-artifacts/artifacts/a"],
)
def test_runs_that_keep_their_artifacts_elsewhere_are_refused(
    running: Server, client: MlflowClient, tmp_path: Path, location: str
) -> None:
    """As an experiment of an older server may have it."""
    psycopg = pytest.importorskip("psycopg")
    experiment_id = client.create_experiment(f"elsewhere {location}")
    database = Postgres(running.data / "postgres", running.data / "secrets", running.folder / "log").database
    with psycopg.connect(database.address, password=database.password) as connection:
        moved = location.format(elsewhere=tmp_path)
        connection.execute(
            "update experiments set artifact_location = %s where experiment_id = %s", [moved, int(experiment_id)]
        )
    run_id = client.create_run(experiment_id).info.run_id
    (tmp_path / run_id / "artifacts").mkdir(parents=True)
    (tmp_path / run_id / "artifacts" / "x").write_text("a secret")
    for method, path in (
        ("GET", f"/get-artifact?run_id={run_id}&path=x"),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run_id}"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-download-url"),
    ):
        body = {"run_id": run_id, "path": "x"} if method == "POST" else None
        assert running.call(method, path, body=body, password=FIRST) in (400, 403)
    if location.startswith("file:"):  # through the other two MLflow writes into the folder that such a run has here
        path = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=y"
        assert running.call("POST", path, body={}, password=FIRST) == 403
    assert not list(tmp_path.rglob("y"))


def test_what_was_begun_of_a_cell_is_found_by_an_index(running: Server) -> None:
    psycopg = pytest.importorskip("psycopg")
    database = Postgres(running.data / "postgres", running.data / "secrets", running.folder / "log").database
    with psycopg.connect(database.address, password=database.password) as connection:
        connection.execute("set enable_seqscan = off")  # a table of few rows would else be read whole
        search = "explain select run_uuid from tags where key = %s and value = %s"
        plan = connection.execute(search, [schema.CELL_KEY, "a key"]).fetchall()
        assert INDEX in str(plan)
    database.prepare_tables()  # each start does


def test_the_database_knows_how_many_runs_are_replicates(running: Server) -> None:
    """Key and value of a tag go together: one key in ten has this value, and each run has it."""
    psycopg = pytest.importorskip("psycopg")
    database = Postgres(running.data / "postgres", running.data / "secrets", running.folder / "log").database
    with psycopg.connect(database.address, password=database.password) as connection:
        run = "select 'run' || i, '', '', 'active' from generate_series(1, 2000) i"
        connection.execute(f"insert into runs (run_uuid, name, artifact_uri, lifecycle_stage) {run}")
        tag = "select 'run' || i, 'key' || j, 'value' || j from generate_series(1, 2000) i, generate_series(1, 10) j"
        connection.execute(f"insert into tags (run_uuid, key, value) {tag}")
        connection.execute("analyze tags")
        search = "explain (format json) select * from tags where key = 'key1' and value = 'value1'"
        (plan,) = connection.execute(search).fetchone()
        connection.rollback()
    assert plan[0]["Plan"]["Plan Rows"] == pytest.approx(2000, rel=0.2)


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_without_the_login_is_refused_unread(running: Server, announced: bool) -> None:
    how = "Content-Length: 300000000" if announced else "Transfer-Encoding: chunked"
    for path in (CREATE, http.PATH, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=a&path=x"):
        assert answer(running, f"POST {path}", how) == "401"
    assert answer(running, f"PUT {ARTIFACTS}/x", how) == "401"
    assert answer(running, "GET /health", "Content-Length: 300000000") == "413"


def test_a_large_body_with_the_login_is_an_artifact(running: Server, client: MlflowClient, tmp_path: Path) -> None:
    login = "Authorization: Basic " + base64.b64encode(f"{USER}:{running.password}".encode()).decode()
    assert answer(running, f"POST {CREATE}", f"Content-Length: 300000000\r\n{login}") == "413"
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    run_id = client.create_run(client.create_experiment("of a large file")).info.run_id
    client.log_artifact(run_id, str(tmp_path / "large"))
    (tmp_path / "back").mkdir()
    assert Path(client.download_artifacts(run_id, "large", str(tmp_path / "back"))).stat().st_size == 20_000_000


def answer(running: Server, what: str, headers: str) -> str:
    """The status of a request whose body is never sent."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(f"{what} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n{headers}\r\n\r\n".encode())
        return connection.recv(1000).decode().split()[1]


def test_a_client_writes_and_reads_back(running: Server, client: MlflowClient, tmp_path: Path) -> None:
    experiment = SweepStore.find_or_create(store.locate(running.address), "of a client")
    run_id = client.create_run(experiment.experiment_id).info.run_id
    client.log_metric(run_id, "loss", 0.25)
    client.log_text(run_id, "an artifact", "folder/file.txt")
    assert client.get_run(run_id).data.metrics == {"loss": 0.25}
    assert Path(client.download_artifacts(run_id, "folder/file.txt", str(tmp_path))).read_text() == "an artifact"
    kept = list((running.data / "artifacts").rglob("file.txt"))
    assert [path.read_text() for path in kept] == ["an artifact"]


def test_runs_are_answered_at_once_as_the_client_gives_them(
    running: Server, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: tuple[Kind, ...] = ("replicate", "cell", "report")
    recorder = fill_with_everything(Recorder(store.locate(running.address), "everything"))
    for kind in kinds:
        at_once = http.find(
            recorder.location, RunQuery(recorder.experiment_id, {schema.KIND: kind}, TAGS, PARAMS, metrics=True)
        )
        assert at_once
        with monkeypatch.context() as patch:
            patch.setattr(http, "find", lambda *_, **__: None)
            by_client = recorder.sweep.records(kind, tags=TAGS, params=PARAMS, metrics=True)
        assert exactly(at_once) == exactly(by_client)


def test_runs_are_answered_to_those_who_may_read_them(
    running: Server, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.client import AuthServiceClient  # and the whole server

    experiment_id = client.create_experiment("of some")
    client.create_run(experiment_id)
    access = AuthServiceClient(running.address)
    access.create_user("reader", "password of a reader")
    access.grant_user_permission("reader", "experiment", experiment_id, "DENY")
    with monkeypatch.context() as patch:
        patch.setenv(variables.TRACKING_USER, "reader")
        patch.setenv(variables.TRACKING_PASSWORD, "password of a reader")
        assert http.find(store.locate(running.address), RunQuery(experiment_id)) is None
        question = {"where": {}, "tags": [], "params": [], "metrics": False}
        for other_way in (f"0{experiment_id}", f" {experiment_id}", f"+{experiment_id}"):
            asked = {**question, "experiment_id": other_way}
            answer = remote.ask(store.locate(running.address), "POST", http.PATH, timeout=20, json=asked)
            assert answer.status_code in (400, 403)
    access.revoke_user_permission("reader", "experiment", experiment_id)
    access.grant_user_permission("reader", "experiment", experiment_id, "READ")
    monkeypatch.setenv(variables.TRACKING_USER, "reader")
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "password of a reader")
    found = http.find(store.locate(running.address), RunQuery(experiment_id))
    assert found is not None
    assert len(found) == 1


def test_sweeps_have_pages_of_what_their_reader_may_read(running: Server, client: MlflowClient) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    reader, password = "reader of pages", "password of a reader of pages"
    recorder = Recorder(store.locate(running.address), "of all/pages")
    cell = make_cell(l1=1.0)
    recorder.announce({"M": [cell]})
    recorder.finish(cell, 0)
    (run,) = recorder.runs("replicate")
    AuthServiceClient(running.address).create_user(reader, password)
    links = ['href="./sweeps/of%20all%2Fpages"', f'href="mlflow#/experiments/{recorder.experiment_id}/runs']
    path = "/sweeps/of%20all%2Fpages"
    for login in ((USER, FIRST), (reader, password)):
        status, text = running.read("/", *login)
        assert status == 200, (login, text)
        assert all(link in text for link in links)
        status, text = running.read(path, *login)
        assert status == 200, (login, text)
        assert f'href="../mlflow#/experiments/{recorder.experiment_id}/runs/{run.info.run_id}"' in text
        assert "<title>MLflow</title>" in running.read("/mlflow", *login)[1]
    assert running.read("/sweeps/none", *login) == (404, "no sweep 'none' in the store\n")
    AuthServiceClient(running.address).grant_user_permission(reader, "experiment", recorder.experiment_id, "DENY")
    assert links[0] not in running.read("/", reader, password)[1]
    assert running.read(path, reader, password) == (403, "you may not read the sweep 'of all/pages'\n")
    assert running.read(path, USER, FIRST)[0] == 200


def test_a_page_that_is_none_is_not_found_by_anybody(running: Server, client: MlflowClient) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    reader, password = "reader of nothing", "password of a reader of nothing"
    AuthServiceClient(running.address).create_user(reader, password)
    client.delete_experiment(client.create_experiment("deleted"))
    for login in ((USER, FIRST), (reader, password)):
        for name, why in (("Default", "the store does not know what"), ("deleted", "the sweep 'deleted' was deleted")):
            status, text = running.read(f"/sweeps/{name}", *login)
            assert (status, text.count("\n")) == (404, 1)
            assert text.startswith(why)
        assert running.read("/sweeps", *login)[0] == 302
        assert running.read("/sweeps/", *login)[0] == 302
        sent = {"Authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()}
        assert running.call("HEAD", "/sweeps/none", headers=sent) == 404
        question = {"experiment_id": "99", "where": {}, "tags": [], "params": [], "metrics": False}
        assert running.call("POST", http.PATH, body=question, headers=sent) == 404


def test_a_sweep_that_a_user_may_not_read_is_refused_in_words(
    running: Server, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    reader, password = "reader of others", "password of a reader of others"
    experiment_id = client.create_experiment("of others")
    users = AuthServiceClient(running.address)
    users.create_user(reader, password)
    users.grant_user_permission(reader, "experiment", experiment_id, "DENY")
    monkeypatch.setenv(variables.TRACKING_USER, reader)
    monkeypatch.setenv(variables.TRACKING_PASSWORD, password)
    location = store.locate(running.address)
    for find in (SweepStore.find, SweepStore.find_or_none, SweepStore.find_or_create):
        with pytest.raises(DeniedError, match=r"does not let the user 'reader of others' read the sweep 'of others'$"):
            find(location, "of others")


def test_a_server_without_a_login_has_the_same_pages(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (variables.TRACKING_USER, variables.TRACKING_PASSWORD, variables.TRACKING_PASSWORD_FILE):
        monkeypatch.delenv(name, raising=False)
    folder = open_folder / "of all"
    folder.mkdir(0o711)
    running = Server(folder, free_port(), environment={"DN_SERVER_PASSWORD_FILE": ""})
    running.start(FIRST)
    try:
        recorder = Recorder(store.locate(running.address), "of all")
        cell = make_cell(l1=1.0)
        recorder.announce({"M": [cell]})
        assert 'href="./sweeps/of%20all"' in running.read("/")[1]
        assert "replicates behind the table" not in running.read("/sweeps/of%20all")[1]
        recorder.finish(cell, 0)
        assert "replicates behind the table" in running.read("/sweeps/of%20all")[1]
        assert "<title>MLflow</title>" in running.read("/mlflow")[1]
        assert running.read("/health") == (200, "OK")
        for path in ("/", "/sweeps/of%20all", "/mlflow"):
            assert running.call("GET", path, host="evil.example.org") == 403
            assert running.call("GET", path, headers={"Origin": "http://evil.example.org"}) == 403
        running.kill_postgresql()
        question = {"experiment_id": "1", "where": {}, "tags": [], "params": [], "metrics": False}
        assert running.call("POST", http.PATH, body=question) == 503
        assert running.read("/sweeps/of%20all") == (503, f"{middleware.UNAVAILABLE}\n")
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
        running.process.terminate()
        running.process.wait()


def test_a_command_without_the_login_is_told_what_to_set(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (variables.TRACKING_USER, variables.TRACKING_PASSWORD, variables.TRACKING_PASSWORD_FILE):
        monkeypatch.delenv(name, raising=False)
    location = store.locate(running.address)
    with pytest.raises(StoreError, match="wants a login: set MLFLOW_TRACKING_USERNAME, and"):
        access.check_answers(location)
    monkeypatch.setenv(variables.TRACKING_USER, USER)
    monkeypatch.setenv(variables.TRACKING_PASSWORD, "a wrong password")
    with pytest.raises(StoreError, match=f"refuses the name or the password of the user '{USER}'") as refused:
        access.check_answers(location)
    assert "a wrong password" not in str(refused.value)


def test_a_command_that_uses_a_name_that_was_not_allowed_is_told(running: Server, client: MlflowClient) -> None:
    with pytest.raises(StoreError, match="start it with the name in --allowed-hosts"):
        access.check_answers(store.locate(f"http://localhost:{running.port}"))


def test_no_secret_is_in_a_command_line_or_in_what_is_printed_or_logged(running: Server) -> None:
    secrets = [FIRST, *(path.read_text() for path in (running.data / "secrets").iterdir() if path.suffix != ".ini")]
    assert len(secrets) == 4  # of the administrator, of two roles of PostgreSQL, of Flask
    logs = [path.read_text("utf-8", "replace") for path in (running.data / "log").iterdir()]
    for text in [running.output, *logs, *command_lines().values()]:
        assert not [secret for secret in secrets if secret in text]


def test_only_its_owner_can_open_what_it_keeps(running: Server) -> None:
    for name in ("secrets", "log", "artifacts", "postgres"):
        assert (running.data / name).stat().st_mode & 0o077 == 0
    for path in [*(running.data / "secrets").iterdir(), *(running.data / "artifacts").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def test_a_second_server_in_the_folder_is_refused(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = supervisor.settings(running.data, port=free_port())
    with pytest.raises(StoreError, match=f"another dn server runs in {running.data}"):
        supervisor.run(wanted, print, print)


def test_a_killed_mlflow_comes_back(running: Server, client: MlflowClient) -> None:
    before = running.mlflow()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    running.wait(lambda: running.mlflow() not in (None, before))
    assert "dn: the MLflow server has ended; starting it again" in running.output
    assert client.get_experiment("0").name == "Default"  # it calls until it is answered


def test_a_killed_postgresql_comes_back(running: Server, client: MlflowClient) -> None:
    before = running.postmaster()
    try:
        running.kill_postgresql()
        answer = running.read("/", "somebody", "whose password is not remembered")
        assert answer == (503, middleware.UNAVAILABLE)
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    running.wait(lambda: "dn: PostgreSQL has ended; starting it again" in running.output)
    assert client.get_experiment("0").name == "Default"
    assert running.postmaster() != before


def test_after_a_kill_of_dn_the_next_start_takes_over_and_a_new_password_holds(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    postmaster, left = running.postmaster(), running.marked()
    running.process.kill()
    running.process.wait()
    assert left
    running.start(SECOND)
    assert running.postmaster() == postmaster
    assert not set(left) & set(running.marked())
    assert running.call("GET", SEARCH, password=FIRST) == 401
    assert running.call("GET", SEARCH, password=SECOND) == 200
    assert running.call("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", password=SECOND) == 200


def test_a_signal_ends_everything(running: Server) -> None:
    assert len(running.processes()) > 3
    running.process.terminate()
    assert running.process.wait() == 0
    assert running.processes() == {}


@pytest.fixture
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    return monkeypatch


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.5", "store.example.org"])
def test_other_machines_are_not_served_without_a_login(tmp_path: Path, no_secrets: object, host: str) -> None:
    with pytest.raises(StoreError, match=r"it needs a password of at least 12 .* DN_SERVER_PASSWORD_FILE names$"):
        supervisor.settings(tmp_path, host=host, allowed_hosts="store.example.org")


def test_other_machines_are_not_served_by_any_name(tmp_path: Path, no_secrets: pytest.MonkeyPatch) -> None:
    no_secrets.setenv("DN_SERVER_PASSWORD", FIRST)
    with pytest.raises(StoreError, match="it needs --allowed-hosts NAME:PORT"):
        supervisor.settings(tmp_path, host="0.0.0.0")


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, no_secrets: object) -> None:
    with pytest.raises(StoreError, match=r"needs a password .*, and --allowed-hosts"):
        supervisor.settings(tmp_path, host="0.0.0.0")


@pytest.mark.parametrize("hosts", ["*", "*.example.org", "10.*", "a,*", "", "a,,b", "http://a", "a:port", "a/b", "a b"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_wildcards_and_what_is_no_name_are_refused(
    tmp_path: Path, no_secrets: pytest.MonkeyPatch, host: str, hosts: str
) -> None:
    no_secrets.setenv("DN_SERVER_PASSWORD", FIRST)
    with pytest.raises(StoreError, match="--allowed-hosts: expected NAME or NAME:PORT, no wildcards"):
        supervisor.settings(tmp_path, host=host, allowed_hosts=hosts)


def test_a_password_that_others_can_read_is_refused(tmp_path: Path, no_secrets: pytest.MonkeyPatch) -> None:
    secret_files.write(tmp_path / "password", FIRST)
    (tmp_path / "password").chmod(0o644)
    no_secrets.setenv("DN_SERVER_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(StoreError, match=r"other users can open .*/password \(mode 644\): chmod 600"):
        supervisor.settings(tmp_path, host="0.0.0.0", allowed_hosts="a")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DN_SERVER_PASSWORD", "too short", "expected at least 12 characters, found 9"),
        ("DN_SERVER_USER", "a:b", "'a:b' cannot be the name of a user"),
    ],
)
def test_a_login_that_cannot_be_is_refused(
    tmp_path: Path, no_secrets: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    no_secrets.setenv("DN_SERVER_PASSWORD", FIRST)
    no_secrets.setenv(name, value)
    with pytest.raises(StoreError, match=reason):
        supervisor.settings(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_alone_needs_no_login_and_is_called_by_its_own_names(
    tmp_path: Path, no_secrets: object, host: str
) -> None:
    made = supervisor.settings(tmp_path, host=host, port=7)
    assert made.login is None
    assert made.names == ("127.0.0.1:7", "localhost:7", "[::1]:7", "127.0.0.1", "localhost", "[::1]")


def test_a_name_without_a_port_stands_for_both_spellings(tmp_path: Path, no_secrets: object) -> None:
    made = supervisor.settings(tmp_path, port=7, allowed_hosts="Store.example.org, a:80,[fd00::1],[fd00::1]:80")
    assert made.names == (
        "store.example.org:7",
        "store.example.org",
        "a:80",
        "[fd00::1]:7",
        "[fd00::1]",
        "[fd00::1]:80",
    )


def test_artifacts_lie_in_the_folder_or_where_they_are_wanted(tmp_path: Path, no_secrets: pytest.MonkeyPatch) -> None:
    no_secrets.setattr(supervisor, "_check_is_installed", lambda *_: None)
    no_secrets.chdir(tmp_path)
    assert supervisor.settings(Path("s")).artifacts == str(tmp_path / "s" / "artifacts")
    assert supervisor.settings(Path("s"), artifacts="other").artifacts == str(tmp_path / "other")
    assert supervisor.settings(Path("s"), artifacts="s3://bucket/prefix").artifacts == "s3://bucket/prefix"


def test_a_package_that_is_missing_is_named(tmp_path: Path, no_secrets: pytest.MonkeyPatch) -> None:
    no_secrets.setattr("importlib.util.find_spec", lambda name: None if name == "psycopg" else object())
    with pytest.raises(StoreError, match=r"needs psycopg: pip install 'dropneuron-distributed\[server\]'"):
        supervisor.settings(tmp_path)
    no_secrets.setattr("importlib.util.find_spec", lambda name: None if name == "boto3" else object())
    with pytest.raises(StoreError, match="needs boto3: pip install boto3"):
        supervisor.settings(tmp_path, artifacts="s3://bucket")


def test_what_an_earlier_server_left_and_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[int] = []
    monkeypatch.setattr(supervisor, "_SECONDS_TO_END", 0.01)
    monkeypatch.setattr("tracking.processes.marked", lambda *_: [12345])
    monkeypatch.setattr("os.kill", lambda _, number: told.append(number))
    with pytest.raises(StoreError, match=rf"does not end: processes 12345 \(logs: {tmp_path}/log\)"):
        supervisor._end_leftover_processes(tmp_path)
    assert set(told) <= {signal.SIGTERM, signal.SIGKILL}
    assert told


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, no_secrets: object) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot make .*/taken"):
        supervisor.run(supervisor.settings(tmp_path / "taken", port=free_port()), print, print)


def test_a_taken_port_is_one_line(tmp_path: Path, no_secrets: object) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = supervisor.settings(tmp_path / "s", port=taken.getsockname()[1])
        with pytest.raises(StoreError, match=r"port \d+ of 127\.0\.0\.1 cannot be used"):
            supervisor.run(wanted, print, print)
