"""The parts of reference pages that the code says: verbs, keys of a sweep file, names in the store.

Run ``python docs/from_code.py`` after a change of the code: it writes each between its markers in a page.
With ``--check`` it only names the pages that are not what the code says; a test holds them to it.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.pycode import ModuleAnalyzer

from dn_distributed.config import Augment, Distill, Drop, Prune, Pruning, Rewire, Training
from dn_distributed.data import DATASETS
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.architectures import Architecture
from sweeps.cli.main import dn
from sweeps.spec.file import Resources, Search, SweepFile
from sweeps.spec.method import method_entry
from tracking import schema, variables
from tracking.results import equal_score, inference
from tracking.tables import verdicts

HERE = Path(__file__).parent
_MARKED = re.compile(r"(<!-- from code: ([\w-]+) -->\n).*?(<!-- end of code -->)", re.DOTALL)


def outdated() -> dict[Path, str]:
    """Return the pages whose parts are not what the code says, with the text that they should have."""
    found = {}
    for path in sorted([*HERE.glob("reference/*.md"), *HERE.glob("explanation/*.md")]):
        text = path.read_text(encoding="utf-8")
        wanted = _MARKED.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", text)
        if wanted != text:
            found[path] = wanted
    return found


def verbs() -> dict[str, click.Command]:
    """Return the verbs of ``dn``, in the order of its help."""
    context = click.Context(dn)
    return {name: command for name in dn.list_commands(context) if (command := dn.get_command(context, name))}


def _commands() -> str:
    return "\n\n".join(_verb(name, command) for name, command in verbs().items())


def _verb(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"dn {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    records = [parameter.get_help_record(context) or ("", "") for parameter in command.params]
    rows = [(f"`{names}`", _cell(meaning)) for names, meaning in records if meaning]
    options = _table("option", "meaning", rows=rows)
    return f"## dn {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```text\ndn {name} {usage}\n```\n\n{options}"


def _table(*heads: str, rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _section(model: type[BaseModel]) -> str:
    """A table of a model's fields: key, type, default, meaning."""
    texts = _field_texts(model)
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        rows.append((f"`{name}`", _type(field), default, _cell(field.description or texts.get(name, ""))))
    return _table("key", "value", "default", "meaning", rows=rows)


def _keys(model: type[BaseModel]) -> str:
    """A table of a model's fields whose values are described elsewhere: key, meaning."""
    fields = model.model_fields.items()
    rows = [(f"`{name}`", f"{_required(field)}{_cell(field.description or '')}") for name, field in fields]
    return _table("key", "meaning", rows=rows)


def _required(field: FieldInfo) -> str:
    """The mark of a key that must be there, where its text does not say so itself."""
    return "*Required.* " * (field.is_required() and not (field.description or "").startswith("Required"))


def _default(value: Any) -> str:
    """A value as a sweep file has it."""
    if value is None:
        return ""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if isinstance(plain, str):
        return f"`{plain}`"
    if isinstance(plain, tuple | list | Mapping):
        plain = list(plain) if isinstance(plain, tuple) else plain
        return f"`{yaml.safe_dump(plain, default_flow_style=True, width=math.inf).strip()}`"
    return f"`{str(plain).lower() if isinstance(plain, bool) else plain}`"


def _field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, of base classes too."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls.__module__.split(".")[0] in ("dn_distributed", "sweeps", "tracking"):
            for (owner, name), text in ModuleAnalyzer.for_module(cls.__module__).find_attr_docs().items():
                if owner == cls.__name__:
                    found[name] = " ".join(text).strip()
    return found


def _type(field: Any) -> str:
    """An annotation for people, with its limits: ``whole number, 1 or more``."""
    limits = [_limit(item) for item in field.metadata]
    return ", ".join([_kind(field.annotation), *filter(None, limits)])


