"""Colour images in torchvision's layout, and in folders of one's own, one a class. Never downloaded."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from dn_distributed.config import Count
from dn_distributed.data.base import DataError, Samples, Split
from dn_distributed.data.samples import SampleDataset, check_samples, digest_of
from dn_distributed.seeds import generator
from dn_distributed.text import first_line, quoted

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = tuple[Tensor, Tensor]
"""Images ``[N, 3, height, width]`` of type uint8 and their labels ``[N]``."""
Side = Annotated[int, Field(ge=1, le=1024)]

_DEEP = ("I", "F")
"""What PIL calls pixels of 16 bits, 32 bits and floats by: of RGB, which has 8, it makes black or white of them."""
_UNREAD = frozenset({".avif", ".heic", ".heif"})
"""Endings of images that not every Pillow knows."""
_CLASSES = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN", "flowers102": "Flowers102"}


class PictureDataset(SampleDataset):
    """Colour images, standardised: each channel has mean 0 and standard deviation 1 over the training images."""

    validation_size: Count = 5000
    """Where there are no validation images, so many of the training images are drawn for it; a fifth at most."""

    def load(self, data_dir: Path) -> Samples:
        """Read the images below ``data_dir``. DataError where they are not there."""
        parts, num_classes = self._read(data_dir)
        checksum = digest_of(*(tensor for part in parts.values() for tensor in part))
        if "validation" not in parts:
            images, labels = parts["train"]
            order = torch.randperm(len(images), generator=generator(0, "validation"))
            held_out = min(self.validation_size, len(images) // 5)
            parts["validation"] = (images[order[:held_out]], labels[order[:held_out]])
            parts["train"] = (images[order[held_out:]], labels[order[held_out:]])
        shift, scale = _of_channels(parts["train"][0])
        splits = {
            name: Split(images.float().div_(255).sub_(shift).div_(scale), labels)
            for name, (images, labels) in parts.items()
        }
        samples = Samples(**splits, num_classes=num_classes, checksum=checksum)
        check_samples(self.name, samples)
        return samples

    @abstractmethod
    def _read(self, data_dir: Path) -> tuple[dict[str, Pictures], int]:
        """Return the images by part, train and test at least, and the number of classes."""


class TorchvisionPictures(PictureDataset):
    """32 × 32 colour images in torchvision's layout in the data folder."""

    name: Literal["cifar10", "cifar100", "svhn"]

    def _read(self, data_dir: Path) -> tuple[dict[str, Pictures], int]:
        parts = {}
        for part in ("train", "test"):
            chosen = {"split": part} if self.name == "svhn" else {"train": part == "train"}
            root = data_dir / "SVHN" if self.name == "svhn" and (data_dir / "SVHN").is_dir() else data_dir
            found = _torchvision(self.name, root, chosen)
            images = torch.from_numpy(found.data)
            labels = found.labels if self.name == "svhn" else found.targets
            images = images if self.name == "svhn" else images.permute(0, 3, 1, 2).contiguous()
            parts[part] = (images, torch.tensor(np.asarray(labels), dtype=torch.int64))
        return parts, 100 if self.name == "cifar100" else 10


class Flowers(PictureDataset):
    """Flowers of 102 kinds in torchvision's layout in the data folder, with its own validation images."""

    name: Literal["flowers102"] = "flowers102"
    size: Side = 224
    """Pixels of a side, to which images are resized."""

    def _read(self, data_dir: Path) -> tuple[dict[str, Pictures], int]:
        splits = {"train": "train", "validation": "val", "test": "test"}
        return {
            part: _all(_torchvision(self.name, data_dir, {"split": split}), self.size) for part, split in splits.items()
        }, 102


