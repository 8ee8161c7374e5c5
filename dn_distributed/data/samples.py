"""Datasets of any shape: inputs that are ready to train on, with labels or with numbers as targets."""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from dn_distributed.data.base import DataError, Dataset, Raw, Samples, Split


class SampleDataset(Dataset):
    """Samples of any one shape, for ``task: network`` and for tasks of your own of the kind "samples"."""

    kind: ClassVar[str] = "samples"

    @abstractmethod
    def load(self, data_dir: Path) -> Samples:
        """Return the samples. DataError if they cannot be had."""

    def digest(self, raw: Raw) -> str:
        """Return the SHA-256 of the files, or of the samples themselves."""
        assert isinstance(raw, Samples)
        return raw.checksum or digest_of(*(tensor for part in raw.parts.values() for tensor in _tensors(part)))


def _tensors(part: Split) -> tuple[Tensor, Tensor]:
    return part.inputs, part.targets


def digest_of(*tensors: Tensor) -> str:
    """Return the SHA-256 over types, shapes and numbers of tensors, in order."""
    hasher = hashlib.sha256()
    for tensor in tensors:
        hasher.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        hasher.update(tensor.contiguous().numpy().data)
    return hasher.hexdigest()


def check_samples(name: str, samples: Samples) -> None:
    """DataError where a dataset gives other than its type says, no finite number, or a class that is not trained on."""
    import torch

    for part, split in samples.parts.items():
        if (
            split.inputs.dtype != torch.float32
            or split.inputs.shape[1:] != samples.input_shape
            or not len(split.inputs)
        ):
            shape = [len(split.inputs) or "1 or more", *samples.input_shape]
            given = f"{split.inputs.dtype} {list(split.inputs.shape)}"
            raise DataError(f"dataset {name!r}: {part} inputs must be float32 {shape}, not {given}".replace("'", ""))
        if not samples.num_classes and split.targets.ndim != 2:
            given = f"{split.targets.dtype} {list(split.targets.shape)}"
            raise DataError(
                f"dataset {name!r}: {part} targets must be torch.float32 [{len(split.inputs)}, n], n numbers a sample, "
                f"not {given}: give num_classes where they are labels, or unsqueeze(1) where each is one number"
            )
        wanted = [len(split.inputs)] if samples.num_classes else [len(split.inputs), samples.num_outputs]
        dtype = torch.int64 if samples.num_classes else torch.float32
        if split.targets.dtype != dtype or list(split.targets.shape) != wanted:
            given = f"{split.targets.dtype} {list(split.targets.shape)}"
            raise DataError(f"dataset {name!r}: {part} targets must be {dtype} {wanted}, not {given}")
    check_finite(name, samples.parts)
    labels = {part: set(split.targets.tolist()) for part, split in samples.parts.items() if samples.num_classes}
    for part, found in labels.items():
        if new := found - labels["train"]:
            raise DataError(f"dataset {name!r}: class {min(new)} is in the {part} samples, and in none to train on")


def check_finite(name: str, parts: Mapping[str, Split]) -> None:
    """DataError for inputs or targets with NaN or an infinity, which scores would be made of all the same."""
    for part, split in parts.items():
        for what, tensor in (("inputs", split.inputs), ("targets", split.targets)):
            if not tensor.is_floating_point() or not tensor.numel() or all(map(_is_finite, tensor.aminmax())):
                continue
            wrong = ~tensor.isfinite().reshape(len(tensor), -1).all(1)
            raise DataError(
                f"dataset {name!r}: {int(wrong.sum())} of {len(tensor)} {part} {what} hold NaN or an infinite number, "
                f"the first is number {int(wrong.nonzero()[0]) + 1}: leave such samples out, or fill in what is missing"
            )


def _is_finite(value: Tensor) -> bool:
    return bool(value.isfinite())