_KINDS = {
    int: "whole number", float: "number", str: "text", bool: "`true` or `false`", types.NoneType: "",
    Architecture: "[as `network`](#top-level)",
}  # fmt: skip
_WITH_KEYS: Mapping[str, type[BaseModel]] = {
    "drop": Drop, "prune": Prune, "rewire": Rewire, "augment": Augment, "distill": Distill,
}  # fmt: skip
"""Models of keys that have a section of the page."""


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return ", ".join([_kind(inner[0]), *filter(None, (_limit(item) for item in inner[1:]))])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(filter(None, map(_kind, inner)))
    if origin in (tuple, list):
        return f"list of: {_kind(inner[0])}"
    if origin is dict:
        return "mapping" if inner[1] is Any else f"mapping to: {_kind(inner[1])}"
    for key, model in _WITH_KEYS.items():
        if annotation is model:
            return f"[mapping](#{key})"
    return _KINDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limit(item: Any) -> str:
    """A bound of annotated_types or of pydantic's ``Field``, in words."""
    if parts := getattr(item, "metadata", None):
        return ", ".join(filter(None, map(_limit, parts)))
    for name, words in (("ge", "{} or more"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}")):
        bound = getattr(item, name, None)
        if bound is not None and bound < 10**9:  # a larger one only catches slips
            return words.format(f"{bound:,}".replace(",", " ") if isinstance(bound, int) else bound)
    return ""


def _cell(text: str) -> str:
    """Text of a docstring as one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", r"\|").split())


def _sentence(text: str) -> str:
    text = _cell(text)
    return text[:1].upper() + text[1:]


def _named(kind: str, registry: Mapping[str, type[BaseModel]]) -> str:
    """A table of the models of a registry: name, what it is, its fields."""
    rows = []
    for name, model in registry.items():
        fields = {key: field for key, field in model.model_fields.items() if key != "name"}
        texts = _field_texts(model)
        options = [f"`{key}` ({_type(field)}{_otherwise(field)}) {_cell(texts.get(key, ''))}".strip()
                   for key, field in fields.items()]  # fmt: skip
        rows.append((f"`{name}`", _cell(_first_sentence(model)), "<br>".join(options)))
    return _table(kind, "what it is", "options", rows=rows)


def _otherwise(field: FieldInfo) -> str:
    if field.is_required():
        return "; required"
    default = field.get_default(call_default_factory=True)
    return f"; default {_default(default)}" if default is not None else ""


def _first_sentence(found: object) -> str:
    return (inspect.getdoc(found) or "").partition("\n\n")[0]


def _stored_names() -> str:
    """Constants of ``tracking.schema``, with their values and docstrings."""
    texts = {name: " ".join(text) for (owner, name), text in
             ModuleAnalyzer.for_module(schema.__name__).find_attr_docs().items() if not owner}  # fmt: skip
    rows = []
    for name, text in texts.items():
        value = getattr(schema, name)
        if isinstance(value, str) and text:
            rows.append((f"`{value}`", _cell(text)))
    for name, function in vars(schema).items():
        if inspect.isfunction(function) and function.__module__ == schema.__name__ and not name.startswith("_"):
            arguments = [parameter.upper() for parameter in inspect.signature(function).parameters]
            if function.__annotations__.get("return") is str and name != "seed_list":
                rows.append((f"`{function(*arguments)}`", _cell(_first_sentence(function))))
    return _table("stored as", "meaning", rows=rows)


def _variables(is_shown: Callable[[str], bool]) -> str:
    """Those constants of ``tracking.variables`` whose docstring is to be shown here."""
    texts = {name: " ".join(lines) for (_, name), lines in
             ModuleAnalyzer.for_module(variables.__name__).find_attr_docs().items()}  # fmt: skip
    shown = {getattr(variables, name): text for name, text in texts.items() if is_shown(text)}
    rows = [(f"`{name}`", _sentence(text.removeprefix(_OF_THE_SERVER))) for name, text in shown.items()]
    return _table("variable", "meaning", rows=rows)


_OF_THE_SERVER, _MARKS = "``dn server``: ", "Set by "


def _rules() -> str:
    """The rules of statistics, as a report prints them under its tables."""
    texts = [text for module in (inference, verdicts, equal_score) for name, text in vars(module).items()
             if name.endswith("RULE")]  # fmt: skip
    return "\n".join(f"- {_sentence(text)}." for text in texts)


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": _commands,
    "sweep-file": lambda: _keys(SweepFile),
    "method": lambda: _keys(method_entry()),
    "training": lambda: _section(Training),
    **{key: partial(_section, model) for key, model in _WITH_KEYS.items()},
    "pruning": lambda: _section(Pruning),
    "resources": lambda: _section(Resources),
    "search": lambda: _section(Search),
    "tasks": lambda: _named("task", TASKS),
    "datasets": lambda: _named("dataset", DATASETS),
    "stored-names": _stored_names,
    "rules": _rules,
    "variables": lambda: _variables(lambda text: not text.startswith((_OF_THE_SERVER, _MARKS))),
    "variables-of-the-server": lambda: _variables(lambda text: text.startswith(_OF_THE_SERVER)),
    "variables-that-are-set": lambda: _variables(lambda text: text.startswith(_MARKS)),
}


def main() -> None:
    """Write the pages; with ``--check`` exit with their names where one would change."""
    found = outdated()
    if found and "--check" in sys.argv[1:]:
        raise SystemExit(f"run python docs/from_code.py: {', '.join(str(path.relative_to(HERE)) for path in found)}")
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
