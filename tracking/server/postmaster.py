"""The server process of a PostgreSQL of our own: started, watched while it starts, found again, and ended."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from tracking.errors import StoreError
from tracking.processes import is_alive
from tracking.server import postgres_programs as programs
from tracking.server.logs import last_line, open_log

_CONNECTIONS = 300  # a server worker holds up to 15 to each of its stores
_SECONDS_TO_START = 3600  # after a crash, with much to do again
_SECONDS_OF_SILENCE = 300  # while it starts: it logs every ten seconds what it does
_SECONDS_TO_STOP = 60


class Postmaster:
    """The process that serves the data of a folder, whoever started it: an earlier one may have outlived its server."""

    def __init__(self, folder: Path, log: Path) -> None:
        """``folder``: absolute; its socket lies in it, and its data in ``data``."""
        self.data = folder / "data"
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Return whether a PostgreSQL serves the data."""
        return self._serving() is not None

    def stop(self) -> None:
        """End it, and wait until it has; whatever has been committed is on the disk either way.

        StoreError where it does not end.
        """
        for number in (signal.SIGINT, signal.SIGQUIT):  # disconnect everybody; then, without tidying up
            deadline = time.monotonic() + _SECONDS_TO_STOP
            found = self._serving() or self._child()
            if found is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found, number)
            while (self._serving() or self._child()) and time.monotonic() < deadline:
                time.sleep(0.1)
        if left := self._serving() or self._child():
            raise StoreError(
                f"PostgreSQL (process {left}) has not ended {2 * _SECONDS_TO_STOP} s after it was told to: "
                f"{last_line(self._log)} (log: {self._log})"
            )

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self._remove_stale_lock()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._folder}"',
            "unix_socket_permissions": "0700",
            "max_connections": str(_CONNECTIONS),
            "log_checkpoints": "off",
        }
        command = [str(programs.binaries(self.data) / "postgres"), "-D", str(self.data)]
        with open_log(self._log) as log:
            self._process = subprocess.Popen(
                [*command, *(part for item in settings.items() for part in ("-c", "=".join(item)))],
                cwd=self._folder,
                env=programs.ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: it ends after the server that uses it
                **programs.account(),
            )

    def becomes_ready(self) -> bool:
        """Wait while it starts, which after a crash may take long; False if it ends instead.

        StoreError where it does neither.
        """
        began = heard = time.monotonic()
        said = ""
        while time.monotonic() - began < _SECONDS_TO_START and time.monotonic() - heard < _SECONDS_OF_SILENCE:
            if (line := last_line(self._log)) != said:
                said, heard = line, time.monotonic()
            status = self._lock_file()[7:8]
            if status and status[0].strip() == "ready" and self.is_running():
                return True
            if self._child() is None and not self.is_running():
                return False
            time.sleep(0.1)
        raise StoreError(
            f"PostgreSQL is not ready after {time.monotonic() - began:.0f} s; its last line is {said!r} "
            f"(log: {self._log})"
        )

    def _child(self) -> int | None:
        """The process that we started, if it lives. Takes leave of a dead one, whose number would stay taken."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _lock_file(self) -> list[str]:
        """The lines of postmaster.pid: 0 the process, 7 its state. It outlives a kill."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _serving(self) -> int | None:
        """The process that serves the data: alive, and not another that got the number after a kill."""
        self._child()
        process = _number(self._lock_file())
        if process is None or not is_alive(process):
            return None
        words = _command_line(process)
        return process if words is None or (_is_postgres(words) and str(self.data) in words) else None

    def _remove_stale_lock(self) -> None:
        """PostgreSQL does not start where the number in its lock file is now that of another process of its user."""
        process = _number(self._lock_file())
        words = _command_line(process) if process is not None else None
        if words is not None and not _is_postgres(words):
            (self.data / "postmaster.pid").unlink()


def _number(lines: list[str]) -> int | None:
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _command_line(process: int) -> list[str] | None:
    """The words that started a process; empty for one that has ended; None where the system does not say."""
    if not Path("/proc/self/cmdline").exists():
        return None
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _is_postgres(words: list[str]) -> bool:
    return Path(words[0]).name in ("postgres", "postmaster") if words else False
