"""What makes weights random. Each way is a file beside this one.

Tensors by the name of a parameter have a leading K that counts replicates.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class RandomWeights(ABC):
    """A distribution of the weights of some layers, with parameters of its own that are trained too."""

    coefficients: ClassVar[Mapping[str, str]]
    """By key of a method, what it says: factors of penalties on the distribution, added to the mean loss of a batch."""

    @abstractmethod
    def __init__(self, regularization: Mapping[str, float]) -> None:
        """Of a resolved regularisation that has one of the ``coefficients`` at least."""

    @classmethod
    def acting(cls, network: nn.Module, layers: Sequence[str]) -> set[str]:
        """Return which of the ``coefficients`` act on any of these layers: all, where nothing else is said."""
        return set(cls.coefficients)

    @abstractmethod
    def swap_(self, network: nn.Module, layers: Sequence[str]) -> list[str]:
        """Replace layers of ``network`` in place by ones that use the buffer ``noise``, and return their names.

        They keep their parameters, and have one more.
        """

    @abstractmethod
    def noise_shape(self, layer: nn.Module, outputs: torch.Size) -> torch.Size:
        """Return the shape of the noise of a replaced layer for a batch, of which its outputs have a shape."""

    @abstractmethod
    def draw(self, shape: torch.Size, random: torch.Generator, device: torch.device) -> Tensor:
        """Return noise of a shape, on a device."""

    @abstractmethod
    def initialize_(self, layers: Sequence[str], values: Mapping[str, Tensor], seeds: Sequence[int]) -> None:
        """Set the parameters of the distribution among ``values`` to where training begins."""

    @abstractmethod
    def penalty(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> Tensor:
        """Return the penalty of each replicate, ``[K]``."""

    @abstractmethod
    def add_gradient_(
        self, layers: Sequence[str], values: Mapping[str, Tensor], gradients: Mapping[str, Tensor], factor: float
    ) -> None:
        """Add ``factor`` times the gradient of the penalty to ``gradients``."""

    @abstractmethod
    def tested(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return by name the parameters of the network that is tested in place of the random one, where they differ."""
