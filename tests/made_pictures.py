"""Images that are made, in the layouts of real ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

DRAW = np.random.default_rng(0)


@pytest.fixture
def any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision holds files against the checksums of the real ones."""
    for module in ("cifar", "svhn", "flowers102"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).is_file()
        )


def images(folder: Path, count: int, *, size: int = 12) -> None:
    """Write so many images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = DRAW.integers(0, 256, (size, size + 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image_{number + 1:05d}.jpg")


def make_flowers(data_dir: Path) -> None:
    """Three images of each kind in the layout of ``Flowers102``, one for each part."""
    folder = data_dir / "flowers-102"
    images(folder / "jpg", 306)
    savemat(folder / "imagelabels.mat", {"labels": np.arange(306)[None] % 102 + 1})
    ids = {name: np.arange(102)[None] + 1 + 102 * place for place, name in enumerate(("trnid", "valid", "tstid"))}
    savemat(folder / "setid.mat", ids)
