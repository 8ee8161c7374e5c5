"""``dn server`` as a user starts it, and the server of ``dn ui``, for tests."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tracking import variables
from tracking.processes import marked
from tracking.server import mlflow_process
from tracking.server.mlflow_process import MlflowServer
from tracking.store import secret_files
from tracking.store.location import StoreLocation

USER, FIRST = "researcher", "first password, long"


@dataclass
class Server:
    """``dn server`` in a folder, as a user starts it."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]" = field(init=False)
    password: str = FIRST
    options: tuple[str, ...] = ()
    """Further words of its command line."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "a server"

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text("utf-8")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, password: str) -> None:
        """Return when it says that it is ready."""
        self.password = password
        secret_files.write(self.folder / "password", password)
        environment = {**os.environ, "DN_SERVER_USER": USER, "DN_SERVER_PASSWORD_FILE": str(self.folder / "password")}
        environment |= self.environment
        command = [
            sys.executable,
            "-m",
            "sweeps.cli",
            "server",
            "--folder",
            str(self.data),
            "--port",
            str(self.port),
        ]
        command += ["--allowed-hosts", f"127.0.0.1:{self.port},store.example.org:{self.port}", *self.options]
        with (self.folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.wait(lambda: "tracking server: " in self.output)

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait, but not for what cannot happen any more."""
        while not until():
            assert self.process.poll() is None, self.output
            time.sleep(0.2)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        password: str | None = None,
        host: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> int:
        """Return the status of a request that is sent as it stands: no client tidies up its path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        sent = {"Host": host or f"127.0.0.1:{self.port}", "Content-Type": "application/json", **(headers or {})}
        if password is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            return connection.getresponse().status
        finally:
            connection.close()

    def read(self, path: str, user: str = USER, password: str | None = None) -> tuple[int, str]:
        """Return status and text of what is at a path, for a user with the password; without one for nobody."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        try:
            connection.request("GET", path, headers={"Authorization": f"Basic {login}"} if password else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def processes(self) -> dict[int, str]:
        """The command lines of all processes that belong to the folder, by number."""
        return {
            number: line for number, line in command_lines().items() if number in self.marked() or self.is_ours(line)
        }

    def marked(self) -> list[int]:
        return marked(variables.SERVER_MARK, str(self.data))

    def is_ours(self, line: str) -> bool:
        return str(self.data) in line

    def mlflow(self) -> int | None:
        """The process of MLflow that dn started."""
        found = [
            number for number in self.marked() if "tracking.server.mlflow_app server" in command_lines().get(number, "")
        ]
        return found[0] if found else None

    def postmaster(self) -> int:
        return int((self.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])

    def kill_postgresql(self) -> None:
        """Kill PostgreSQL while dn is stopped, which would start it again; return when nothing of it can answer.

        The processes of its connections end a moment after it, each when it sees that it is alone.
        """
        postmaster = self.postmaster()
        connections = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        os.kill(self.process.pid, signal.SIGSTOP)
        os.kill(postmaster, signal.SIGKILL)
        self.wait(lambda: not any(command_lines().get(int(number)) for number in connections))


def command_lines() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve_store(location: StoreLocation, log: Path) -> Iterator[StoreLocation]:
    """Serve an embedded store as ``dn ui`` does; gives its address."""
    port = free_port()
    words = mlflow_process.command("127.0.0.1", port, 1, mlflow_process.loopback_names(port))
    server = MlflowServer(words, mlflow_process.environment(location.uri), log)
    try:
        server.start()
        server.wait_until_ready("127.0.0.1", port)
        yield StoreLocation(f"http://127.0.0.1:{port}")
    finally:
        server.stop()
