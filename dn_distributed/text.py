"""Text from elsewhere, made fit to be shown or kept: one line, nothing that a terminal obeys, no longer than wanted."""

import re

LONGEST_MESSAGE = 1000
"""Characters of a message to the user, which is one line."""
_LONGEST_VALUE = 100
_MOST_DECIMALS = 16
_MARKDOWN = re.compile(
    r"""[\\`*\[\]~$\#]                    # whatever stands around them
    | (?<![^\W_])_ | _(?![^\W_])          # within a word it is no markup
    | <(?=[A-Za-z/!?]) | &(?=[\#A-Za-z])  # a tag, an entity""",
    re.VERBOSE,
)


def one_line(text: str, longest: int = LONGEST_MESSAGE) -> str:
    r"""Return ``text`` on one line of at most ``longest`` characters; what cannot be printed is escaped as in Python.

    ESC is ``\x1b``. Marks that turn the order of what follows around and lone surrogates are escaped too.
    """
    return shortened(printable(" ".join(text[: 10 * longest].split())), longest)


def printable(text: str) -> str:
    """Return ``text`` with what cannot be printed escaped; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, longest: int) -> str:
    """Return ``text``, or its beginning with ``…``, in at most ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def quoted(value: object, longest: int = _LONGEST_VALUE) -> str:
    """Return a value as Python writes it, for messages: on one line and shortened."""
    return one_line(repr(value), longest)


def as_markdown(text: str) -> str:
    """Return a line of plain text as Markdown that shows it within a line: nothing of it is markup."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def counted(count: int, noun: str) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{count} {noun}{'s' * (count != 1)}"


def percent(part: float, whole: float) -> str:
    """Return a share in per cent with one decimal; more where it would be rounded to nothing, or to all."""
    value = 100 * part / whole
    for decimals in range(1, _MOST_DECIMALS):
        text = f"{value:.{decimals}f}"
        if (float(text) != 0 or part == 0) and (float(text) != 100 or part == whole):
            break
    return f"{text} %"


def with_class(error: BaseException) -> str:
    """Return the class of an error and what it says, on one line of any length."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def first_line(error: BaseException) -> str:
    """Return what an error says, in its first line; its class where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
