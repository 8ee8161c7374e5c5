"""Ray: started on this machine, or joined."""

import contextlib
import logging
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweeps import ray_settings
from sweeps.ending import Ending
from sweeps.errors import ClusterError
from tracking.processes import name_of

LAUNCHER_CONFIG = "~/ray_bootstrap_config.yaml"
"""Where Ray's cluster launcher leaves its configuration on the head node."""
_ESSENTIAL = ("raylet", "gcs_server")
"""Processes of Ray without which it does nothing more."""
_SECONDS_TO_ANSWER = 10
_LONGEST_FOLDER = 36
"""Characters of the folder in which Ray makes its own: the path of a socket has 107 at most."""


@dataclass(frozen=True)
class Capacity:
    """What the whole cluster has, or will have where it grows on demand."""

    cpus: float
    gpus: float
    nodes: int
    """Those that are there now."""
    joined: bool
    """Whether Ray was running already: it may have nodes on other machines, now or later."""
    slots_override: int | None = None
    """How many packs run at once, where the user gives it (``--slots``)."""
    grows: bool = False
    """Whether its launcher may start more nodes."""

    def slots(self, cpu: float, gpu: float) -> int:
        """Return how many packs with these resources run at once. ClusterError where not even one fits."""
        if self.slots_override is not None:
            return self.slots_override
        fitting = [self.cpus / cpu] + ([self.gpus / gpu] if gpu else [])
        if min(fitting) < 1:
            raise ClusterError(
                f"a pack asks for {cpu:g} CPU and {gpu:g} GPU, but Ray has {self.cpus:g} and {self.gpus:g}; "
                f"lower resources.cpu or resources.gpu in the sweep file (or with --set)"
                + self.joined
                * "; if the cluster grows on demand, say with --slots N how many packs it can run at once"
            )
        return int(min(fitting) + 1e-9)

    def advice(self, gpu: float) -> str | None:
        """Return a line for a sweep that leaves GPUs idle which are there and may be paid for."""
        if gpu or not self.gpus:
            return None
        return (
            f"there are {self.gpus:g} GPUs and this sweep asks for none: its packs train on CPUs "
            "(--set resources.gpu=0.25 lets four share one)"
        )


@contextlib.contextmanager
def connect(
    address: str | None,
    num_cpus: int | None = None,
    slots: int | None = None,
    ending: Ending | None = None,
    *,
    preload: str = "",
) -> Iterator[Capacity]:
    """Start Ray on this machine, or join the cluster at ``address``; leave it at the end.

    ``slots``: see ``Capacity.slots_override``. ``ending``: watches Ray's processes, and ends what is left of them.
    ``preload``: a module that every worker of a Ray started here imports at once, one for each CPU.
    """
    ray_settings.apply()
    import ray

    if ray.is_initialized():
        raise ClusterError("this process is on a Ray already; call ray.shutdown() before a sweep starts or joins one")
    from sweeps.cluster.ray_internals import reread_settings, workers_alike

    ending = ending or Ending()
    with contextlib.ExitStack() as stack:
        stack.callback(_leave, ending)
        reread_settings()
        if address is None:
            _start(num_cpus, preload)
            stack.enter_context(workers_alike())
            ending.watch_ray({pid: name for pid in ending.processes() if (name := name_of(pid)) in _ESSENTIAL})
        else:
            _join(address)
        ending.take_signals()  # Ray has taken them
        total = ray.cluster_resources()  # type: ignore[no-untyped-call]
        alive = len([node for node in ray.nodes() if node["Alive"]])  # type: ignore[no-untyped-call]
        joined = address is not None
        grown = _resources_when_grown(Path(os.path.expanduser(LAUNCHER_CONFIG))) if joined else {}
        cpus, gpus = (max(total.get(name, 0.0), grown.get(name, 0.0)) for name in ("CPU", "GPU"))
        yield Capacity(cpus, gpus, alive, joined, slots, grows=bool(grown))


def _leave(ending: Ending) -> None:
    import ray

    ending.watch_ray({})
    ray.shutdown()
    ending.end_processes()


def _start(num_cpus: int | None, preload: str) -> None:
    """Start Ray for this sweep alone."""
    from sweeps.cluster.ray_internals import WithoutDriverPaths, interpreter, only_what_runs_packs, preloading

    if os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # no other process need know it, and no home
    if len(os.environ.get("TMPDIR", "")) > _LONGEST_FOLDER:
        os.environ.setdefault("RAY_TMPDIR", "/tmp")
    job = WithoutDriverPaths(runtime_env=interpreter())
    with _as_cluster_error("Ray could not be started on this machine"), only_what_runs_packs(job), preloading(preload):
        _init("local", job, num_cpus=num_cpus, include_dashboard=False)


def _join(address: str) -> None:
    """Join a cluster that is there. Ray itself would wait for one that is not, for minutes."""
    from sweeps.cluster.ray_internals import WithoutDriverPaths, address_of

    _ensure_token()
    with _as_cluster_error(f"no Ray cluster at {address}"):
        host, _, port = address_of(address).rpartition(":")
        if not port.isdecimal():
            raise ValueError("give HOST:PORT or auto")
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
        _init(address, WithoutDriverPaths())


def _init(address: str, job: Any, **more: Any) -> None:
    import ray

    ray.init(address=address, job_config=job, log_to_driver=False, logging_level=logging.ERROR, **more)


@contextlib.contextmanager
def _as_cluster_error(what: str) -> Iterator[None]:
    """Raise ClusterError, in one line that begins with ``what``, for what Ray raises when it is started or joined."""
    from ray.exceptions import RayError

    try:
        yield
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        raise ClusterError(f"{what}: {(str(error).strip() or type(error).__name__).splitlines()[0]}") from error


def _resources_when_grown(path: Path) -> dict[str, float]:
    """Return the resources of a cluster whose launcher left its configuration here, with all nodes that it may start.

    A cluster that grows from zero has nothing to count before the first pack asks for it.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        most = int(config["max_workers"])
        total: dict[str, float] = {}
        for name, kind in config["available_node_types"].items():
            count = 1 if name == config["head_node_type"] else min(most, int(kind.get("max_workers", 0)))
            for resource, amount in kind.get("resources", {}).items():
                total[resource] = total.get(resource, 0.0) + count * float(amount)
        return total
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return {}  # another launcher, or none: what is there now is what there is


def _ensure_token() -> None:
    """Make Ray's token if there is none, and keep it to its owner: Ray itself leaves it readable by all."""
    if os.environ["RAY_AUTH_MODE"] != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return
    token = Path(os.path.expanduser("~/.ray/auth_token"))
    try:
        token.parent.mkdir(exist_ok=True)
        with (
            contextlib.suppress(FileExistsError),
            open(os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file,
        ):
            file.write(secrets.token_hex(32))
        if stat.S_IMODE(token.stat().st_mode) != 0o600:
            token.chmod(0o600)
    except OSError as error:
        raise ClusterError(f"Ray's token {token} cannot be made ({error}); set RAY_AUTH_TOKEN to a secret") from error
