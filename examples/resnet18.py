"""Colour images of your own as a dataset: noise with a bright stripe whose colour is the label."""

from pathlib import Path
from typing import Literal

import torch

import dn_distributed as dn


@dn.register_dataset
class Colours(dn.SampleDataset):
    """Images of 3 × 32 × 32 pixels: is the stripe red, green or blue?"""

    name: Literal["colours"] = "colours"
    count: int = 240
    """Images, of which a half is for training and a quarter each for validation and testing."""

    def load(self, data_dir: Path) -> dn.Samples:
        """Return the images; nothing is read from ``data_dir``."""
        draw = torch.Generator().manual_seed(0)
        labels = torch.arange(self.count) % 3
        images = torch.randn(self.count, 3, 32, 32, generator=draw)
        images[torch.arange(self.count), labels, 12:20] += 2
        half, quarter = self.count // 2, self.count // 4
        train, validation, test = (
            dn.Split(images[rows], labels[rows])
            for rows in (slice(half), slice(half, half + quarter), slice(half + quarter, None))
        )
        return dn.Samples(train, validation, test, num_classes=3)
