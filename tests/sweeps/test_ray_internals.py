"""What Ray is told beside what it promises."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from sweeps.cluster import ray_internals
from sweeps.cluster.connection import Capacity
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
