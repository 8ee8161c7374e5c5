"""Strict YAML: data only, no key twice, numbers as people write them, and the line of every key."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dn_distributed.files import open_regular
from dn_distributed.text import one_line, quoted, shortened
from sweeps.errors import SpecError
from tracking.schema import LONGEST_TEXT

_LONGEST_KEYS = 200  # characters of a key path that is shown
_TOO_DEEP = "nested too deeply"

KeyPath = tuple[str | int, ...]

_NO_FILE = Path("the given sweep")
"""What errors name in place of a file."""

MOST_BYTES = 2**20
"""Of a file: no sweep is described by more, and nothing larger is parsed."""


@dataclass(frozen=True)
class Places:
    """Where the keys of a sweep stand: in which line of the file, or in which ``--set``."""

    path: Path
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    """What was given with ``--set``, as it was written."""
    written_as: dict[KeyPath, KeyPath] = field(default_factory=dict)
    """By key the one that the file has in its place, the longer first."""

    def error(self, keys: KeyPath, message: str) -> SpecError:
        """Return an error at a key: ``file:line: key: message``, or with the ``--set`` in place of the line.

        One that is about keys together names the line and each ``--set`` of a key below.
        """
        for meant, written in self.written_as.items():
            if keys[: len(meant)] == meant:
                keys = (*written, *keys[len(meant) :])
                break
        parents = [keys[:end] for end in range(len(keys), 0, -1)]
        override = next((self.overrides[parent] for parent in parents if parent in self.overrides), None)
        line = next((self.lines[parent] for parent in parents if parent in self.lines), None)
        where = f":{line}" if line else ""
        below = [text for at, text in self.overrides.items() if keys and at[: len(keys)] == keys]
        if below:
            where += f": with --set {shortened(' --set '.join(below), _LONGEST_KEYS)}"
        if override is not None:
            where = f": --set {shortened(override, _LONGEST_KEYS)}"
        shown = f"{shortened(show(keys), _LONGEST_KEYS)}: " if keys else ""
        return SpecError(one_line(f"{self.path}{where}: {shown}{message}"))


def show(keys: KeyPath) -> str:
    """Return a key path as people write it: ``methods[0].l1``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".")


class YamlFile:
    """A parsed file: its data, and a way to say where a key stands."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        """Read ``path``, or ``text`` that stands for it. SpecError if it cannot be read or is no mapping."""
        self.path = path
        self.places = Places(path)
        try:
            self.text = _read(path) if text is None else text
            self.data = self._plain(_compose(self.text), (), in_file=text is None)
        except OSError as error:
            raise SpecError(one_line(f"{path}: {error.strerror or error}")) from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not a text file in UTF-8") from error
        except (yaml.YAMLError, ValueError) as error:
            raise SpecError(one_line(f"{path}{_line_of(error, self.text)}: {_problem(error)}")) from error
        except RecursionError as error:
            raise SpecError(f"{path}: {_TOO_DEEP}") from error
        if not isinstance(self.data, dict):
            raise SpecError(f"{path}: a sweep file is a mapping of keys to values")

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "YamlFile":
        """Return the file that says what a dictionary does; its errors name no lines."""
        return cls(_NO_FILE, as_yaml(dict(content)))

    def error(self, keys: KeyPath, message: str) -> SpecError:
        """Return an error at a key, with its place."""
        return self.places.error(keys, message)

    def override(self, keys: KeyPath, text: str, override: str) -> Any:
        """Return the value that ``text`` of ``--set`` is at a key, read as the file is. SpecError if it is none."""
        self.places.overrides[keys] = override
        try:
            return self._plain(_compose(text), keys, in_file=False)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(keys, f"no YAML value: {_problem(error)}") from error
        except RecursionError as error:
            raise self.error(keys, _TOO_DEEP) from error

    def dump(self) -> str:
        """Return a file that reads as the data, overrides included."""
        return as_yaml(self.data)

    def _plain(self, node: yaml.Node | None, keys: KeyPath, *, in_file: bool = True) -> Any:
        """Return what a node says as plain data, and note the lines of its keys."""
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            found: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = self._key(key_node, keys, in_file=in_file)
                if key in found:
                    raise self.error((*keys, key), f"{quoted(key)} stands twice")
                found[key] = self._plain(value_node, (*keys, key), in_file=in_file)
            return found
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            for index, item in enumerate(node.value):
                self._note((*keys, index), item, in_file=in_file)
            return [self._plain(item, (*keys, index), in_file=in_file) for index, item in enumerate(node.value)]
        try:
            return _scalar(node)
        except ValueError as error:
            raise self.error(keys, str(error)) from error

    def _key(self, node: yaml.Node, keys: KeyPath, *, in_file: bool) -> str:
        is_text = isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str"
        key = node.value if is_text else shortened(str(node.value), _LONGEST_KEYS)
        self._note((*keys, key), node, in_file=in_file)
        if not is_text:
            raise self.error((*keys, key), "this key is not text: keys are words")
        return str(key)

    def _note(self, keys: KeyPath, node: yaml.Node, *, in_file: bool) -> None:
        if in_file:
            self.places.lines[keys] = node.start_mark.line + 1


_TAG = "tag:yaml.org,2002:"
_OTHER_NUMBER = "!other-number"
_DIGITS = "[0-9](?:_?[0-9])*"
_EXPONENT = "[eE][-+]?[0-9]+"
_NUMBERS = {
    "int": re.compile("^[-+]?(?:0|[1-9](?:_?[0-9])*)$"),
    "float": re.compile(
        rf"^[-+]?(?:{_DIGITS}\.(?:{_DIGITS})?(?:{_EXPONENT})?|\.{_DIGITS}(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT})$"
    ),
}
"""As people write them, and as YAML 1.1 reads them too: no zero before a whole number, which makes it an octal one."""
_NUMBERS_BEGIN = list("-+.0123456789")


class _Loader(yaml.SafeLoader):
    """Refuses aliases, and knows no plain values but null, booleans, and numbers as people write them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  as PyYAML has it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Aliases of aliases make gigabytes of a few lines."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not allowed: write it out", mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the loader would take for something else, and writes all of it out."""

    def ignore_aliases(self, data: Any) -> bool:
        """Aliases are what the loader refuses."""
        return True


def as_yaml(value: Any) -> str:
    """Return a value as a sweep file says it. SpecError where it is none that one can hold."""
    try:
        text: str = yaml.dump(_plain_values(value), Dumper=_Dumper, allow_unicode=True, sort_keys=False)
    except yaml.YAMLError as error:
        holds = "numbers, text, lists and dictionaries are what a sweep may hold"
        raise SpecError(f"{_NO_FILE}: {holds}, not {quoted(error.args[-1])}") from error
    except RecursionError as error:
        raise SpecError(f"{_NO_FILE}: {_TOO_DEEP}") from error
    return text.removesuffix("...\n")


def _plain_values(value: Any) -> Any:
    """The same with Python's own numbers and lists, where NumPy's, a range or a tuple says them."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain_values(item) for item in value]
    return value


