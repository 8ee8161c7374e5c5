"""A run that is asked of a server is made once, though the answer is lost."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from mlflow.exceptions import MlflowException

from tests.tracking.fabricated import Recorder, make_cell
from tracking import schema
from tracking.store import report_run, server_writer
from tracking.store.location import StoreLocation

CREATE = "/api/2.0/mlflow/runs/create"


class _Proxy(BaseHTTPRequestHandler):
    """Hands requests on to a server, and loses what it answers to the first that make a run."""

    behind: str
    losses: int
    before_it_is_asked: bool

    def do_GET(self) -> None:
        self._hand_on()

    def do_POST(self) -> None:
        self._hand_on()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lost = self.path == CREATE and type(self).losses > 0
        if lost:
            type(self).losses -= 1
        if not (lost and self.before_it_is_asked):
            connection = http.client.HTTPConnection(self.behind)
            connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        if lost:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def unsteady(served: StoreLocation) -> Iterator[tuple[StoreLocation, type[_Proxy]]]:
    """A server that is reached through a proxy, and the proxy."""

    class Proxy(_Proxy):
        behind, losses, before_it_is_asked = urlsplit(served.uri).netloc, 0, False

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield StoreLocation(f"http://127.0.0.1:{proxy.server_address[1]}"), Proxy
        proxy.shutdown()


@pytest.mark.parametrize("before_it_is_asked", [False, True])
@pytest.mark.parametrize("losses", [1, 2])
def test_a_lost_answer_doubles_nothing(
    recorder: Recorder, unsteady: tuple[StoreLocation, type[_Proxy]], losses: int, before_it_is_asked: bool
) -> None:
    location, proxy = unsteady
    through = Recorder(location, recorder.name)
    proxy.losses, proxy.before_it_is_asked = losses, before_it_is_asked
    report = report_run.ensure_report_run(through.sweep)
    proxy.losses = losses
    runs = through.start(make_cell(l1=1.0), 1, 2)
    assert proxy.losses == 0
    assert [run.info.run_id for run in recorder.runs("report")] == [report]
    assert len(recorder.runs("cell")) == 1
    made = {run.data.tags[schema.SEED_TAG]: run for run in recorder.runs("replicate")}
    assert [made[seed].info.run_id for seed in ("1", "2")] == [run.run_id for run in runs]
    assert len(recorder.runs("replicate")) == 2
    assert [made[seed].info.start_time for seed in ("1", "2")] == [run._began for run in runs]


def test_what_is_lost_again_and_again_is_an_error(
    recorder: Recorder, unsteady: tuple[StoreLocation, type[_Proxy]]
) -> None:
    location, proxy = unsteady
    through = Recorder(location, recorder.name)
    proxy.losses, proxy.before_it_is_asked = server_writer._TRIES, True
    with pytest.raises(MlflowException, match="no answer"):
        report_run.ensure_report_run(through.sweep)
    assert recorder.runs("report") == []


def test_a_refusal_is_said_at_once(recorder: Recorder, unsteady: tuple[StoreLocation, type[_Proxy]]) -> None:
    location, _ = unsteady
    through = Recorder(location, recorder.name)
    recorder.store.delete_experiment(recorder.experiment_id)
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        report_run.ensure_report_run(through.sweep)
