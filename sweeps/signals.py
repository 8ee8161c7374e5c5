"""Signals of a process: taken from whoever handles them, told to a thread that reads a pipe, and given back."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

EVERY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a scheduler's end, and a terminal that is closed."""


class Signals:
    """Has one function answer signals in the main thread, and a pipe hold their numbers for another thread.

    Python's C code writes to the pipe, whatever the main thread waits for.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], None], wanted: tuple[int, ...]) -> None:
        """``wanted``: the signals that ``handler`` answers. Nothing is taken before ``open``."""
        self.pipe = -1
        """Where the numbers come out; -1 before ``open``."""
        self._to_pipe = -1
        self._handler, self._wanted = handler, wanted
        self.taken: set[int] = set()
        """What the handler answers; nothing outside of the main thread."""
        self._before: dict[int, Any] = {}
        self._pipe_before = -1

    def open(self) -> None:
        """Take the signals that are not ignored, as under nohup SIGHUP is."""
        self.pipe, self._to_pipe = os.pipe()
        os.set_blocking(self._to_pipe, False)
        if threading.current_thread() is threading.main_thread():
            self._before = {n: old for n in EVERY if (old := signal.getsignal(n)) is not None}  # Ray takes them too
            self.taken = {n for n in self._wanted if self._before.get(n) is not signal.SIG_IGN}
            self._pipe_before = signal.set_wakeup_fd(-1)
            self.take()

    def take(self) -> None:
        """Handle them, again where a library has taken them over."""
        for number in self.taken:
            signal.signal(number, self._handler)
        if self.taken:
            signal.set_wakeup_fd(self._to_pipe, warn_on_full_buffer=False)

    def wake(self, number: int = 0) -> None:
        """Write a number to the pipe: of a signal, or 0 for a reader that is to look at something else."""
        os.write(self._to_pipe, bytes([number]))

    def read(self) -> set[int]:
        """Return the signals whose numbers are in the pipe."""
        return self.taken & set(os.read(self.pipe, 64))

    def restore(self) -> None:
        """Leave signals as they were before ``open``."""
        if self._before:
            signal.set_wakeup_fd(self._pipe_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def close(self) -> None:
        """Close the pipe, which nobody reads any more."""
        os.close(self.pipe)
        os.close(self._to_pipe)
