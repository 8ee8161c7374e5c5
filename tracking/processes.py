"""Processes of this machine."""

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SECONDS_TO_GO = 2.0  # a killed process takes a moment


def is_alive(process: int) -> bool:
    """Return whether there is a process of this number, whoever owns it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class Place:
    """Where the numbers of processes mean something: one boot of one machine, and one PID namespace of it.

    Containers of one host may all have its name and count their processes from 1 each.
    """

    boot: str
    namespace: str

    @property
    def is_here(self) -> bool:
        """Whether a number from there is one of ours; False too where it is not known."""
        return bool(self.boot and self.namespace) and self == this_place()


def this_place() -> Place:
    """Return where this process has its number; empty where a Linux does not say."""
    if sys.platform != "linux":
        return Place(sys.platform, "one for all")
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return Place(boot, os.readlink(_PROC / "self/ns/pid"))
    except OSError:
        return Place("", "")


def start_of(process: int) -> int | None:
    """Return when a process began, in the kernel's ticks since the boot; None where that cannot be seen."""
    fields = _stat(process)
    return int(fields[19]) if fields else None  # field 22 of proc(5)


def is_gone(process: int, start: int | None) -> bool:
    """Return whether the process of this number that began at ``start`` has ended; another may have its number now."""
    if not is_alive(process):
        return True
    fields = _stat(process)
    return bool(fields) and (fields[0] in "ZX" or int(fields[19]) != start)  # a zombie has ended


def _stat(process: int) -> list[str]:
    """Return the fields of proc(5)'s ``stat`` from the third on; none where there is no such file."""
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def marked(variable: str, value: str) -> list[int]:
    """Return the other processes that began with a variable of this value. None where there is no ``/proc``."""
    wanted = os.fsencode(f"{variable}={value}")
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(folder.name) != os.getpid() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def end_marked(
    variable: str, value: str, number: signal.Signals = signal.SIGKILL, seconds: float = _SECONDS_TO_GO
) -> list[int]:
    """Send a signal to the processes that ``marked`` returns, and to those that they start meanwhile.

    Return those that are still there after so many seconds.
    """
    until = time.monotonic() + seconds
    while (left := marked(variable, value)) and time.monotonic() < until:
        for process in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)
        time.sleep(seconds / 100)
    return left


def name_of(process: int) -> str:
    """Return what a process is called; empty where it has ended."""
    try:
        return (_PROC / str(process) / "comm").read_text().strip()
    except OSError:
        return ""
