"""What all phases of a training share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dn_distributed.data import Splits
from dn_distributed.dropping.chain import Chain
from dn_distributed.random_weights import RandomWeights
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training.penalties import Penalties
from dn_distributed.training.rewinding import EarlierValues


@dataclass(frozen=True)
class TrainingSetup:
    """What all phases of a training share."""

    task: Task
    replicas: Replicas
    splits: Splits
    penalties: Penalties
    dropout: float
    input_dropout: float
    dropout_shapes: Sequence[torch.Size]
    chain: Chain | None
    """Of the regularised layers; None where units cannot be dropped while it trains, or no phase does."""
    earlier: EarlierValues
    """What phases go back to, or learn from."""
    random_weights: RandomWeights | None = None
    """What makes weights random in phases with penalties."""
    always_shrink: bool = False
    """Whether tensors get smaller where that costs more than it saves too, so that it is tried."""

    def first_samples(self, count: int) -> Tensor:
        """Return the inputs ``[count, ...]`` of the first training samples, of the first replicate."""
        return self.splits.of_first(self.splits.train).inputs[:count]
