"""What Ray is told beside what it promises."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import _raylet
from ray._private import services
from ray.job_config import JobConfig

from sweeps.cluster import ray_internals
from sweeps.cluster.connection import Capacity
from tests.internals import find
from tests.sweeps.real_sweeps import descendants


def test_an_interpreter_is_quoted_for_the_shell_that_starts_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/u/a b%41ü/.venv/bin/python3")
    told = ray_internals.interpreter()
    assert told is not None
    assert shlex.split(told["py_executable"]) == [sys.executable]
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.11")
    assert ray_internals.interpreter() is None


def test_a_local_ray_has_no_process_for_usage_reports_which_asks_clouds_for_metadata(capacity: Capacity) -> None:
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(os.getpid())]
    assert any(b"gcs_server" in command for command in commands)
    assert not any(b"dashboard/dashboard.py" in command for command in commands)
    for script in (b"monitor.py", b"log_monitor.py"):  # for launchers, and for what nobody is shown
        assert not any(script in command for command in commands)


@pytest.mark.skipif(not hasattr(_raylet, "persist_port"), reason="this Ray's agents cannot be left out")
def test_a_local_ray_waits_for_no_agents(capacity: Capacity) -> None:
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in descendants(os.getpid())]
    assert not any(b"agent" in part for command in commands for part in command[:4] if part.endswith(b".py"))
    assert commands.count([b"cat", b""]) == 2  # they end with the raylet


@pytest.mark.skipif(not hasattr(_raylet, "persist_port"), reason="this Ray's agents cannot be left out")
@pytest.mark.parametrize("environment", [None, {"py_executable": "python"}])
def test_what_prepares_runtime_environments_stays_for_a_job_that_has_one(
    environment: dict[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(services, "start_ray_process", lambda command, *_, **__: started.append(command))
    node, prepares = "ab" * 28, "--runtime_env_agent_command=python main.py --port=1"
    command = [f"--node_id={node}", f"--session_dir={tmp_path}", "--dashboard_agent_command=python agent.py", prepares]
    with ray_internals.only_what_runs_packs(JobConfig(runtime_env=environment)):
        services.start_ray_process(command, "raylet", fate_share=True)
        services.start_ray_process(command, "gcs_server", fate_share=True)
    prepares = prepares if environment else "--runtime_env_agent_command=cat"
    assert started == [[*command[:2], "--dashboard_agent_command=cat", prepares], command]
    assert (tmp_path / f"metrics_agent_port_{node}").read_text() == "-1"
    assert (tmp_path / f"runtime_env_agent_port_{node}").exists() == (not environment)


def test_a_ray_without_files_for_ports_keeps_its_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_internals, "_raylet", object())
    command = ["raylet", "--node_id=ab", "--session_dir=/nowhere", "--dashboard_agent_command=python agent.py"]
    assert ray_internals._without_agents(command, with_environments=False) == command


def test_what_ray_starts_beside_packs_is_where_it_is_left_out() -> None:
    remedy = "change sweeps/cluster/ray_internals.py, or bound ray in pyproject.toml"
    for name in ("start_api_server", "start_monitor", "start_log_monitor"):
        find(f"ray._private.node:Node.{name}", "ray", remedy)
    find("ray._private.services:start_ray_process", "ray", remedy)
    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE", "_ActorClassCache.get"):
        find(f"ray.tune.execution.class_cache:{name}", "ray", remedy)
    find("ray.tune.execution.tune_controller:RayActorManager._actor_task_failed", "ray", remedy)
    find("ray._private.utils:try_import_each_module", "ray", f"ray preloads no modules any more: {remedy}")


def test_trials_ask_for_no_worker_of_their_own() -> None:
    from ray.tune.execution import class_cache

    before = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    with ray_internals.workers_alike():
        cache: Any = class_cache._ActorClassCache
        made = cache().get(type("Trial", (), {}))
        assert not made._default_options.get("runtime_env")
    assert before == (class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE)


def test_workers_are_to_import_a_module_only_while_ray_is_started() -> None:
    with ray_internals.preloading("json"):
        assert os.environ[ray_internals.PRELOAD] == "json"
    assert ray_internals.PRELOAD not in os.environ


def test_what_a_user_has_workers_import_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_internals.PRELOAD, "csv")
    with ray_internals.preloading("json"):
        assert os.environ[ray_internals.PRELOAD] == "csv"
    assert os.environ[ray_internals.PRELOAD] == "csv"
