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
from typing import NoReturn

from sweeps.console import notify
from sweeps.exit_codes import FAILED
from sweeps.signals import EVERY, Signals
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
        self._signals = Signals(self._on_signal, EVERY if exits else EVERY[:1])
        self._ray: dict[int, str] = {}
        self._mark = uuid.uuid4().hex
        self._thread = threading.Thread(target=self._watch, name="ending", daemon=True)

    def __enter__(self) -> "Ending":
        """Take the signals, and begin to watch."""
        os.environ[DRIVER_MARK] = self._mark
        self._signals.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave signals as they were; after one has come, go on watching until the process is gone, if it is to go."""
        os.environ.pop(DRIVER_MARK, None)
        if self.number is None or not self._exits:
            self._signals.restore()
            self._over = True
            self._signals.wake()
            self._thread.join()
            self._signals.close()

    @property
    def code(self) -> int:
        """The exit code after a signal, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def take_signals(self) -> None:
        """Handle signals, again where a library has taken them over: Ray's handler dumps its stack."""
        self._signals.take()

    def tell_interrupted(self, stored: str = "") -> None:
        """Say, once, that the sweep was interrupted and how it goes on. ``stored``: what is stored already."""
        if not self._reported:
            self._reported = True
            notify(f"interrupted; {stored}{_GO_ON}")

    def watch_ray(self, processes: Mapping[int, str]) -> None:
        """End, with a line, when one of these processes does: names by process number. None: Ray may go."""
        if self._signals.pipe < 0 or not hasattr(os, "pidfd_open"):
            return
        watched, self._ray = self._ray, {}
        for pid, name in processes.items():
            with contextlib.suppress(OSError):  # an older kernel, a sandbox, or it has ended just now
                self._ray[os.pidfd_open(pid)] = name
        self._signals.wake()  # look at the new ones
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
        self._signals.wake(number)  # had a library taken the wakeup descriptor too
        first, self._seen = not self._seen, True
        if (first and not self.deferred) or self._over:
            raise KeyboardInterrupt

    def _note(self, number: int) -> None:
        if self.number is None:
            self.number, self._first = number, time.monotonic()

    def _watch(self) -> None:
        """In a thread of its own."""
        while True:
            left = None if self.number is None else max(0.0, self._first + SECONDS - time.monotonic())
            try:
                ready, _, _ = select.select([self._signals.pipe, *self._ray], [], [], left)
            except OSError:  # the processes of before are no longer watched
                continue
            if not ready:
                self._end_at_once()
            if self._signals.pipe in ready:
                self._take_note()
                if self._over:
                    return
                continue
            for descriptor in ready:
                if name := self._ray.get(descriptor):
                    self._ray_is_gone(name)

    def _take_note(self) -> None:
        for number in self._signals.read():
            self._note(number)
            if number != signal.SIGHUP and time.monotonic() - self._first > ONE_SIGNAL_SECONDS:
                self._end_at_once()

    def _ray_is_gone(self, name: str) -> NoReturn:
        """A signal to all processes of a job may reach Ray's before ours."""
        if select.select([self._signals.pipe], [], [], ONE_SIGNAL_SECONDS)[0]:
            self._take_note()
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
            if self._signals.taken:  # else the main thread does other things
                _thread.interrupt_main()
            sys.exit()  # this thread
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the cursor, which a live display hides
        os._exit(code)
