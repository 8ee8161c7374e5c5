"""Datasets by name. To add one: a class like these, and one entry in ``DATASETS``."""

from dn_distributed.data.base import Data, DataError, Dataset, RawImages, Split, Splits
from dn_distributed.data.digits import Digits
from dn_distributed.data.images import TorchvisionImages
from dn_distributed.data.linear import Described, Scripted, SparseLinear

__all__ = ["DATASETS", "Data", "DataError", "Dataset", "RawImages", "SparseLinear", "Split", "Splits"]

DATASETS: dict[str, type[Dataset]] = {
    "mnist": TorchvisionImages,
    "fashion_mnist": TorchvisionImages,
    "kmnist": TorchvisionImages,
    "digits": Digits,
    "linear_scripted": Scripted,
    "linear_described": Described,
}
