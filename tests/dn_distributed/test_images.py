import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from dn_distributed.data import DATASETS, DataError, RawImages
from dn_distributed.data.images import TorchvisionImages
from dn_distributed.tasks import Task
from dn_distributed.tasks.convnet import ConvNet
from dn_distributed.tasks.lenet300 import LeNet300

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
TRAIN, TEST = ("train", 6), ("t10k", 4)


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes()
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_dataset(data_dir: Path, name: str, size: int = 28, labels_missing: int = 0) -> torch.Tensor:
    """Write six training and four test images in torchvision's layout; return the training images."""
    images = np.random.default_rng(0).integers(0, 256, (10, size, size))
    labels = np.arange(10)
    folder = data_dir / FOLDERS[name] / "raw"
    for (split, count), part in zip((TRAIN, TEST), (slice(0, 6), slice(6, 10)), strict=True):
        write_idx(folder / f"{split}-images-idx3-ubyte", images[part])
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels[part][: count - labels_missing])
    return torch.from_numpy(images[:6].astype(np.uint8))


@pytest.fixture
def _no_network(monkeypatch) -> None:
    def refuse(_self) -> None:
        raise URLError("no network")

    for cls in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST, torchvision.datasets.KMNIST):
        monkeypatch.setattr(cls, "download", refuse)


every_name = pytest.mark.parametrize("name", FOLDERS)
pytestmark = pytest.mark.usefixtures("_no_network")


@every_name
def test_names_are_registered(name: str) -> None:
    assert DATASETS[name] is TorchvisionImages


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        TorchvisionImages(name="cifar10")


@every_name
def test_files_in_the_folder_are_read(tmp_path: Path, name: str) -> None:
    expected = write_dataset(tmp_path, name)
    raw = TorchvisionImages(name=name).load(tmp_path)
    assert torch.equal(raw.train_images, expected)
    assert raw.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert raw.test_labels.tolist() == [6, 7, 8, 9]
    assert (raw.test_images.shape, raw.train_labels.dtype) == ((4, 28, 28), torch.int64)


@every_name
def test_a_missing_dataset_names_its_folder_and_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as error:
        TorchvisionImages(name=name).load(tmp_path)
    message = str(error.value)
    assert f"{name!r} is not in {tmp_path / FOLDERS[name] / 'raw'}" in message
    assert "no network" in message
    assert "put its idx files into that folder, or name another with --data-dir or DN_DATA_DIR" in message
    assert "\n" not in message


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, "mnist", size=32)
    with pytest.raises(DataError, match=f"{tmp_path / 'MNIST' / 'raw'} are damaged: delete the folder"):
        TorchvisionImages(name="mnist").load(tmp_path)


def test_fewer_labels_than_images_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, "mnist", labels_missing=1)
    with pytest.raises(DataError, match="are damaged"):
        TorchvisionImages(name="mnist").load(tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, "mnist")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=str(tmp_path)):
        TorchvisionImages(name="mnist").load(tmp_path)


def test_digest_is_that_of_the_images_and_not_of_the_name(tmp_path: Path) -> None:
    raws = []
    for name in ("mnist", "kmnist"):
        write_dataset(tmp_path, name)
        raws.append(TorchvisionImages(name=name).load(tmp_path))
    first, second = (TorchvisionImages(name="mnist").digest(raw) for raw in raws)
    assert first == second
    raws[1].test_images[0, 0, 0] ^= 1
    assert TorchvisionImages(name="mnist").digest(raws[1]) != first


def has_mnist() -> bool:
    folder = os.environ.get("DN_DATA_DIR")
    return folder is not None and (Path(folder) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()


real_mnist = pytest.mark.skipif(not has_mnist(), reason="DN_DATA_DIR names no folder with MNIST")


@pytest.fixture(scope="module")
def mnist() -> RawImages:
    return TorchvisionImages(name="mnist").load(Path(os.environ["DN_DATA_DIR"]))


@real_mnist
def test_digest_of_mnist_is_pinned(mnist: RawImages) -> None:
    assert (
        TorchvisionImages(name="mnist").digest(mnist)
        == "5b530725372659ea0c19432a93b20a2db97a01043053696cf212d0e034f29ad8"
    )


@real_mnist
@pytest.mark.parametrize(("task", "train", "held_out"), [(LeNet300(), 55000, 5000), (ConvNet(), 50000, 10000)])
def test_split_of_mnist_is_that_of_the_scripts(mnist: RawImages, task: Task, train: int, held_out: int) -> None:
    splits = task.data(TorchvisionImages(name="mnist"), mnist).for_seeds([1])
    sizes = [len(split.inputs) for split in (splits.train, splits.validation, splits.test)]
    assert sizes == [train, held_out, 10000]
    assert torch.equal(splits.validation.targets, mnist.train_labels[:held_out])
