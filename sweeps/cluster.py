"""Ray: started on this machine, or joined."""

import contextlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class ClusterError(Exception):
    """Ray cannot be started or joined; the message says why and what to do."""


@dataclass(frozen=True)
class Capacity:
    """What the whole cluster has."""

    cpus: float
    gpus: float
    nodes: int
    joined: bool
    """Whether Ray was running already: it may have nodes on other machines, now or later."""

    def slots(self, cpu: float, gpu: float) -> int:
        """Return how many packs with these resources run at once. ClusterError where not even one fits."""
        fitting = [self.cpus / cpu] + ([self.gpus / gpu] if gpu else [])
        if min(fitting) < 1:
            raise ClusterError(
                f"a pack asks for {cpu:g} CPU and {gpu:g} GPU, but Ray has {self.cpus:g} and {self.gpus:g}; "
                f"lower resources.cpu or resources.gpu in the sweep file (or with --set)"
            )
        return int(min(fitting) + 1e-9)


@contextlib.contextmanager
def connect(address: str | None, num_cpus: int | None = None) -> Iterator[Capacity]:
    """Start Ray on this machine, or join the cluster at ``address``; leave it at the end."""
    _ensure_token()
    import ray

    try:
        if address is None:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"no Ray cluster at {address}" if address else "Ray could not be started on this machine"
        raise ClusterError(f"{where}: {str(error).strip().splitlines()[0]}") from error
    try:
        total = ray.cluster_resources()  # type: ignore[no-untyped-call]
        alive = len([node for node in ray.nodes() if node["Alive"]])  # type: ignore[no-untyped-call]
        yield Capacity(total.get("CPU", 0.0), total.get("GPU", 0.0), alive, joined=address is not None)
    finally:
        ray.shutdown()


def _ensure_token() -> None:
    """Make Ray's token if there is none, and keep it to its owner: Ray itself leaves it readable by all."""
    if os.environ["RAY_AUTH_MODE"] != "token" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return
    token = Path.home() / ".ray" / "auth_token"
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
