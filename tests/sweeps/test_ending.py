"""Signals, and a Ray that is gone, end a sweep with a line and a code, whatever its main thread waits for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracking.processes import is_gone, start_of

BEGIN = """
import os, signal, subprocess, sys, time
from sweeps import ending
from sweeps.ending import Ending
"""

WAITING = """
with Ending() as end:
    try:
        print("ready", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        {then}
    sys.exit(end.code)
"""

LINE = "dn: interrupted; run the same command to go on\n"


@contextmanager
def started(script: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that has printed a line and waits; it starts with no signal ignored, as from a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)] and None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_is_one_line_and_its_exit_code(number: signal.Signals, code: int) -> None:
    with started(WAITING.format(then="end.tell_interrupted()")) as process:
        assert first_line(process) == "ready"
        process.send_signal(number)
        assert process.communicate(timeout=120)[1] == LINE
    assert process.returncode == code


def test_an_orderly_end_that_takes_too_long_is_cut() -> None:
    with started("ending.SECONDS = 0.2\n" + WAITING.format(then="time.sleep(600)")) as process:
        assert first_line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=120)[1] == LINE
    assert process.returncode == 143


def test_a_second_ctrl_c_ends_at_once_what_an_orderly_end_waits_for() -> None:
    # A signal is noted twice, a moment apart on a busy machine: the next one comes when that is over.
    script = "ending.SECONDS = 600\n" + WAITING.format(
        then="time.sleep(2 * ending.ONE_SIGNAL_SECONDS); print('waiting', flush=True); time.sleep(600)"
    )
    with started(script) as process:
        assert first_line(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert first_line(process) == "waiting"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == LINE
    assert process.returncode == 130


def test_a_signal_that_is_put_off_interrupts_nothing() -> None:
    script = """
with Ending() as end:
    end.deferred = True
    print("ready", flush=True)
    while end.number is None:
        time.sleep(0.01)
    print(end.code, flush=True)
"""
    with started(script) as process:
        assert first_line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=120) == ("143\n", "")


def test_under_nohup_a_hangup_is_nothing() -> None:
    script = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WAITING.format(then="end.tell_interrupted()")
    with started(script) as process:
        assert first_line(process) == "ready"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143


def test_a_ray_that_is_gone_is_told_and_nothing_of_it_stays() -> None:
    script = """
with Ending() as end:
    raylet, worker = (subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2))
    end.watch_ray({raylet.pid: "raylet"})
    print(raylet.pid, worker.pid, flush=True)
    time.sleep(600)
"""
    with started(script) as process:
        raylet, worker = map(int, first_line(process).split())
        os.kill(raylet, signal.SIGKILL)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert errors.startswith("dn: Ray's process raylet has ended")
    assert errors.endswith("run the same command to go on\n")
    assert errors.count("\n") == 1
    assert is_gone(worker, start_of(worker))


def test_a_ray_that_is_let_go_may_end() -> None:
    script = """
with Ending() as end:
    raylet = subprocess.Popen(["sleep", "600"])
    end.watch_ray({raylet.pid: "raylet"})
    end.watch_ray({})
    raylet.kill()
    raylet.wait()
print("over")
"""
    with started(script) as process:
        assert process.communicate(timeout=120) == ("over\n", "")


def test_signals_are_handled_as_before_afterwards() -> None:
    script = """
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
with Ending():
    pass
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
assert "DN_DRIVER" not in os.environ
print("as before")
"""
    with started(script) as process:
        assert process.communicate(timeout=120) == ("as before\n", "")


def test_where_processes_cannot_be_watched_a_sweep_runs_all_the_same() -> None:
    script = """
def refused(*_):
    raise OSError(38, "Function not implemented")

os.pidfd_open = refused
with Ending() as end:
    end.watch_ray({1: "raylet"})
print("over")
"""
    with started(script) as process:
        assert process.communicate(timeout=120) == ("over\n", "")


def test_a_loop_that_watches_signals_watches_them_again_afterwards() -> None:
    script = """
import asyncio, os, signal
from sweeps.ending import Ending

async def main():
    loop, seen = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGTERM, seen.append, "SIGTERM")
    with Ending(exits=False):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.2)
    print(*seen)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "SIGTERM\n"), done.stderr
