"""The templates of the pages: HTML in which nothing that is filled in acts as markup."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def load(name: str) -> Template:
    """Return a template of this package; it may include the others."""
    loader = PackageLoader("tracking", "report")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)