class ImageFolder(PictureDataset):
    """Images of your own in ``train/CLASS/``, ``test/CLASS/`` and, if you like, ``validation/CLASS/``."""

    name: Literal["image_folder"] = "image_folder"
    path: Annotated[str, Field(min_length=1)]
    """The folder that ``train`` and ``test`` lie in: beside the sweep file, or in the data folder (``--data-dir``)."""
    size: Side
    """Pixels of a side, to which images are resized."""

    def located_in(self, data_dir: Path, beside: Path) -> Path:
        """Return the folder of the sweep file where ``path`` lies in it, else ``data_dir``."""
        return beside if os.path.isdir(beside / self.path) else data_dir

    def _read(self, data_dir: Path) -> tuple[dict[str, Pictures], int]:
        from torchvision import datasets

        folder = data_dir / Path(self.path).expanduser()
        found: dict[str, Any] = {}
        for part in ("train", "validation", "test"):
            if part == "validation" and not (folder / part).is_dir():
                continue
            try:
                found[part] = datasets.ImageFolder(str(folder / part), loader=_opened)
            except (OSError, RuntimeError) as error:
                raise DataError(f"{folder / part}: no folder of a class each ({first_line(error)})") from error
            if hidden := [name for name in found[part].classes if name.startswith((".", "__"))]:
                raise DataError(f"{folder / part}: the folder {quoted(hidden[0])} would be a class: remove it")
            _check_all_known(folder / part)
            if found[part].classes != found["train"].classes:
                raise DataError(f"{folder / part}: other classes than in train: {', '.join(found[part].classes[:10])}")
        return {part: _all(images, self.size) for part, images in found.items()}, len(found["train"].classes)


def _check_all_known(folder: Path) -> None:
    """DataError for images that torchvision leaves out by their ending: a class would be trained on fewer of them."""
    from PIL import Image
    from torchvision.datasets.folder import IMG_EXTENSIONS

    images = (_UNREAD | Image.registered_extensions().keys()) - set(IMG_EXTENSIONS)
    left_out = sorted(
        os.path.join(place, file)
        for place, _, files in os.walk(folder, followlinks=True)  # as torchvision walks
        for file in files
        if place != str(folder) and not file.startswith(".") and os.path.splitext(file)[1].lower() in images
    )
    if left_out:
        raise DataError(
            f"{left_out[0]}: images of its ending are not read, {len(left_out)} such files in {folder}: save them as "
            "PNG or JPEG, or remove them"
        )


def _torchvision(name: str, root: Path, chosen: Mapping[str, Any]) -> Any:
    from torchvision import datasets

    cls: Callable[..., Any] = getattr(datasets, _CLASSES[name])
    try:
        return cls(root=str(root), download=False, **chosen)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"dataset {name!r} is not in {root}, or is damaged ({first_line(error)}): put it there with "
            f"torchvision.datasets.{_CLASSES[name]}(root, download=True), or name another folder with --data-dir"
        ) from error


def _all(dataset: Any, size: int) -> Pictures:
    """Return the images of one of torchvision's datasets. DataError, naming the file where it is known."""
    from PIL.Image import DecompressionBombError

    images = torch.empty(len(dataset), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(dataset), dtype=torch.int64)
    for place in range(len(dataset)):
        try:
            image, label = dataset[place]
            images[place], labels[place] = _pixels(image, size), label
        except (OSError, SyntaxError, ValueError, DecompressionBombError) as error:  # as PIL finds a file damaged
            raise DataError(f"{_file_of(dataset, place)}: cannot be read: {first_line(error)}") from error
        except DataError as error:
            raise DataError(f"{_file_of(dataset, place)}: {error}") from error
    return images, labels


def _file_of(dataset: Any, place: int) -> str:
    return str(dataset.samples[place][0]) if hasattr(dataset, "samples") else f"image {place}"


def _opened(path: str) -> "Image":
    """Return an image as it is in its file. DataError where colours of 8 bits cannot be had of it."""
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        if image.mode.startswith(_DEEP):
            raise DataError(
                f"its pixels, of the mode {image.mode}, have more than 8 bits, whose range is not known: save it with 8"
            )
        has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
        if has_alpha and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            raise DataError("it is transparent in places, whose colour is not known: save it on a background")
        return image


def _pixels(image: "Image", size: int) -> Tensor:
    """Return the largest square in the middle of an image, resized, ``[3, size, size]``."""
    from PIL import ImageOps

    fitted = ImageOps.fit(image.convert("RGB"), (size, size))
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1)


def _of_channels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of pixels in [0, 1], ``[3, 1, 1]``."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.transpose(0, 1)])
    share = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = (share * levels).sum(1)
    deviation = (share * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    deviation[deviation == 0] = 1
    return mean.float().view(3, 1, 1), deviation.float().view(3, 1, 1)
