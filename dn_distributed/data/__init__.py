"""Datasets by name. To add one: a class like these, and one entry in ``DATASETS``; elsewhere ``register_dataset``."""

from typing import TypeVar

from dn_distributed.data.base import Data, DataError, Dataset, Raw, RawImages, Samples, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.data.function import FromFunction
from dn_distributed.data.images import ImageDataset, TorchvisionImages
from dn_distributed.data.linear import Described, Scripted, SparseLinear
from dn_distributed.data.pictures import Flowers, ImageFolder, TorchvisionPictures
from dn_distributed.data.samples import SampleDataset
from dn_distributed.data.table import Csv, Parquet
from dn_distributed.registry import check_kind, literal_names, register

__all__ = [
    "DATASETS",
    "Data",
    "DataError",
    "Dataset",
    "ImageDataset",
    "Raw",
    "RawImages",
    "SampleDataset",
    "Samples",
    "SparseLinear",
    "Split",
    "Splits",
    "register_dataset",
]

DATASETS: dict[str, type[Dataset]] = {
    "mnist": TorchvisionImages,
    "fashion_mnist": TorchvisionImages,
    "kmnist": TorchvisionImages,
    "digits": Digits,
    "linear_scripted": Scripted,
    "linear_described": Described,
    "csv": Csv,
    "parquet": Parquet,
    "cifar10": TorchvisionPictures,
    "cifar100": TorchvisionPictures,
    "svhn": TorchvisionPictures,
    "flowers102": Flowers,
    "image_folder": ImageFolder,
    "function": FromFunction,
}

OwnDataset = TypeVar("OwnDataset", bound=Dataset)


def register_dataset(cls: type[OwnDataset]) -> type[OwnDataset]:
    """Make a dataset of your own a value of ``dataset`` in sweep files, and return it: a decorator.

    ArgumentError where its name is taken, or it is no whole dataset.
    """
    how_to_name = 'give it a name of its own, name: Literal["mine"] = "mine"'
    register(DATASETS, Dataset, cls, literal_names(cls), how_to_name, check_kind)
    return cls
