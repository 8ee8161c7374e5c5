"""What this project knows of Ray that Ray does not promise: checked with 2.60; a test says when it changes."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from ray import _raylet
from ray._private.node import Node
from ray._private.services import get_ray_address_from_environment
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.job_config import JobConfig

PRELOAD = "RAY_preload_python_modules"
"""Modules that workers import when they start; read by the raylet."""


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
def only_what_runs_packs() -> Iterator[None]:
    """Have Ray start no process but those that packs need: its start takes a third less of the processors' time.

    Left out are the one for usage reports, which Ray starts with no dashboard and with reports switched off, and which
    asks the addresses of three clouds what they know of this machine; the one that asks a launcher for more nodes; and
    the one that sends what workers print to the driver, where nobody shows it.
    """
    left_out = ("start_api_server", "start_monitor", "start_log_monitor")
    starts = {name: getattr(Node, name) for name in left_out}

    def start_nothing(node: Any, *_: Any, **__: Any) -> None:
        node._webui_url = ""

    for name in left_out:
        setattr(Node, name, start_nothing)
    try:
        yield
    finally:
        for name, start in starts.items():
            setattr(Node, name, start)


@contextlib.contextmanager
def losing_only_packs() -> Iterator[None]:
    """Have Tune begin a pack again whatever error of Ray's own its worker is lost with.

    Tune knows an actor that died, and lets any other error of Ray end the whole experiment: so it did where Ray's
    memory guard killed one worker in the midst of a step.
    """
    from ray.tune.execution import tune_controller  # late: it imports all of Tune

    controller: Any = tune_controller  # it does not export what it uses
    known: Any = controller.RayActorManager

    class ActorManager(known):  # type: ignore[misc]
        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
                exception = RayActorError(error_msg=str(exception))
            super()._actor_task_failed(tracked_actor_task, exception)

    controller.RayActorManager = ActorManager
    try:
        yield
    finally:
        controller.RayActorManager = known


@contextlib.contextmanager
def preloading(module: str) -> Iterator[None]:
    """Have each worker of a Ray that is started meanwhile import a module before its first task; empty: none.

    What a user has set stays.
    """
    if not module or PRELOAD in os.environ:
        yield
        return
    os.environ[PRELOAD] = module
    try:
        yield
    finally:
        os.environ.pop(PRELOAD, None)


@contextlib.contextmanager
def workers_alike() -> Iterator[None]:
    """Have Tune's trials take workers that are there, instead of others with environment variables that Tune sets.

    These are the driver's, which the workers have already where the driver has started Ray.
    """
    from ray.tune.execution import class_cache  # late: it imports all of Tune

    variables = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = variables


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
