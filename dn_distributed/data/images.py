"""MNIST and its two drop-in relatives: idx files, packed or not, found in the data folder, else downloaded."""

import contextlib
import gzip
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from dn_distributed.data.base import DataError, Dataset, Raw, RawImages
from dn_distributed.data.samples import digest_of
from dn_distributed.files import open_regular
from dn_distributed.text import first_line, one_line

SIZE = 28
"""Pixels of a side."""
_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_FILES = {
    "train-images-idx3-ubyte": (SIZE, SIZE),
    "train-labels-idx1-ubyte": (),
    "t10k-images-idx3-ubyte": (SIZE, SIZE),
    "t10k-labels-idx1-ubyte": (),
}
"""The files, and the shape of one of their items."""
_MOST_BYTES = 2**30
_DEEPEST, _MOST_FOLDERS, _MOST_LISTED = 4, 500, 8  # of a look around for files that lie elsewhere


def digest_images(raw: RawImages) -> str:
    """Return the SHA-256 over all images and labels, in order."""
    return digest_of(raw.train_images, raw.train_labels, raw.test_images, raw.test_labels)


class ImageDataset(Dataset):
    """28 × 28 grey images with labels."""

    kind: ClassVar[str] = "images"

    def digest(self, raw: Raw) -> str:
        """Return the SHA-256 over the images themselves."""
        assert isinstance(raw, RawImages)
        return digest_images(raw)


class TorchvisionImages(ImageDataset):
    """60 000 training and 10 000 test images in torchvision's layout, ``data_dir/<Class>/raw``."""

    name: Literal["mnist", "fashion_mnist", "kmnist"]

    def load(self, data_dir: Path) -> RawImages:
        """Read the files below ``data_dir``; where there are none, download them there first."""
        folder = self._folder(data_dir)
        if self._are_absent(data_dir):
            self._download(data_dir)
        images, labels, test_images, test_labels = (_read(folder, name) for name in _FILES)
        for some, their in ((images, labels), (test_images, test_labels)):
            if len(some) != len(their):
                raise _damaged(folder, f"{len(some)} images, but {len(their)} labels")
        return RawImages(images, labels.long(), test_images, test_labels.long())

    def check_present(self, data_dir: Path) -> None:
        """DataError where the files are not below ``data_dir``."""
        if self._are_absent(data_dir):
            where = self._folder(data_dir)
            raise DataError(f"dataset {self.name!r} is not in {where}: dn sweep downloads it, --dry-run does not")

    def _folder(self, data_dir: Path) -> Path:
        return data_dir / _CLASSES[self.name] / "raw"

    def _are_absent(self, data_dir: Path) -> bool:
        """Whether the files are to be downloaded; DataError where others lie there, or these elsewhere.

        Those may be other images than the ones that would be downloaded, and the user means them.
        """
        folder = self._folder(data_dir)
        missing = [name for name in _FILES if _path(folder, name) is None]
        if not missing:
            return False
        lying = sorted(os.listdir(folder)) if folder.is_dir() else []
        elsewhere = _find_below(data_dir, folder)
        if not lying and elsewhere is None:
            return True
        wanted = f"dataset {self.name!r}: missing in {folder}: {', '.join(missing)} (each may end in .gz)"
        if elsewhere is not None:
            raise DataError(f"{wanted}; files of these names lie in {elsewhere}: {_remedy(elsewhere, folder)}")
        more = f" and {len(lying) - _MOST_LISTED} more" * (len(lying) > _MOST_LISTED)
        there = one_line(", ".join(lying[:_MOST_LISTED]) + more)
        raise DataError(f"{wanted}; there lie: {there}. Rename them, or remove the folder to download the dataset")

    def _download(self, data_dir: Path) -> None:
        """Beside their place first: a download that is interrupted leaves nothing."""
        import torchvision

        folder = self._folder(data_dir)
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=data_dir, prefix=".download-") as made:
                with _progress_bar_only_on_a_terminal():
                    getattr(torchvision.datasets, _CLASSES[self.name])(root=made, download=True)
                folder.parent.mkdir(exist_ok=True)
                with _another_download_may_be_first(folder):
                    (Path(made) / _CLASSES[self.name] / "raw").rename(folder)
        except Exception as error:  # torchvision raises RuntimeError, URLError, OSError and BadZipFile here
            raise DataError(
                f"dataset {self.name!r} is not in {folder} and could not be downloaded ({first_line(error)}); "
                f"put its idx files into that folder, or name another with --data-dir or DN_DATA_DIR"
            ) from error


@contextlib.contextmanager
def _another_download_may_be_first(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        if any(_path(folder, name) is None for name in _FILES):
            raise


def _path(folder: Path, name: str) -> Path | None:
    """Where a file is, packed or not; None where it is not."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _find_below(data_dir: Path, wanted: Path) -> Path | None:
    """A folder at or below ``data_dir``, or one that it lies in, with all files, other than the wanted one."""
    near = [data_dir, *list(data_dir.parents)[:2]]
    others = {(name, "raw") for name in _CLASSES.values()} - {wanted.parts[-2:]}  # the same names, other images
    for number, (place, folders, _) in enumerate(os.walk(data_dir)):
        if number > _MOST_FOLDERS:
            break
        near.append(Path(place))
        if len(Path(place).relative_to(data_dir).parts) >= _DEEPEST:
            folders.clear()
    elsewhere = (path for path in near if path != wanted and path.parts[-2:] not in others)
    return next((path for path in elsewhere if all(_path(path, name) for name in _FILES)), None)


def _remedy(found: Path, wanted: Path) -> str:
    if found.parts[-2:] == wanted.parts[-2:]:
        return f"give --data-dir {found.parents[1]} (or DN_DATA_DIR)"
    return f"move them to {wanted}"


def _read(folder: Path, name: str) -> Tensor:
    """An idx file: four bytes of which the last is the number of dimensions, their sizes, and the numbers."""
    path, item = _path(folder, name), _FILES[name]
    assert path is not None
    try:
        with open_regular(path) as file:
            source = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            content = source.read(_MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(folder, f"{path.name}: {getattr(error, 'strerror', None) or error}") from error
    dimensions = 1 + len(item)
    if content[:4] != bytes([0, 0, 8, dimensions]):
        raise _damaged(folder, f"{path.name} is no idx file of {dimensions} dimensions of bytes")
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if shape[1:] != item or not shape or not shape[0]:
        raise _damaged(folder, f"{path.name} holds {' × '.join(map(str, shape))} numbers, expected n × {SIZE} × {SIZE}")
    numbers = np.frombuffer(content, np.uint8, offset=start)
    if numbers.size != np.prod(shape):
        raise _damaged(folder, f"{path.name} holds {numbers.size} bytes, and not {np.prod(shape)}, as it says")
    return torch.from_numpy(numbers.reshape(shape).copy())


def _damaged(folder: Path, reason: str) -> DataError:
    return DataError(f"the files in {folder} are damaged: delete the folder to download them again ({reason})")


@contextlib.contextmanager
def _progress_bar_only_on_a_terminal() -> Iterator[None]:
    """torchvision draws its bar on stderr whether or not anybody watches."""
    with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
        yield
