"""The site: ``make docs``. Sphinx builds it without the network; from_code.py writes what the code says."""

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import repository_pages  # noqa: E402

# Else autodoc would import it with TYPE_CHECKING set, which Ray's models do not bear.
import sweeps.running  # noqa: E402, F401

project = "DropNeuron Distributed"
author = "the authors of DropNeuron Distributed"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"  # tests/test_notebooks.py runs them: pages show what stands in them
exclude_patterns = ["_build"]
# Tables and statistics of the shipped results: the results' page links them, and they begin below a report's heading.
suppress_warnings = ["toc.not_included", "myst.header"]

html_theme = "furo"
html_title = project
highlight_language = "text"
smartquotes = False  # a dash of an option is no typographic one
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_copyright = html_show_sphinx = html_copy_source = False

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

nitpicky = True
# What other projects document: their own pages are not fetched, so that the site builds without the network.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|numpy|np|pandas|pd|pydantic|annotated_types|mlflow|matplotlib|abc|collections|pathlib|fractions)\..*",
    ),
    (
        r"py:.*",
        r"(Ge|Le|Gt|Lt|Strict|Parts|FieldInfo|NoneType|Tensor|nn\.Module|Path|Mapping|Sequence|ClassVar|Literal)",
    ),
    (r"py:.*", r"DataFrame|dn_distributed\.config\.FrozenModel|.*\.(Mask|Parts|OwnTask|OwnPenalty|OwnDataset)"),
    (r"py:.*", r"tracking\.(manifest\.Manifest|results\.rows\.Snapshot|results\.inference\.Interval)"),
]


def _write_pages(_app: Sphinx) -> None:
    repository_pages.write(HERE)


def _keep_links(_app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = repository_pages.relinked(source[0], HERE / docname, HERE / docname)


def _fields_as_attributes(
    _app: Sphinx, _what: str, _name: str, found: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str]:
    """A model's fields follow as attributes: its signature would say them twice, with pydantic's own words."""
    is_model = isinstance(found, type) and issubclass(found, BaseModel)
    return ("" if is_model else signature), returns


def _copy_index(app: Sphinx, failed: Exception | None) -> None:
    """The page over the shipped sweeps is HTML already; on the site it links tables as pages."""
    if failed is None and app.builder.name == "html":
        text = (HERE / "results/index.html").read_text(encoding="utf-8")
        page = Path(app.outdir) / "results/index.html"
        page.write_text(text.replace('/table.md"', '/table.html"'), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Write the pages that lie elsewhere before any page is read."""
    app.connect("builder-inited", _write_pages)
    app.connect("build-finished", _copy_index)
    app.connect("source-read", _keep_links)
    app.connect("autodoc-process-signature", _fields_as_attributes)
