"""Masks as small files: bit-packed, and as pictures of the sparsity pattern."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:  # a report reads masks without torch
    from torch import Tensor

_WHITE, _BLUE = (255, 255, 255), (31, 87, 164)

Mask = NDArray[np.bool_]
"""``[n_out, n_in]`` or ``[filters, channels, height, width]``."""
AnyMask = Union["Tensor", Mask]
"""A tensor lies on the CPU."""


def save_masks(masks: Mapping[str, AnyMask], path: Path) -> None:
    """Write boolean masks eight to a byte; their shapes go into the file's metadata."""
    packed = {name: np.packbits(np.asarray(mask)) for name, mask in masks.items()}
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()})
    save_file(packed, path, metadata={"shapes": shapes})


def load_masks(path: Path) -> dict[str, Mask]:
    """Read what ``save_masks`` wrote."""
    with safe_open(path, framework="np") as file:
        shapes = json.loads(file.metadata()["shapes"])
        return {name: _unpack(file.get_tensor(name), shape) for name, shape in shapes.items()}


def _unpack(packed: NDArray[np.uint8], shape: list[int]) -> Mask:
    return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)


_Item = TypeVar("_Item", bound=np.generic)


def unfolded(mask: NDArray[_Item]) -> NDArray[_Item]:
    """Return a mask, or values, as a matrix ``[n_out, weights of one output]``: of a convolution channel by channel."""
    return mask.reshape(len(mask), -1)


def save_pattern(mask: AnyMask, path: Path) -> None:
    """Draw a mask as the paper does: one pixel a weight, blue where it is not zero.

    Inputs run down, outputs run across: an input that is dropped is a white line. Of a convolution the weights of a
    channel's kernel stand below each other: a channel that is dropped is a white band, a filter a white column.
    """
    image = Image.fromarray(np.ascontiguousarray(unfolded(np.asarray(mask)).T, dtype=np.uint8), mode="P")
    image.putpalette([*_WHITE, *_BLUE])
    image.save(path, optimize=False)
