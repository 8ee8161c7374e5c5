"""Who has no token gets nothing from Ray: no job is taken, no client and no driver let in.

The shipped files start Ray without a dashboard; images have it, and with it the server of ``ray job submit``.
"""

import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import ray

from sweeps.cluster.connection import Capacity

SECONDS = 120
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shlex.quote(sys.prefix) != sys.prefix,
        reason=f"Ray starts its client server by a line for a shell and does not quote its path, here {sys.prefix!r}",
    ),
]


@dataclass(frozen=True)
class Head:
    token: str
    home: Path
    gcs: int
    dashboard: int
    client: int

    def post(self, path: str, token: str | None, body: object) -> int:
        """The status that the dashboard's server answers with."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        address = f"http://127.0.0.1:{self.dashboard}{path}"
        try:
            with urlopen(Request(address, json.dumps(body).encode(), headers), timeout=SECONDS) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    @property
    def doors(self) -> tuple[str, str]:
        """Where Ray's client and a driver join."""
        return f"ray://127.0.0.1:{self.client}", f"127.0.0.1:{self.gcs}"

    def join(self, address: str, token: str | None) -> "subprocess.Popen[str]":
        """Join from a process of its own and run a task."""
        return join(address, self.home, token)


def join(address: str, home: Path, token: str | None) -> "subprocess.Popen[str]":
    """See ``Head.join``."""
    script = f"import ray; ray.init('{address}'); print('got', ray.get(ray.remote(lambda: 6 * 7).remote()))"
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment_of(home, token), cwd=home, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def environment_of(home: Path, token: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"HOME": str(home)} | ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {})


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    found = Head(secrets.token_hex(32), tmp_path_factory.mktemp("home"), *free_ports(3))
    words = [
        *(str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=1"),
        *("--node-ip-address=127.0.0.1", f"--port={found.gcs}", f"--ray-client-server-port={found.client}"),
        *("--include-dashboard=true", f"--dashboard-port={found.dashboard}"),
        f"--dashboard-agent-listen-port={free_ports(1)[0]}",
    ]
    environment = environment_of(found.home, found.token) | {"RAY_USAGE_STATS_ENABLED": "0"}
    with (found.home / "log").open("w") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_up(found, process)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_up(head: Head, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    for port in (head.gcs, head.dashboard, head.client):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (head.home / "log").read_text()
                assert time.monotonic() < deadline, (head.home / "log").read_text()
                time.sleep(0.2)


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["without", "with a wrong one"])
def test_no_job_is_taken_without_the_token(head: Head, token: str | None) -> None:
    wanted = {"entrypoint": f"touch {head.home / 'was-here'}"}
    assert head.post("/api/jobs/", token, wanted) in (401, 403)
    assert head.post("/api/jobs/", head.token, {"entrypoint": "true"}) == 200
    assert not (head.home / "was-here").exists()


def test_nobody_joins_without_the_token(head: Head) -> None:
    strangers = [head.join(door, token) for door in head.doors for token in (None, "0" * 64)]
    for stranger in strangers:  # at once: each tries for half a minute
        said, _ = stranger.communicate(timeout=SECONDS)
        assert stranger.returncode != 0
        assert "got" not in said.split()


def test_nobody_joins_a_ray_that_a_sweep_has_started_here(capacity: Capacity, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    strangers = [join(address, tmp_path, token) for token in (None, "0" * 64)]
    for stranger in strangers:
        said, _ = stranger.communicate(timeout=SECONDS)
        assert stranger.returncode != 0
        assert "got" not in said.split()


def test_with_the_token_every_door_opens(head: Head) -> None:
    for door in head.doors:
        for _ in range(3):  # Ray's client server forks beside gRPC's threads: now and then the child dies at once
            said, _ = head.join(door, head.token).communicate(timeout=SECONDS)
            if "Starting Ray client server failed" not in said:
                break
        assert "got 42" in said, said[-2000:]
