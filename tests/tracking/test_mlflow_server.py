import os
import signal
import sys
from pathlib import Path

import pytest

from tests.tracking.served import free_port
from tracking.errors import StoreError
from tracking.server import mlflow_process
from tracking.server.mlflow_process import MlflowServer
from tracking.server.supervisor import ended_by_signals


def test_settings_that_would_open_the_server_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "elsewhere")
    monkeypatch.setenv("DN_SERVER_PASSWORD", "a secret")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AWS_PROFILE", "p")
    told = mlflow_process.environment("postgresql://u@h/d", {"PGPASSWORD": "p"})
    assert not {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "_MLFLOW_SERVER_FILE_STORE", "DN_SERVER_PASSWORD"} & set(
        told
    )
    assert (told["MLFLOW_S3_ENDPOINT_URL"], told["AWS_PROFILE"], told["PGPASSWORD"]) == ("http://minio:9000", "p", "p")
    assert told["MLFLOW_BACKEND_STORE_URI"] == "postgresql://u@h/d"
    assert told["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_the_command_line_names_no_database() -> None:
    words = mlflow_process.command("127.0.0.1", 5000, 2, ["a:5000"])
    assert words[words.index("--cors-allowed-origins") + 1] == "http://a:5000,https://a:5000"
    assert not [word for word in words if "store-uri" in word]


def test_an_installation_without_the_entry_point_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
    with pytest.raises(StoreError, match="install it again"):
        mlflow_process.command("127.0.0.1", 5000, 2, ["a:5000"])


@pytest.mark.parametrize(("port", "host"), [(99999, "127.0.0.1"), (80, "192.0.2.1"), (80, "no such name")])
def test_where_nobody_can_listen_is_one_line(port: int, host: str) -> None:
    with pytest.raises(StoreError, match=rf"port {port} of {host} cannot be used"):
        mlflow_process.check_port_is_free(host, port)


def test_one_that_never_answers_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_process, "_SECONDS_TO_START", 0)
    silent = MlflowServer(["sh", "-c", "echo at work; exec sleep 600"], {}, tmp_path / "log")
    silent.start()
    try:
        with pytest.raises(StoreError, match=rf"does not answer after 0 s: .* \(log: {tmp_path}/log\)"):
            silent.wait_until_ready("127.0.0.1", free_port())
    finally:
        silent.stop()
    assert not silent.is_running()


def test_other_ports_of_this_machine_are_other_origins() -> None:
    def origins(port: int) -> list[str]:
        words = mlflow_process.command("127.0.0.1", port, 1, mlflow_process.loopback_names(port))
        return words[words.index("--cors-allowed-origins") + 1].split(",")

    assert "http://localhost:5000" in origins(5000)
    assert "http://localhost" not in origins(5000)
    assert "http://localhost" in origins(80)


class _SignalInItsEnd:
    """Has a signal come where Python drops what its handler raises."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "ends"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_whose_exception_python_drops_still_ends_a_server(
    tmp_path: Path, number: signal.Signals, ends: type[BaseException]
) -> None:
    server = MlflowServer([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path / "log")
    server.start()
    went_on = []

    def serve() -> None:
        with ended_by_signals() as check_signals:
            _SignalInItsEnd(number)
            went_on.append(True)
            server.wait(check_signals)

    try:
        with pytest.raises(ends):
            serve()
    finally:
        server.stop()
    assert went_on
