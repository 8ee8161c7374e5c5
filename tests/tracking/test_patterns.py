from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tracking.store.masks import load_masks, save_masks, save_pattern

WHITE, BLUE = (255, 255, 255), (31, 87, 164)


@pytest.mark.parametrize("shape", [(1, 1), (5, 20), (3, 7), (16, 8)])
def test_masks_come_back_as_they_were(tmp_path: Path, shape: tuple[int, int]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    save_masks({"fc1": mask, "none": torch.zeros(shape, dtype=torch.bool)}, tmp_path / "m.safetensors")
    loaded = load_masks(tmp_path / "m.safetensors")
    assert list(loaded) == ["fc1", "none"]
    assert np.array_equal(loaded["fc1"], mask)
    assert loaded["none"].dtype == np.bool_
    assert not loaded["none"].any()


def test_masks_come_back_in_forward_order(tmp_path: Path) -> None:
    names = ["encoder1", "decoder1", "a_last_layer"]
    save_masks({name: torch.ones(2, 2, dtype=torch.bool) for name in names}, tmp_path / "m.safetensors")
    assert list(load_masks(tmp_path / "m.safetensors")) == names


def test_masks_take_a_bit_a_weight(tmp_path: Path) -> None:
    save_masks({"fc1": torch.ones(300, 784, dtype=torch.bool)}, tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_size < 300 * 784 / 8 + 500


def test_inputs_run_down_and_outputs_across(tmp_path: Path) -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)  # two outputs, three inputs
    mask[1, 0] = True  # from the first input to the second output
    save_pattern(mask, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        picture = image.convert("RGB")
    assert picture.size == (2, 3)
    blue = [(x, y) for x in range(2) for y in range(3) if picture.getpixel((x, y)) == BLUE]
    assert blue == [(1, 0)]
    assert picture.getpixel((0, 0)) == WHITE
