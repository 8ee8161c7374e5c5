"""The templates of the pages: HTML in which nothing that is filled in acts as markup."""

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def digest(script: str) -> str:
    """Return by what a page's policy knows a script of its own: none else runs there."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def load(name: str) -> Template:
    """Return a template of this package; it may include the others."""
    loader = PackageLoader("tracking", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(name)


def _unbroken(text: str) -> str:
    """Keep each number on a line with its sign of per cent."""
    return text.replace(" %", "\u00a0%")
