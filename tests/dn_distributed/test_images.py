import gzip
import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from dn_distributed.data import DATASETS, DataError, RawImages
from dn_distributed.data.images import TorchvisionImages, digest_images
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
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: object) -> None:
        raise URLError("no network")

    for cls in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST, torchvision.datasets.KMNIST):
        monkeypatch.setattr(cls, "download", refuse)


@pytest.fixture
def _would_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_self: object) -> None:
        pytest.fail("downloaded")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)


every_name = pytest.mark.parametrize("name", FOLDERS)
pytestmark = pytest.mark.usefixtures("_no_network")


@every_name
def test_names_are_registered(name: str) -> None:
    assert DATASETS[name] is TorchvisionImages


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        TorchvisionImages.model_validate({"name": "cifar10"})


@every_name
def test_files_in_the_folder_are_read(tmp_path: Path, name: str) -> None:
    expected = write_dataset(tmp_path, name)
    raw = TorchvisionImages.model_validate({"name": name}).load(tmp_path)
    assert torch.equal(raw.train_images, expected)
    assert raw.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert raw.test_labels.tolist() == [6, 7, 8, 9]
    assert (raw.test_images.shape, raw.train_labels.dtype) == ((4, 28, 28), torch.int64)


@every_name
def test_a_missing_dataset_names_its_folder_and_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as error:
        TorchvisionImages.model_validate({"name": name}).load(tmp_path)
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


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_what_is_no_idx_file_is_refused(tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path, "mnist")
    (tmp_path / "MNIST" / "raw" / name).write_bytes(b"<html>Not found</html>")
    with pytest.raises(DataError, match=f"{name} is no idx file"):
        TorchvisionImages(name="mnist").load(tmp_path)


def test_packed_files_are_read_as_they_lie(tmp_path: Path) -> None:
    expected = write_dataset(tmp_path, "mnist")
    unpacked = TorchvisionImages(name="mnist").load(tmp_path)
    for path in (tmp_path / "MNIST" / "raw").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    TorchvisionImages(name="mnist").check_present(tmp_path)
    raw = TorchvisionImages(name="mnist").load(tmp_path)
    assert torch.equal(raw.train_images, expected)
    assert digest_images(raw) == digest_images(unpacked)
    (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"x" * 99)[:30])
    with pytest.raises(DataError, match=r"damaged.*t10k-images-idx3-ubyte\.gz"):
        TorchvisionImages(name="mnist").load(tmp_path)


@pytest.mark.usefixtures("_would_download")
def test_files_of_other_names_are_listed_and_nothing_is_downloaded(tmp_path: Path) -> None:
    write_dataset(tmp_path, "mnist")
    raw = tmp_path / "MNIST" / "raw"
    (raw / "train-images-idx3-ubyte").rename(raw / "train-images.idx3-ubyte")
    for call in ("load", "check_present"):
        with pytest.raises(DataError) as error:
            getattr(TorchvisionImages(name="mnist"), call)(tmp_path)
        assert f"missing in {raw}: train-images-idx3-ubyte (each may end in .gz)" in str(error.value)
        assert "there lie: t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, train-images.idx3-ubyte" in str(error.value)


@pytest.mark.usefixtures("_would_download")
@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("", "give --data-dir {}/deep/data"),
        ("deep/data/MNIST", "give --data-dir {}/deep/data"),
        ("deep/data/MNIST/raw", "give --data-dir {}/deep/data"),
    ],
)
def test_files_that_lie_elsewhere_are_found(tmp_path: Path, given: str, remedy: str) -> None:
    write_dataset(tmp_path / "deep" / "data", "mnist")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError) as error:
        TorchvisionImages(name="mnist").load(tmp_path / given)
    assert remedy.format(tmp_path) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("_would_download")
def test_files_without_their_folders_are_found(tmp_path: Path) -> None:
    write_dataset(tmp_path / "there", "mnist")
    (tmp_path / "there" / "MNIST" / "raw").rename(tmp_path / "flat")
    with pytest.raises(DataError, match=f"lie in {tmp_path}/flat: move them to {tmp_path}/flat/MNIST/raw"):
        TorchvisionImages(name="mnist").load(tmp_path / "flat")


def test_a_download_comes_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: torchvision.datasets.MNIST) -> None:
        write_dataset(Path(self.root), "mnist")
        if broken:
            raise URLError("cut off")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    broken = True
    with pytest.raises(DataError, match="cut off"):
        TorchvisionImages(name="mnist").load(tmp_path)
    assert not list((tmp_path / "MNIST").glob("*"))
    broken = False
    assert len(TorchvisionImages(name="mnist").load(tmp_path).train_images) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


@pytest.mark.usefixtures("_would_download")
def test_to_look_whether_files_are_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dn sweep downloads it, --dry-run does not"):
        TorchvisionImages(name="mnist").check_present(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_digest_is_that_of_the_images_and_not_of_the_name(tmp_path: Path) -> None:
    raws = []
    for name in ("mnist", "kmnist"):
        write_dataset(tmp_path, name)
        raws.append(TorchvisionImages.model_validate({"name": name}).load(tmp_path))
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


def test_other_images_with_the_same_file_names_are_not_taken_for_the_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNIST and Fashion-MNIST have the same file names: one moved into the other's folder would be a wrong result."""
    write_dataset(tmp_path, "fashion_mnist")
    monkeypatch.setattr(TorchvisionImages, "_download", lambda self, folder: write_dataset(folder, self.name))
    TorchvisionImages(name="mnist").load(tmp_path)
    assert (tmp_path / "MNIST" / "raw").is_dir()
