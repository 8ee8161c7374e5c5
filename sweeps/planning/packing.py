"""How many replicates go into a pack: as many as fit into memory and pay. Results do not depend on it.

On one thread to the last bit; on several, and on a GPU, but for rounding.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dn_distributed.tasks import Task

MEMORY_SHARE = 0.8
"""Of the memory that a pack has; the rest is for what a few steps do not show."""


@dataclass(frozen=True)
class PackCost:
    """What a pack costs by its size."""

    seconds: Mapping[int, float]
    """Time of a step by the number of replicates, in any unit; between two sizes it is a straight line."""
    largest: int
    """Most replicates that a pack may hold."""

    @classmethod
    def of_task(cls, task: Task) -> "PackCost":
        """As the task says for a CPU: a pack of k takes ``stack_overhead + k`` time units."""
        sizes = {1, task.max_stack}
        return cls({size: task.stack_overhead + size for size in sizes}, task.max_stack)

    def step(self, size: int) -> float:
        """Return the time of a step of a pack of ``size``."""
        below = max(known for known in self.seconds if known <= size)
        above = min((known for known in self.seconds if known >= size), default=below)
        if above == below:
            return self.seconds[below]
        share = (size - below) / (above - below)
        return (1 - share) * self.seconds[below] + share * self.seconds[above]


@dataclass(frozen=True)
class Sample:
    """A pack of some size, as it was measured."""

    size: int
    seconds: float
    """Of a step."""
    memory: int
    """Bytes at the peak, besides what every worker needs."""

    def __str__(self) -> str:
        """The sample as messages show it."""
        return f"{self.size} take {self.seconds * 1e3:.3g} ms a step and {self.memory / 2**20:.0f} MiB"


def cost_of(samples: Sequence[Sample], memory: float) -> PackCost:
    """Return the cost by measured packs, of which the first is of one replicate.

    ``memory``: bytes that a pack may take. Sizes beyond the last measured are not considered.
    """
    each = _memory_per_replicate(samples)
    fitting = math.inf if each <= 0 else (MEMORY_SHARE * memory - samples[0].memory) / each + 1
    largest = max(1, int(min(fitting, samples[-1].size)))
    return PackCost({sample.size: sample.seconds for sample in samples}, largest)


def _memory_per_replicate(samples: Sequence[Sample]) -> float:
    first, last = samples[0], samples[-1]
    return (last.memory - first.memory) / (last.size - first.size) if last.size > first.size else first.memory


def best_size(missing: Sequence[int], slots: int, cost: PackCost) -> int:
    """Return the pack size that finishes soonest; of equals the largest, which has least to do.

    ``missing`` has the number of replicates to run of each cell.
    """

    def finish(size: int) -> float:
        lengths = [len(part) for count in missing for part in split_evenly(range(count), size)]
        busy = [0.0] * slots
        for length in sorted(lengths, reverse=True):
            busy[busy.index(min(busy))] += cost.step(length)
        return max(busy)

    sizes = range(1, min(cost.largest, max(missing, default=1)) + 1)
    return min(sizes, key=lambda size: (finish(size), -size))


def split_evenly(seeds: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Split ``seeds`` into as few parts of at most ``size`` as there can be, their lengths one apart at most."""
    parts = math.ceil(len(seeds) / size)
    bounds = [round(index * len(seeds) / parts) for index in range(parts + 1)] if parts else []
    return [tuple(seeds[a:b]) for a, b in itertools.pairwise(bounds)]
