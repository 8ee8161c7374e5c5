"""What Ray is told beside what it promises."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

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


def test_what_ray_starts_beside_packs_is_where_it_is_left_out() -> None:
    remedy = "change sweeps/cluster/ray_internals.py, or bound ray in pyproject.toml"
    for name in ("start_api_server", "start_monitor", "start_log_monitor"):
        find(f"ray._private.node:Node.{name}", "ray", remedy)
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
