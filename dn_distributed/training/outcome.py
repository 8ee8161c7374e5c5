"""What a training yields: a report after each epoch, and what is recorded of each replicate at the end."""

from dataclasses import dataclass

from torch import Tensor

from dn_distributed.sparsity import NetworkCounts


@dataclass(frozen=True)
class EpochReport:
    """State of the replicates after an epoch (or after the last step). One float per replicate."""

    epoch: int
    step: int
    metrics: dict[str, list[float]]


@dataclass(frozen=True)
class Outcome:
    """What is recorded of one trained replicate."""

    seed: int
    scores: dict[str, float]
    """By name, as ``score_names.final`` makes it."""
    counts: NetworkCounts
    parameters: dict[str, Tensor]
    """All parameters before pruning, and the running statistics of batch normalisation, on the CPU."""
    masks: dict[str, Tensor]
    """What pruning leaves of each regularised layer, on the CPU."""
    curve: tuple[dict[str, float], ...] = ()
    """The same network at other thresholds: threshold, counts, and scores by ``split/score``."""
