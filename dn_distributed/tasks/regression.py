"""Sparse linear regression: a deep linear network where one coefficient vector would do (paper, 4.1)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.config import Pruning, Training
from dn_distributed.data import Data, Dataset, Raw, SparseLinear
from dn_distributed.errors import ArgumentError
from dn_distributed.scores import MSE, NMSE, Score
from dn_distributed.tasks.base import DROPNEURON, LinearTask
from dn_distributed.tasks.initialize import normal_

Width = Annotated[int, Field(ge=1, le=4096)]


class LinearStack(nn.Module):
    """features → hidden → … → 1, all linear; dropout on the hidden layers, and on the output if asked for."""

    def __init__(self, hidden: tuple[int, ...], dropout_on_output: bool, features: int = 20) -> None:
        super().__init__()
        sizes = (features, *hidden, 1)
        self.depth = len(sizes) - 1
        for index in range(self.depth):
            self.add_module(f"fc{index + 1}", nn.Linear(sizes[index], sizes[index + 1]))
        self.dropouts = nn.ModuleList(nn.Dropout() for _ in range(len(hidden) + dropout_on_output))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[B, features]`` to ``[B, 1]``."""
        for index in range(self.depth):
            x = self.get_submodule(f"fc{index + 1}")(x)
            if index < len(self.dropouts):
                x = self.dropouts[index](x)
        return x


class Regression(LinearTask):
    """20 → 5 → 1. DropNeuron acts on the first layer only, as in the published script."""

    name: Literal["regression"] = "regression"
    features: Width = 20
    """Inputs, as many as the dataset has features."""
    hidden: Annotated[tuple[Width, ...], Field(strict=False, max_length=100)] = (5,)
    """Sizes of the hidden layers; the paper also describes deeper stacks."""
    dropout_on_output: bool = False
    """Drop the output too, as the published script does, the seventh of its deviations from the text: the network then
    learns a part of the target, and with half of all outputs dropped the error while testing cannot fall below 0.5."""

    scores: ClassVar[tuple[Score, ...]] = (NMSE, MSE)
    default_training: ClassVar[Training] = Training(epochs=100, batch_size=1, shuffle=False)
    default_pruning: ClassVar[Pruning] = Pruning(threshold=0.01)
    stack_overhead: ClassVar[float] = 400.0
    max_stack: ClassVar[int] = 100
    free_options: ClassVar[frozenset[str]] = frozenset({"dropout_on_output"})
    later_options: ClassVar[Mapping[str, Any]] = {"dropout_on_output": False, "features": 20}

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers."""
        return tuple(f"fc{index + 1}" for index in range(len(self.hidden) + 1))

    def layers_of(self, penalty: str) -> tuple[str, ...]:
        """DropNeuron touches the first layer, everything else what it reaches."""
        return self.layers[:1] if penalty in DROPNEURON else super().layers_of(penalty)

    def data(self, dataset: Dataset, raw: Raw) -> Data:
        """Every seed draws its own problem. ArgumentError for another number of features than the task's."""
        if isinstance(dataset, SparseLinear) and dataset.features != self.features:
            raise ArgumentError(f"regression has {self.features} inputs, the dataset has {dataset.features} features")
        return super().data(dataset, raw)

    def network(self) -> nn.Module:
        """Return the untrained stack."""
        return LinearStack(self.hidden, self.dropout_on_output, self.features)

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Weights and biases from N(0, 1)."""
        normal_(network, 1.0, draw)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(outputs, targets)