def _add_resolvers() -> None:
    """Tag what plain values are; other numbers of YAML 1.1 (octal, base 60, dates) get a tag that is refused."""
    for kind, pattern in _NUMBERS.items():
        _Loader.add_implicit_resolver(_TAG + kind, pattern, _NUMBERS_BEGIN)
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        for tag, pattern in resolvers:
            kind = tag.removeprefix(_TAG)
            if kind in ("bool", "null"):
                _Loader.add_implicit_resolver(tag, pattern, [first])
            elif kind in ("int", "float", "timestamp"):
                _Loader.add_implicit_resolver(_OTHER_NUMBER, pattern, [first])
    _Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_add_resolvers()
_BOOLEANS: Mapping[str, bool] = yaml.SafeLoader.bool_values


def _compose(text: str) -> yaml.Node | None:
    return yaml.compose(text, _Loader)


def _scalar(node: yaml.Node | None) -> str | int | float | bool | None:
    """The value of a node that holds no others. ValueError says what is wrong with it."""
    if node is None:  # an empty file
        return None
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if node.tag == _OTHER_NUMBER and text.lstrip("+-").lower() in (".inf", ".nan"):
        raise ValueError(f"{text} is no decimal number: give a finite one, or text in quotes")
    if node.tag == _OTHER_NUMBER:
        raise ValueError(
            f"{text} is no decimal number, but an octal one, one to another base, a date or the like: "
            "write numbers as 100, 0.5 or 1e-5, and text in quotes"
        )
    if isinstance(node, yaml.ScalarNode):
        if kind == "str":
            return _text(text)
        if kind in _NUMBERS:
            return _number(text, kind)
        if kind == "bool" and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        if kind == "null":
            return None
    raise ValueError(f"{quoted(node.tag)}: such a tag is not allowed")


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a text of {len(text)} characters: at most {LONGEST_TEXT}")
    if not text.replace("\N{NO-BREAK SPACE}", " ").isprintable():
        raise ValueError(f"expected printable characters, not {quoted(text)}")
    return text


def _number(text: str, kind: str) -> int | float:
    is_whole = _NUMBERS["int"].match(text)
    if not is_whole and (kind == "int" or not _NUMBERS["float"].match(text)):  # as of a tag: !!int 0x10
        raise ValueError(f"{shortened(text, 40)} is no decimal number of the kind {kind}")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shortened(text, 40)} is too large a number")
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise ValueError(f"{shortened(text, 40)} is too small a number: it would be 0")
    return int(text) if kind == "int" else value


def _read(path: Path) -> str:
    with open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SpecError(f"{path}: larger than {MOST_BYTES} bytes: no sweep file")
    return content.decode("utf-8")


def _line_of(error: Exception, text: str) -> str:
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if mark is not None:
        return f":{mark.line + 1}"
    return "" if position is None else f":{text.count(chr(10), 0, position) + 1}"


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.composer.ComposerError) and error.problem == "but found another document":
        return "another document begins here (---): a sweep file holds one"
    return str(getattr(error, "problem", None) or str(error).splitlines()[0])
