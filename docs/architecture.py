"""Draw the packages and their parts: ``python docs/architecture.py`` writes ``images/architecture.svg``."""

from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parent / "images" / "architecture.svg"

ROWS = {
    "sweeps": (("cli",), ("tune",), ("cluster", "planning"), ("spec",)),
    "tracking": (("report", "portable"), ("charts",), ("figures",), ("tables",), ("results", "server"), ("store",)),
    "dn_distributed": (
        ("training", "exporting"),
        ("dropping", "compaction"),
        ("replicas", "proximal"),
        ("tasks",),
        ("data", "regularizers"),
        ("random_weights",),
    ),
}
"""By package its parts, the upper ones importing the lower ones."""
TEXTS = {
    "cli": "the verbs of dn", "tune": "packs as trials of Ray Tune", "cluster": "Ray, started or joined",
    "planning": "what is missing, in packs", "spec": "the sweep file as values",
    "report": "one page and its files", "portable": "export and import", "figures": "drawings",
    "charts": "drawings that answer a hand",
    "tables": "columns, verdicts, formats", "results": "rows, cells, statistics", "server": "MLflow and PostgreSQL",
    "store": "runs, written and read", "training": "the loop, its state", "replicas": "networks stacked as one",
    "tasks": "network, loss, score", "data": "splits in memory", "regularizers": "penalties, gradients",
    "proximal": "exact zeros by a step", "dropping": "units that go while training",
    "exporting": "networks as files", "compaction": "a smaller network",
    "random_weights": "a distribution that is learned, for regularizers and replicas",
}  # fmt: skip
WIDTH, HEIGHT, GAP, MARGIN, LEFT = 300, 46, 14, 18, 170
COLORS = {"sweeps": "#e8f0fb", "tracking": "#eef6ea", "dn_distributed": "#fdf3e3"}


def draw() -> str:
    """Return the picture."""
    parts, y = [], MARGIN
    for package, rows in ROWS.items():
        height = len(rows) * (HEIGHT + GAP) + GAP
        parts.append(f'<rect x="{MARGIN}" y="{y}" width="{LEFT + 2 * (WIDTH + GAP)}" height="{height}" rx="10" '
                     f'fill="{COLORS[package]}" stroke="#8a94a3"/>')  # fmt: skip
        parts.append(_text(MARGIN + 16, y + height / 2, package, "bold", 17))
        for place, row in enumerate(rows):
            top = y + GAP + place * (HEIGHT + GAP)
            parts += _row(row, top)
            if place:
                parts.append(_arrow(MARGIN + LEFT + WIDTH + GAP / 2 - 5, top - GAP, top))
        y += height
        if package != "dn_distributed":
            parts.append(_arrow(MARGIN + (LEFT + 2 * (WIDTH + GAP)) / 2, y, y + 2 * GAP))
            y += 2 * GAP
    size = f'width="{LEFT + 2 * (WIDTH + GAP + MARGIN)}" height="{y + MARGIN}"'
    head = '<marker id="head" markerWidth="9" markerHeight="9" refX="7" refY="4" orient="auto">'
    head += '<path d="M0,0 L8,4 L0,8 z" fill="#445"/></marker>'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" role="img">',
         "<title>Packages and their parts; imports go down</title>", f"<defs>{head}</defs>",
         '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>\n"]
    )  # fmt: skip


def _row(row: tuple[str, ...], top: float) -> list[str]:
    width = (2 * WIDTH) / len(row) if len(row) == 1 else WIDTH - 5
    boxes = []
    for place, name in enumerate(row):
        x = MARGIN + LEFT + place * (width + 10)
        boxes.append(f'<rect x="{x}" y="{top}" width="{width}" height="{HEIGHT}" rx="6" fill="#fff" stroke="#8a94a3"/>')
        boxes.append(_text(x + 14, top + HEIGHT / 2, name, "bold", 15))
        boxes.append(_text(x + max(120, 22 + 8 * len(name)), top + HEIGHT / 2, TEXTS[name], "normal", 13))
    return boxes


def _text(x: float, y: float, text: str, weight: str, size: int) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="#1c2430" '
        f'dominant-baseline="central">{escape(text)}</text>'
    )


def _arrow(x: float, top: float, bottom: float) -> str:
    return (
        f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" stroke="#445" stroke-width="1.6" marker-end="url(#head)"/>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
