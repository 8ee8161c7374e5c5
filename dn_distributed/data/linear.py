"""Synthetic sparse linear regression: every seed has its own matrix, coefficients and targets."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dn_distributed.config import Count
from dn_distributed.data.base import Dataset, Raw, Split, Splits
from dn_distributed.seeds import generator

_MOST_NUMBERS = 10**8  # in a split


class SparseLinear(Dataset):
    """``y = X c`` with few non-zero ``c``: train, test and validation have ``samples`` rows each."""

    kind: ClassVar[str] = "linear"
    samples: Count = 500
    """Rows of each split."""
    features: Count = 20
    """Columns of X."""
    nonzeros: Count = 2
    """Non-zero true coefficients, at random positions."""

    @model_validator(mode="after")
    def _nonzeros_fit(self) -> Self:
        if self.nonzeros > self.features:
            raise ValueError(f"nonzeros {self.nonzeros} exceeds features {self.features}")
        if self.samples * self.features > _MOST_NUMBERS:
            raise ValueError(f"{self.samples} samples of {self.features} features are too many numbers")
        return self

    def digest(self, raw: Raw) -> str:
        """Return the SHA-256 of the recipe; the seed is part of a replicate's identity already."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def generate(self, seeds: Sequence[int]) -> Splits:
        """Return the splits ``[K, samples, features]`` and ``[K, samples, 1]`` of the replicates ``seeds``."""
        made = [self._one(generator(seed, "data")) for seed in seeds]
        inputs = torch.stack([x for x, _, _ in made])
        targets = torch.stack([y for _, y, _ in made])
        parts = [
            Split(x.contiguous(), y.contiguous())
            for x, y in zip(torch.split(inputs, self.samples, 1), torch.split(targets, self.samples, 1), strict=True)
        ]
        train, test, validation = parts
        return Splits(train, validation, test, stacked=True, truth=torch.stack([c for _, _, c in made]))

    def _one(self, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """X ``[3·samples, features]`` (train, test, validation), y ``[3·samples, 1]``, c ``[features]``."""
        inputs = self._matrix(draw)
        truth = torch.zeros(self.features)
        support = torch.randperm(self.features, generator=draw)[: self.nonzeros]
        truth[support] = self._values(draw, len(support))
        targets = inputs @ truth.unsqueeze(1)
        return inputs, targets + self._noise(draw, targets), truth

    def _matrix(self, draw: torch.Generator) -> Tensor:
        raise TypeError(f"{type(self).__name__} is no dataset by itself")

    def _values(self, draw: torch.Generator, count: int) -> Tensor:
        return 10 * torch.randn(count, generator=draw)

    def _noise(self, draw: torch.Generator, targets: Tensor) -> Tensor:
        return torch.zeros(())


class Scripted(SparseLinear):
    """As in the published script: entries 10·N(0, 1), coefficients N(0, 10²), no noise.

    The script has no validation data; here a third block of rows from the same draw serves every choice.
    """

    name: Literal["linear_scripted"] = "linear_scripted"

    def _matrix(self, draw: torch.Generator) -> Tensor:
        return 10 * torch.randn(3 * self.samples, self.features, generator=draw)


class Described(SparseLinear):
    """As in the paper's text: columns drawn uniformly on the unit sphere, optional noise."""

    name: Literal["linear_described"] = "linear_described"
    distribution: Literal["normal", "uniform", "sign"] = "normal"
    """Of the non-zero coefficients: N(0, 1), U(-1, 1) or ±1."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the noise, as a share of the standard deviation of the targets."""

    def _matrix(self, draw: torch.Generator) -> Tensor:
        blocks = torch.randn(3, self.samples, self.features, generator=draw)
        matrix: Tensor = (blocks / blocks.norm(dim=1, keepdim=True)).flatten(0, 1)
        return matrix

    def _values(self, draw: torch.Generator, count: int) -> Tensor:
        if self.distribution == "normal":
            return torch.randn(count, generator=draw)
        uniform: Tensor = 2 * torch.rand(count, generator=draw) - 1
        return uniform if self.distribution == "uniform" else torch.sign(uniform)

    def _noise(self, draw: torch.Generator, targets: Tensor) -> Tensor:
        noise: Tensor = self.noise * targets.std() * torch.randn(targets.shape, generator=draw)
        return noise
