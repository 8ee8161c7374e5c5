"""Masks as small files: bit-packed, and as pictures of the sparsity pattern."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_WHITE, _BLUE = (255, 255, 255), (31, 87, 164)


def save_masks(masks: Mapping[str, Tensor], path: Path) -> None:
    """Write boolean masks eight to a byte; their shapes go into the file's metadata."""
    packed = {name: torch.from_numpy(np.packbits(mask.numpy())) for name, mask in masks.items()}
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()})
    save_file(packed, path, metadata={"shapes": shapes})


def load_masks(path: Path) -> dict[str, Tensor]:
    """Read what ``save_masks`` wrote."""
    with safe_open(path, framework="pt") as file:
        shapes = json.loads(file.metadata()["shapes"])
        return {name: _unpack(file.get_tensor(name), shape) for name, shape in shapes.items()}


def _unpack(packed: Tensor, shape: list[int]) -> Tensor:
    bits = np.unpackbits(packed.numpy(), count=int(np.prod(shape)))
    return torch.from_numpy(bits.astype(bool)).reshape(shape)


def save_pattern(mask: Tensor, path: Path) -> None:
    """Draw a mask ``[n_out, n_in]`` as the paper does: one pixel a weight, blue where it is not zero.

    Inputs run down, outputs run across: an input that is dropped is a white line.
    """
    image = Image.fromarray(mask.t().contiguous().numpy().astype(np.uint8), mode="P")
    image.putpalette([*_WHITE, *_BLUE])
    image.save(path, optimize=False)
