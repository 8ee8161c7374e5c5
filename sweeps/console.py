"""Where ``dn`` prints: text is shown as it is, in whatever encoding, and a reader who has gone is no error."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rich.console import Console

from dn_distributed.text import one_line, printable

_Item = TypeVar("_Item")

_LONGEST = 2000  # characters of a message: it may name several nodes or files


class Output(Console):
    """Standard output. No text is markup: labels, paths and reasons may hold square brackets and colons.

    Where its reader has gone (``| head -1``), the rest is dropped and the work goes on.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` as of ``Console``."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def say(self, text: str) -> None:
        """Print a line, or several, that are not wrapped."""
        self.print(printable(text), soft_wrap=True)

    def track(self, items: Sequence[_Item], what: str) -> Iterable[_Item]:
        """Iterate over items with a bar on a terminal; in silence where the output is piped."""
        from rich import progress

        return progress.track(items, what, console=self, transient=True, disable=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        """Print no more."""
        self.quiet = True
        _drop(sys.stdout)


out = Output()
"""Standard output, as it is at the time of printing."""


_log = logging.getLogger("dn")
_log.addHandler(logging.NullHandler())
_log.setLevel(logging.INFO)
_log.propagate = False  # what is said is printed here, whatever libraries do with the root logger


def notify(text: str, level: int = logging.WARNING) -> None:
    """Print a message for the user on standard error, on one line that a terminal cannot mistake for commands.

    ``level`` as of ``logging``: INFO for progress, ERROR for what ends a command.
    """
    if not _log.isEnabledFor(level):
        return
    line = one_line(text, _LONGEST)
    _log.log(level, line)
    try:
        print(f"dn: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _drop(sys.stderr)


@contextlib.contextmanager
def said_if_long(text: str, seconds: float = 8.0) -> Iterator[None]:
    """Within, say what is done if it takes longer than ``seconds``."""
    timer = threading.Timer(seconds, notify, [text, logging.INFO])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def logging_to(file: Path | None, level: str) -> Iterator[None]:
    """Within, show messages of ``level`` and above, and append them to a file too, each with its time.

    The file gets what libraries log by Python's ``logging`` as well. OSError where it cannot be written.
    """
    _log.setLevel(level.upper())
    handler: logging.Handler = logging.NullHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for logger in (_log, logging.getLogger()):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (_log, logging.getLogger()):
            logger.removeHandler(handler)
        handler.close()
        _log.setLevel(logging.INFO)


def prepare_streams() -> None:
    """Make the standard streams take any text, and be there: Ray does not start without standard error."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    with contextlib.suppress(AttributeError):  # a stream that tests or a notebook have put there
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _drop(stream: TextIO) -> None:
    """Send what is still to come on a stream, and what it holds, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
