"""What a dataset is: whole splits as tensors in memory, never a Python loop over samples."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from dn_distributed.config import FrozenModel
from dn_distributed.errors import DataError as DataError


@dataclass(frozen=True)
class Split:
    """Inputs ``[N, ...]`` and targets ``[N, ...]``; with a leading dimension K where replicates have their own."""

    inputs: Tensor
    targets: Tensor

    @property
    def targets_are_inputs(self) -> bool:
        """Whether both are one tensor, as an autoencoder's: it is then moved, shared and gathered once."""
        return self.targets is self.inputs

    def __getitem__(self, rows: slice) -> "Split":
        """Return these samples, of one tensor as one."""
        inputs = self.inputs[rows]
        return Split(inputs, inputs if self.targets_are_inputs else self.targets[rows])

    def to(self, device: torch.device) -> "Split":
        """Return the split on ``device``."""
        inputs = self.inputs.to(device)
        return Split(inputs, inputs if self.targets_are_inputs else self.targets.to(device))


@dataclass(frozen=True)
class Splits:
    """Training data, validation data for every choice, test data for the figures that are reported."""

    train: Split
    validation: Split
    test: Split
    stacked: bool = False
    """True where tensors carry a leading replicate dimension (each replicate has its own data)."""
    truth: Tensor | None = None
    """The coefficients ``[K, n]`` that generated a synthetic regression."""

    @property
    def num_train(self) -> int:
        """Number of training samples of one replicate."""
        return self.train.inputs.shape[1 if self.stacked else 0]

    def of_first(self, split: Split) -> Split:
        """Return one of the splits as the first replicate has it."""
        return Split(split.inputs[0], split.targets[0]) if self.stacked else split

    def to(self, device: torch.device) -> "Splits":
        """Return all splits on ``device``."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            truth=None if self.truth is None else self.truth.to(device),
        )


@dataclass(frozen=True)
class RawImages:
    """Grey images ``[N, 28, 28]`` of type uint8 and labels ``[N]`` of type int64."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Samples:
    """Three parts: float32 inputs ``[N, ...]``, with int64 labels ``[N]`` from 0 on, or float32 targets ``[N, n]``."""

    train: Split
    validation: Split
    test: Split
    num_classes: int | None = None
    """Of labels; None where the targets are numbers."""
    checksum: str = ""
    """SHA-256 of the files that they were read from; left out: of the tensors."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def num_outputs(self) -> int:
        """How many numbers a network puts out for a sample: one a class, or one a target."""
        return self.num_classes or self.train.targets.shape[1]

    @property
    def parts(self) -> dict[str, Split]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


Raw: TypeAlias = RawImages | Samples | None
"""What a dataset is loaded as: images, samples of any shape, or nothing where it is generated for each seed."""


@dataclass(frozen=True)
class Data:
    """A task's data, ready to train: the same for all replicates, or made anew for each seed."""

    digest: str
    num_train: int
    shared: Splits | None = None
    generate: Callable[[Sequence[int]], Splits] | None = None

    def for_seeds(self, seeds: Sequence[int]) -> Splits:
        """Return the splits that the replicates ``seeds`` train on."""
        if self.shared is not None:
            return self.shared
        assert self.generate is not None
        return self.generate(seeds)


class Dataset(FrozenModel, ABC):
    """A named dataset with its options. ``name`` is fixed by the subclass."""

    name: str
    kind: ClassVar[str]
    """"images", "linear" or "samples": which tasks can use it."""

    @abstractmethod
    def digest(self, raw: Any) -> str:
        """Return the SHA-256 of the data, or of the recipe that makes them."""

    def load(self, data_dir: Path) -> Raw:
        """Return the raw data, or None for generated ones. DataError if they cannot be had."""
        return None

    def located_in(self, data_dir: Path, beside: Path) -> Path:
        """Return where the files lie: ``data_dir``, or ``beside``, the folder of the sweep file."""
        return data_dir

    @property
    def finds_beside(self) -> bool:
        """Whether files are looked for beside a sweep file too."""
        return type(self).located_in is not Dataset.located_in

    def check_present(self, data_dir: Path) -> None:
        """DataError where ``load`` would have to download first. Nothing to check for what is never downloaded."""

    def check_written(self) -> None:
        """ValueError where a sweep file gives options that would do nothing. Stored ones have all, and are not held."""
