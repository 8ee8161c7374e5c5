"""Strict YAML: data only, no key twice, numbers as people write them, and the line of every key."""

import re
from pathlib import Path
from typing import Any

import yaml

_MOST_SHOWN = 500  # characters: a value that is wrong may be long
_TOO_DEEP = "nested too deeply"

KeyPath = tuple[str | int, ...]

MOST_BYTES = 2**20
"""Of a file: no sweep is described by more, and nothing larger is parsed."""


class SpecError(Exception):
    """A sweep file is wrong; the message is one line that names file, key and the valid choice."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-5`` as a number (YAML 1.1 does not), and refuses a repeated key and an alias."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Aliases of aliases make gigabytes of a few lines."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not allowed: write it out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; a repeated key is an error."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_value(text: str) -> Any:
    """Parse one value as a sweep file would. SpecError if it is no YAML."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise SpecError(f"{text!r} is no YAML value: {_describe(error)}") from error
    except RecursionError as error:
        raise SpecError(f"{text[:20]!r}… is no YAML value: {_TOO_DEEP}") from error


class YamlFile:
    """A parsed file: its data, and a way to say where a key stands."""

    def __init__(self, path: Path) -> None:
        """Read ``path``. SpecError if it cannot be read or is no mapping."""
        self.path = path
        try:
            self.text = _read(path)
            self.data = yaml.load(self.text, _Loader)
            self._root = yaml.compose(self.text, _Loader)
        except OSError as error:
            raise SpecError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not a text file in UTF-8") from error
        except (yaml.YAMLError, ValueError) as error:
            raise SpecError(f"{path}{_describe(error)}") from error
        except RecursionError as error:
            raise SpecError(f"{path}: {_TOO_DEEP}") from error
        if not isinstance(self.data, dict):
            raise SpecError(f"{path}: a sweep file is a mapping of keys to values")

    def error(self, keys: KeyPath, message: str) -> SpecError:
        """Return an error at a key: ``file:line: key: message``."""
        line = self._line(keys)
        where = f":{line}" if line else ""
        shown = message if len(message) <= _MOST_SHOWN else f"{message[:_MOST_SHOWN]}…"
        return SpecError(f"{self.path}{where}: {show(keys)}: {shown}")

    def _line(self, keys: KeyPath) -> int | None:
        """The line of the deepest part of ``keys`` that the file has."""
        node, line = self._root, None
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == key), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
        return line


def show(keys: KeyPath) -> str:
    """Return a key path as people write it: ``methods[0].l1``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SpecError(f"{path}: larger than {MOST_BYTES} bytes: no sweep file")
    return content.decode("utf-8")


def _describe(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f":{mark.line + 1}" if mark is not None else ""
    return f"{where}: {getattr(error, 'problem', None) or str(error).splitlines()[0]}"
