"""MLflow's server as a process of ours: its command line, its environment, its start and its end."""

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tracking import variables
from tracking.errors import StoreError
from tracking.server import mlflow_app
from tracking.server.logs import last_line, open_log

_SECONDS_TO_START = 600  # the first start of a new version may migrate a large database
_SECONDS_TO_STOP = 15
_SECONDS_TO_ANSWER = 5
_SECONDS_BETWEEN_LOOKS = 0.2

# Quiet, an end that does not wait for a client that never finishes, and no modules from the working folder.
_UVICORN = f"--no-access-log --log-level warning --timeout-graceful-shutdown 5 --app-dir {os.devnull}"

# Of MLflow's own variables only these reach the server: others could open what we close.
_SETTINGS = ("MLFLOW_S3_", "MLFLOW_BOTO_", "MLFLOW_SQLALCHEMYSTORE_")
_SWITCHED_OFF = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes, two gigabytes
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PYTHONSAFEPATH": "1",  # modules come from where we are installed, not from the working folder
}

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PORT_OF_HTTP = 80


def command(host: str, port: int, workers: int, names: Sequence[str]) -> list[str]:
    """Return the command line, less where artifacts go. ``names``: NAME:PORT by which clients may call it.

    The address of the database goes into ``environment``: everybody can read a command line.
    """
    if not importlib.metadata.entry_points(group="mlflow.app", name=mlflow_app.NAME):
        raise StoreError("the installation is older than its source: install it again (make .venv/installed)")
    # The UI's own requests come from these origins. Another port of this machine is another's page.
    own = [name for name in names if name not in _LOOPBACK or port == _PORT_OF_HTTP]
    origins = [f"{scheme}://{name}" for name in own for scheme in ("http", "https")]
    answered = dict.fromkeys((*names, own_netloc(host, port)))  # by the latter it makes pages from what it serves
    return [
        *(sys.executable, "-m", mlflow_app.__name__, "server", "--app-name", mlflow_app.NAME),
        *("--host", host, "--port", str(port), "--workers", str(workers)),
        *("--allowed-hosts", ",".join(answered), "--cors-allowed-origins", ",".join(origins)),
        *("--uvicorn-opts", _UVICORN),
    ]


def environment(database: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for the server: ours, less MLflow's settings and secrets that it needs not know."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_SETTINGS) or not name.startswith(("MLFLOW_", "_MLFLOW_", variables.PREFIX))
    }
    return {**ours, **_SWITCHED_OFF, "MLFLOW_BACKEND_STORE_URI": database, **(more or {})}


def loopback_names(port: int) -> tuple[str, ...]:
    """Return the names of this machine for itself. MLflow's default lets names as 10.example.org in besides."""
    return (*(f"{name}:{port}" for name in _LOOPBACK), *_LOOPBACK)


def netloc(host: str, port: int) -> str:
    """Return HOST:PORT as it stands in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_netloc(host: str, port: int) -> str:
    """Return the HOST:PORT by which a server that listens on ``host`` is called from its own machine."""
    return netloc({"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def check_port_is_free(host: str, port: int) -> None:
    """StoreError where a server could not listen."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, (address, _, *rest) = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port, *rest))
    except (OSError, OverflowError) as error:
        raise StoreError(f"port {port} of {host} cannot be used ({error}); give another --port") from error


class MlflowServer:
    """MLflow's server: one process that MLflow's command starts, and those that it starts in turn."""

    name = "the MLflow server"

    def __init__(self, words: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """``words``: of ``command``; ``variables``: of ``environment``."""
        self.log = log
        self._words, self._variables = words, variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, after an end to what a killed one has left; it is not ready yet."""
        self._kill()
        with open_log(self.log) as log:
            self._process = subprocess.Popen(
                self._words,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us
                umask=0o077,
            )

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self, host: str, port: int) -> None:
        """Return when it answers at the address; StoreError if it ends first."""
        deadline = time.monotonic() + _SECONDS_TO_START
        while not _answers(f"http://{own_netloc(host, port)}/health"):
            said = f"{last_line(self.log)} (log: {self.log})"
            if not self.is_running():
                raise StoreError(f"{self.name} does not start: {said}")
            if time.monotonic() > deadline:
                raise StoreError(f"{self.name} does not answer after {_SECONDS_TO_START} s: {said}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def wait(self, check_signals: Callable[[], None]) -> None:
        """StoreError when it has ended, which it does not by itself. ``check_signals``: of ``ended_by_signals``."""
        assert self._process is not None
        while (code := self._process.poll()) is None:
            check_signals()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise StoreError(f"{self.name} has ended with exit code {code}: {last_line(self.log)}")

    def stop(self) -> None:
        """End all of its processes, and wait until they have."""
        if self._process is not None and self.is_running():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_SECONDS_TO_STOP)
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
            try:
                self._process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                raise StoreError(
                    f"{self.name} (process {self._process.pid}) has not ended {_SECONDS_TO_STOP} s after it was "
                    f"killed: {last_line(self.log)} (log: {self.log})"
                ) from None


def _answers(address: str) -> bool:
    # Without a proxy, whatever the environment says: it is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=_SECONDS_TO_ANSWER) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
