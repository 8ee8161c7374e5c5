"""What this project knows of Ray that Ray does not promise: checked with 2.60; a test says when it changes."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from ray import _raylet
from ray._private import services
from ray._private.node import Node
from ray._private.services import get_ray_address_from_environment
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.job_config import JobConfig

PRELOAD = "RAY_preload_python_modules"
"""Modules that workers import when they start; read by the raylet."""
_NO_PORT = -1  # of a service that is not offered


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
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Give a module or class other values for its names for a while."""
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextlib.contextmanager
def only_what_runs_packs(job: JobConfig) -> Iterator[None]:
    """Have Ray start no process but those that packs need: its own start took 6 s of a busy machine, and takes 1.

    Left out are the one for usage reports, which Ray starts with no dashboard and with reports switched off, and which
    asks the addresses of three clouds what they know of this machine; the one that asks a launcher for more nodes; the
    one that sends what workers print to the driver, where nobody shows it; and a node's two agents, for which its first
    worker waits: one reports to the dashboard, the other prepares runtime environments and stays where ``job`` has one.
    """

    def start_nothing(node: Any, *_: Any, **__: Any) -> None:
        node._webui_url = ""

    start = services.start_ray_process

    def start_without_agents(command: list[str], process_type: str, *rest: Any, **more: Any) -> Any:
        if process_type == "raylet":
            command = _without_agents(command, with_environments=bool(job.runtime_env))
        return start(command, process_type, *rest, **more)

    left_out = dict.fromkeys(("start_api_server", "start_monitor", "start_log_monitor"), start_nothing)
    with _replaced(Node, **left_out), _replaced(services, start_ray_process=start_without_agents):
        yield


def _without_agents(command: list[str], with_environments: bool) -> list[str]:
    """Return the command of a raylet that starts ``cat`` for its agents, which ends with it, and tell it their ports.

    A raylet cannot do without: it looks for a file with the port of each service of theirs. Ray's agent writes -1 for
    one that it does not offer. Versions of Ray before these files are left as they are.
    """
    ports = {"dashboard_agent": ["METRICS_AGENT", "METRICS_EXPORT", "DASHBOARD_AGENT_LISTEN"]}
    if not with_environments:
        ports["runtime_env_agent"] = ["RUNTIME_ENV_AGENT"]
    names = [f"{port}_PORT_NAME" for of_agent in ports.values() for port in of_agent]
    given = dict(argument.lstrip("-").split("=", 1) for argument in command if "=" in argument)
    core: Any = _raylet  # compiled: it has no types
    known = all(hasattr(core, name) for name in ["persist_port", *names]) and {"session_dir", "node_id"} <= given.keys()
    if not known or not shutil.which("cat"):
        return command
    for name in names:
        core.persist_port(given["session_dir"], given["node_id"], getattr(core, name), _NO_PORT)
    starts = {f"--{agent}_command": f"--{agent}_command=cat" for agent in ports}
    return [starts.get(argument.split("=", 1)[0], argument) for argument in command]


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

    with _replaced(controller, RayActorManager=ActorManager):
        yield


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

    with _replaced(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=set()):
        yield


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
