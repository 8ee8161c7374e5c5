"""MNIST and its two drop-in relatives through torchvision: found in the data folder, else downloaded."""

import contextlib
import hashlib
import io
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from dn_distributed.data.base import DataError, Dataset, RawImages


def digest_images(raw: RawImages) -> str:
    """Return the SHA-256 over all images and labels, in order."""
    hasher = hashlib.sha256()
    for tensor in (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels):
        hasher.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        hasher.update(tensor.contiguous().numpy().data)
    return hasher.hexdigest()


class ImageDataset(Dataset):
    """28 × 28 grey images in ten classes."""

    kind: ClassVar[str] = "images"

    def digest(self, raw: RawImages | None) -> str:
        """Return the SHA-256 over the images themselves."""
        assert raw is not None
        return digest_images(raw)


class TorchvisionImages(ImageDataset):
    """60 000 training and 10 000 test images in torchvision's layout, ``data_dir/<Class>/raw``."""

    name: Literal["mnist", "fashion_mnist", "kmnist"]

    def load(self, data_dir: Path) -> RawImages:
        """Read the files below ``data_dir``; where they are absent, download them there first."""
        import torchvision

        by_name = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
        cls = getattr(torchvision.datasets, by_name[self.name])
        folder = data_dir / by_name[self.name] / "raw"
        damaged = DataError(f"the files in {folder} are damaged: delete the folder to download them again")
        try:
            with _progress_bar_only_on_a_terminal():
                parts = [_open(cls, data_dir, train, damaged) for train in (True, False)]
        except DataError:
            raise
        except Exception as error:  # torchvision raises RuntimeError, URLError, OSError and BadZipFile here
            raise DataError(
                f"dataset {self.name!r} is not in {folder} and could not be downloaded ({_first_line(error)}); "
                f"put its idx files into that folder, or name another with --data-dir or DN_DATA_DIR"
            ) from error
        images = [tensor for part in parts for tensor in (part.data, part.targets)]
        return RawImages(*_checked(images, damaged))


def _open(cls: Any, data_dir: Path, train: bool, damaged: DataError) -> Any:
    try:
        return cls(root=str(data_dir), train=train, download=False)
    except RuntimeError as error:
        if "not found" not in str(error):
            raise damaged from error
    except (ValueError, AssertionError, EOFError, OSError) as error:
        raise damaged from error
    return cls(root=str(data_dir), train=train, download=True)


def _checked(tensors: list[Tensor], damaged: DataError) -> list[Tensor]:
    for images, labels in zip(tensors[::2], tensors[1::2], strict=True):
        if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(images):
            raise damaged
    return tensors


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextlib.contextmanager
def _progress_bar_only_on_a_terminal():  # type: ignore[no-untyped-def]
    """torchvision draws its bar on stderr whether or not anybody watches."""
    with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
        yield
