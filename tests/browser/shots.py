"""Pictures of pages for the documents: made by the tests that open them, with DN_SHOTS=FOLDER."""

import io
import os
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (1400, 400)
MOST_BYTES = 200_000


def shoot(page: Page, name: str) -> None:
    """Keep a picture of what is seen, where a folder for it is given."""
    folder = os.environ.get("DN_SHOTS")
    if not folder:
        return
    page.wait_for_timeout(2000)
    with Image.open(io.BytesIO(page.screenshot())) as seen:
        # By octree: the median cut gives small marks another colour.
        few = seen.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    path = Path(folder) / f"{name}.png"
    few.save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES
