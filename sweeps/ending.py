"""The end of a sweep from outside: Ctrl-C, SIGTERM, SIGHUP, or a Ray that is no more.

The main thread may be waiting in a library, for a store or a Ray that does not answer, for longer than a scheduler
waits between its SIGTERM and its SIGKILL. So another thread watches too, and ends what has not ended in time.
"""

import _thread
import contextlib
import os
import select
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any, NoReturn

from sweeps.console import notify
from sweeps.exit_codes import FAILED
from tracking.processes import end_marked, marked
from tracking.variables import DRIVER_MARK

SECONDS = 8.0
"""For an orderly end: packs save their state, Ray goes."""
ONE_SIGNAL_SECONDS = 0.5
"""Signals within this time are one: ``timeout`` sends two, and so does a terminal that is closed."""

_GO_ON = "run the same command to go on"


class Ending:
    """In a ``with`` block signals raise KeyboardInterrupt; what then takes too long, or comes twice, ends at once."""

    def __init__(self, *, exits: bool = True) -> None:
        """Nothing is watched before ``with``.

        ``exits``: whether this process ends with the sweep, as a command's does. One that goes on, as a notebook's,
        keeps its own answer to all signals but Ctrl-C, and gets a KeyboardInterrupt in place of an end.
        """
        self.lost = ""
        """Why a process that goes on was interrupted by no signal: Ray is no more."""
        self._exits = exits
        self.number: int | None = None
        """The signal that came first."""
        self.deferred = False
        """Whether signals are only noted for the moment: who sets it, asks for ``number``."""
        self._first = 0.0
        self._seen = self._reported = self._over = False
        self._taken: set[int] = set()
        self._to_restore: dict[int, Any] = {}
        self._wakeup_before = -1
        self._wakeup = self._to_wake = -1
        self._ray: dict[int, str] = {}
        self._mark = uuid.uuid4().hex
        self._thread = threading.Thread(target=self._watch, name="ending", daemon=True)

    def __enter__(self) -> "Ending":
        """Take the signals that are not ignored, as under nohup SIGHUP is."""
        os.environ[DRIVER_MARK] = self._mark
        self._wakeup, self._to_wake = os.pipe()
        os.set_blocking(self._to_wake, False)
        if threading.current_thread() is threading.main_thread():
            every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            self._to_restore = {n: old for n in every if (old := signal.getsignal(n)) is not None}  # Ray takes them too
            wanted = every if self._exits else every[:1]
            self._taken = {n for n in wanted if self._to_restore.get(n) is not signal.SIG_IGN}
            self._wakeup_before = signal.set_wakeup_fd(-1)
            self.take_signals()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave signals as they were; after one has come, go on watching until the process is gone, if it is to go."""
        os.environ.pop(DRIVER_MARK, None)
        if self.number is None or not self._exits:
            if self._to_restore:
                signal.set_wakeup_fd(self._wakeup_before)
            for number, handler in self._to_restore.items():
                signal.signal(number, handler)
            self._over = True
            os.write(self._to_wake, b"\0")
            self._thread.join()
            os.close(self._wakeup)
            os.close(self._to_wake)

    @property
    def code(self) -> int:
        """The exit code after a signal, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def take_signals(self) -> None:
        """Handle signals, again where a library has taken them over: Ray's handler dumps its stack."""
        for number in self._taken:
            signal.signal(number, self._on_signal)
        if self._taken:
            signal.set_wakeup_fd(self._to_wake, warn_on_full_buffer=False)

    def tell_interrupted(self, stored: str = "") -> None:
        """Say, once, that the sweep was interrupted and how it goes on. ``stored``: what is stored already."""
        if not self._reported:
            self._reported = True
            notify(f"interrupted; {stored}{_GO_ON}")

    def watch_ray(self, processes: Mapping[int, str]) -> None:
        """End, with a line, when one of these processes does: names by process number. None: Ray may go."""
        if self._wakeup < 0 or not hasattr(os, "pidfd_open"):
            return
        watched, self._ray = self._ray, {}
        for pid, name in processes.items():
            with contextlib.suppress(OSError):  # an older kernel, a sandbox, or it has ended just now
                self._ray[os.pidfd_open(pid)] = name
        os.write(self._to_wake, b"\0")  # look at the new ones
        for descriptor in watched:
            os.close(descriptor)

    def processes(self) -> list[int]:
        """Return what this driver has started and what that has started, as long as it runs."""
        return marked(DRIVER_MARK, self._mark)

    def end_processes(self) -> None:
        """End what this driver has started and left behind."""
        end_marked(DRIVER_MARK, self._mark)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, where it is executing Python; once."""
        self._note(number)
        os.write(self._to_wake, bytes([number]))  # had a library taken the wakeup descriptor too
        first, self._seen = not self._seen, True
        if (first and not self.deferred) or self._over:
            raise KeyboardInterrupt

    def _note(self, number: int) -> None:
        if self.number is None:
            self.number, self._first = number, time.monotonic()

    def _watch(self) -> None:
        """In a thread of its own. Python's C code writes each signal's number to the pipe, whatever else waits."""
        while True:
            left = None if self.number is None else max(0.0, self._first + SECONDS - time.monotonic())
            try:
                ready, _, _ = select.select([self._wakeup, *self._ray], [], [], left)
            except OSError:  # the processes of before are no longer watched
                continue
            if not ready:
                self._end_at_once()
            if self._wakeup in ready:
                self._take_note(os.read(self._wakeup, 64))
                if self._over:
                    return
                continue
            for descriptor in ready:
                if name := self._ray.get(descriptor):
                    self._ray_is_gone(name)

    def _take_note(self, numbers: bytes) -> None:
        for number in self._taken & set(numbers):
            self._note(number)
            if number != signal.SIGHUP and time.monotonic() - self._first > ONE_SIGNAL_SECONDS:
                self._end_at_once()

    def _ray_is_gone(self, name: str) -> NoReturn:
        """A signal to all processes of a job may reach Ray's before ours."""
        if select.select([self._wakeup], [], [], ONE_SIGNAL_SECONDS)[0]:
            self._take_note(os.read(self._wakeup, 64))
        if self.number is None:
            self._reported = True
            self.lost = f"Ray's process {name} has ended, was it killed for its memory? What is stored stays; {_GO_ON}"
            if self._exits:
                notify(self.lost)
            self._leave(FAILED)
        self._end_at_once()

    def _end_at_once(self) -> NoReturn:
        if self._exits:
            self.tell_interrupted()
        self._leave(self.code)

    def _leave(self, code: int) -> NoReturn:
        self.end_processes()
        if not self._exits:
            self._over = True
            if self._taken:  # else the main thread does other things
                _thread.interrupt_main()
            sys.exit()  # this thread
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the cursor, which a live display hides
        os._exit(code)
