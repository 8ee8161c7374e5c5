"""Pages that lie elsewhere in the repository, as pages of the site too, with links that lead to the same place."""

import os
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGES = {REPOSITORY / name: f"_project/{page}" for name, page in {
    "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/RESULTS.md": "benchmarks.md",
    "examples/results_in_a_notebook.ipynb": "results_in_a_notebook.ipynb", "README.md": "../index.md",
}.items()}  # fmt: skip
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def write(docs: Path) -> None:
    """Copy the pages into the site's sources."""
    (docs / "_project").mkdir(exist_ok=True)
    for original, page in PAGES.items():
        if original.name != "README.md":
            text = relinked(original.read_text(encoding="utf-8"), original, docs / page)
            (docs / page).write_text(text, encoding="utf-8")


def relinked(text: str, original: Path, page: Path) -> str:
    """Return the Markdown text of ``original`` with links that are right on ``page``."""

    def lead(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(original.parent / match[1]))
        if original == page and target not in PAGES:
            return match[1]
        there = REPOSITORY / "docs" / PAGES[target] if target in PAGES else target
        return os.path.relpath(there, page.parent)

    return _LINK.sub(lead, text)
