"""Colour images, made, in torchvision's layouts and in folders."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from dn_distributed.data import DATASETS, DataError, Samples
from tests.made_pictures import any_checksum as any_checksum
from tests.made_pictures import images, make_flowers

DRAW = np.random.default_rng(0)


def load(name: str, folder: Path, **options: Any) -> Samples:
    dataset = DATASETS[name](**{"name": name, **options})
    samples = dataset.load(folder)
    assert isinstance(samples, Samples)
    channels = samples.train.inputs.transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(channels.std(1), torch.ones(3), atol=1e-2, rtol=0)
    return samples


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar(tmp_path: Path, name: str, classes: int) -> None:
    cls = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
    folder = tmp_path / cls.base_folder
    folder.mkdir()
    key = "labels" if name == "cifar10" else "fine_labels"
    for file, _ in (*cls.train_list, *cls.test_list):
        content = {"data": DRAW.integers(0, 256, (classes * 2, 3072), dtype=np.uint8), key: [*range(classes)] * 2}
        (folder / file).write_bytes(pickle.dumps(content))
    (folder / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: [str(n) for n in range(classes)]}))
    samples = load(name, tmp_path, validation_size=1)
    assert (samples.input_shape, samples.num_classes) == ((3, 32, 32), classes)
    assert len(samples.validation.inputs) == 1
    assert len(samples.test.inputs) == 2 * classes


@pytest.mark.usefixtures("any_checksum")
def test_svhn(tmp_path: Path) -> None:
    for part in ("train", "test"):
        pixels = DRAW.integers(0, 256, (32, 32, 3, 60), dtype=np.uint8)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": np.arange(60)[:, None] % 10 + 1})
    samples = load("svhn", tmp_path)
    assert (samples.input_shape, samples.num_classes) == ((3, 32, 32), 10)
    assert [len(split.inputs) for split in samples.parts.values()] == [48, 12, 60]


@pytest.mark.usefixtures("any_checksum")
def test_flowers(tmp_path: Path) -> None:
    make_flowers(tmp_path)
    samples = load("flowers102", tmp_path, size=8)
    assert (samples.input_shape, samples.num_classes) == ((3, 8, 8), 102)
    assert [len(split.inputs) for split in samples.parts.values()] == [102, 102, 102]


def test_a_folder_a_class(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("test", 3)):
        for name in ("cat", "dog"):
            images(tmp_path / "pets" / part / name, count)
    samples = load("image_folder", tmp_path, path="pets", size=9)
    assert (samples.input_shape, samples.num_classes) == ((3, 9, 9), 2)
    assert [len(split.inputs) for split in samples.parts.values()] == [16, 4, 6]
    images(tmp_path / "pets" / "validation" / "cow", 1)
    with pytest.raises(DataError, match="validation: other classes than in train: cow"):
        load("image_folder", tmp_path, path="pets", size=9)


@pytest.mark.parametrize("damage", [b"nothing", None, "bomb"])
def test_an_image_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | str | None
) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            images(tmp_path / part / name, 5)
    file = tmp_path / "train" / "dog" / "image_00001.png"
    Image.new("RGB", (40, 40)).save(file)
    if damage == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    else:
        written = file.read_bytes()
        file.write_bytes(damage if isinstance(damage, bytes) else written[:33] + b"\0" * 20 + written[53:])
    with pytest.raises(DataError, match=r"image_00001\.png: cannot be read"):
        load("image_folder", tmp_path, path=".", size=9)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            Image.fromarray(DRAW.integers(300, 60300, (9, 9)).astype(np.uint16)),
            "mode I.*, have more than 8 bits, .*: save it with 8",
        ),
        (Image.fromarray(DRAW.integers(300, 60300, (9, 9)).astype(np.int32)), "mode I, have more than 8 bits"),
        (Image.fromarray(DRAW.random((9, 9), dtype=np.float32)), "mode F, have more than 8 bits"),
        (Image.new("RGBA", (9, 9), (255, 255, 255, 0)), "transparent in places"),
        (Image.new("LA", (9, 9), (0, 254)), "transparent in places"),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 0)).quantize(4), "transparent in places"),
    ],
    ids=["16 bits", "32 bits", "floats", "alpha", "grey and alpha", "palette"],
)
def test_an_image_whose_colours_are_not_known_is_refused(tmp_path: Path, picture: Image.Image, message: str) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            images(tmp_path / part / name, 5)
    suffix = ".tif" if picture.mode in ("I", "F") else ".png"
    picture.save(tmp_path / "train" / "dog" / f"odd{suffix}")
    with pytest.raises(DataError, match=rf"dog/odd\{suffix}: .*{message}"):
        load("image_folder", tmp_path, path=".", size=9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_images_of_other_kinds_keep_what_they_show(tmp_path: Path, mode: str) -> None:
    left = Image.new("L", (12, 12), 0)
    left.paste(255, (0, 0, 6, 12))
    for part, name in ((part, name) for part in ("train", "test") for name in ("a", "b")):
        (tmp_path / part / name).mkdir(parents=True)
        for place in range(5):
            shown = left if name == "a" else left.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            source = shown.convert("RGB").convert(mode) if mode == "CMYK" else shown.convert(mode)
            source.save(tmp_path / part / name / f"{place}{'.tif' if mode == 'CMYK' else '.png'}")
    samples = load("image_folder", tmp_path, path=".", size=6)
    bright = samples.test.inputs[:, 0, 3, 0] > samples.test.inputs[:, 0, 3, 5]
    assert bright.tolist() == (samples.test.targets == 0).tolist()


def test_images_that_are_not_read_by_their_ending_are_refused_and_other_files_are_not(tmp_path: Path) -> None:
    for part, name in ((part, name) for part in ("train", "test") for name in ("a", "b")):
        images(tmp_path / part / name, 5)
        for other in ("notes.txt", ".hidden.gif", "Thumbs.db"):
            (tmp_path / part / name / other).write_text("no image")
    (tmp_path / "train" / "cover.gif").write_text("in no class")
    assert len(load("image_folder", tmp_path, path=".", size=6).test.inputs) == 10
    (tmp_path / "train" / "b" / "deeper").mkdir()
    for file in ("deeper/x.HEIC", "image_00006.gif", "z.jfif"):
        (tmp_path / "train" / "b" / file).write_text("an image")
    with pytest.raises(
        DataError, match=r"train/b/deeper/x\.HEIC: images of its ending are not read, 3 such files"
    ) as it:
        load("image_folder", tmp_path, path=".", size=6)
    assert "\n" not in str(it.value)


def test_a_hidden_folder_is_no_class(tmp_path: Path) -> None:
    for part, name in ((part, name) for part in ("train", "test") for name in ("a", "b", ".ipynb_checkpoints")):
        images(tmp_path / part / name, 5)
    with pytest.raises(DataError, match=r"train: the folder '.ipynb_checkpoints' would be a class: remove it"):
        load("image_folder", tmp_path, path=".", size=6)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "flowers102"])
def test_what_is_not_there_is_not_downloaded(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"dataset '{name}' is not in .*download=True"):
        load(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train: no folder of a class each"):
        load("image_folder", tmp_path, path="pets", size=9)
