"""scikit-learn's 1 797 digits, brought to MNIST's form: real images that need no download."""

from pathlib import Path
from typing import Literal

import torch
from torch.nn import functional

from dn_distributed.data.base import RawImages
from dn_distributed.data.images import ImageDataset

NUM_TEST = 360
_BOX, _BORDER = 20, 4  # MNIST's digits too are scaled into 20 × 20 and framed to 28 × 28


class Digits(ImageDataset):
    """8 × 8 images scaled to 20 × 20 and framed to 28 × 28. The last 360 are the test set."""

    name: Literal["digits"] = "digits"

    def load(self, data_dir: Path) -> RawImages:
        """Return the images that scikit-learn ships; ``data_dir`` is not used."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        small = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
        large = functional.interpolate(small, size=_BOX, mode="bilinear", align_corners=False)
        images = functional.pad(large, [_BORDER] * 4).squeeze(1).mul(255).round().to(torch.uint8)
        labels = torch.from_numpy(bunch.target).long()
        return RawImages(images[:-NUM_TEST], labels[:-NUM_TEST], images[-NUM_TEST:], labels[-NUM_TEST:])
