"""What this project knows of Ray that Ray does not promise: checked with 2.60; a test says when it changes."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from ray import _raylet
from ray._private.node import Node
from ray._private.services import get_ray_address_from_environment
from ray.job_config import JobConfig


class WithoutDriverPaths(JobConfig):
    """A job whose workers find modules where their Python finds them.

    Ray puts the driver's working folder, and the folder of its script, before everything else on a worker's path:
    any ``random.py`` or ``tracking.py`` in it would take the place of the module of that name.
    """

    @property
    def _py_driver_sys_path(self) -> list[str]:
        return []  # Ray extends what it finds here

    @_py_driver_sys_path.setter
    def _py_driver_sys_path(self, paths: Any) -> None:
        pass


def interpreter() -> dict[str, str] | None:
    """Return the runtime environment of a job whose workers run this interpreter; None where nothing need be said.

    Ray starts a worker by a line for a shell, in which it quotes everything but the interpreter's path: from a folder
    with a space in its name no worker would ever come.
    """
    quoted = shlex.quote(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}


@contextlib.contextmanager
def without_usage_reports() -> Iterator[None]:
    """Have no process started for usage reports, which Ray starts with no dashboard and with reports switched off.

    It asks the addresses of three clouds what they know of this machine.
    """

    def start_nothing(node: Any, *_: Any, **__: Any) -> None:
        node._webui_url = ""

    start = Node.start_api_server
    Node.start_api_server = start_nothing  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Node.start_api_server = start  # type: ignore[method-assign]


def address_of(given: str) -> str:
    """Return the HOST:PORT that ``ray.init`` joins for an address, which may be ``auto``. ConnectionError if none."""
    return str(get_ray_address_from_environment(given, None)).rpartition("://")[2]


def reread_settings() -> None:
    """Have Ray's core read its environment variables again: it did when it was imported, by whoever was first."""
    core: Any = _raylet  # compiled: it has no types
    core.Config.initialize("")
    core.AuthenticationTokenLoader.instance().reset_cache()


def clear_metric_statistics(trial: Any) -> None:
    """Drop Tune's statistics of every number that a trial has reported: half of the memory that it costs the driver.

    Tune keeps its trials to the end of an experiment, and nothing here looks at these.
    """
    kept = getattr(trial, "run_metadata", None)
    for name in ("metric_analysis", "metric_n_steps"):
        getattr(kept, name, {}).clear()
