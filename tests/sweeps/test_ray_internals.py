"""What Ray is told beside what it promises."""

import shlex
import sys

import pytest

from sweeps.cluster import ray_internals


def test_an_interpreter_is_quoted_for_the_shell_that_starts_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/u/a b%41ü/.venv/bin/python3")
    told = ray_internals.interpreter()
    assert told is not None
    assert shlex.split(told["py_executable"]) == [sys.executable]
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.11")
    assert ray_internals.interpreter() is None
