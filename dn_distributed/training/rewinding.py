"""Values that weights had at an earlier step, for phases that go back to them, or learn from them.

Rewinding is of Frankle and Carbin ("The lottery ticket hypothesis", ICLR 2019), to the first step, and to a later one
of Frankle et al. ("Linear mode connectivity and the lottery ticket hypothesis", ICML 2020). The learning rate is
rewound by the phase's own schedule (Renda, Frankle and Carbin, "Comparing rewinding and fine-tuning in neural network
pruning", ICLR 2020). Shapes: K replicates, P parameters, S statistics.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from dn_distributed.replicas import Replicas
from dn_distributed.training.phases import Phase


class EarlierValues:
    """What a stack was like before each step that a phase needs: its own ``tensors`` are state."""

    def __init__(self, replicas: Replicas, phases: Iterable[Phase]) -> None:
        self._replicas = replicas
        needed = {step for phase in phases for step in (phase.rewind_to, phase.teacher_step) if step is not None}
        steps = sorted(needed)
        self._values = {step: torch.zeros_like(replicas.values) for step in steps}
        self._running = {step: torch.zeros_like(replicas.running) for step in steps}

    @property
    def steps(self) -> Iterable[int]:
        """The steps that are gone back to, or learned from."""
        return self._values.keys()

    def note(self, step: int) -> None:
        """Remember the stack as it stands before a step."""
        self._values[step].copy_(self._replicas.values)
        self._running[step].copy_(self._replicas.running)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return parameters ``[K, P]`` and running statistics ``[K, S]`` before a step."""
        return self._values[step], self._running[step]

    def tensors(self) -> dict[str, Tensor]:
        """Return all that is remembered by name, to be saved or overwritten."""
        found = {f"values_at_{step}": tensor for step, tensor in self._values.items()}
        return found | {f"running_at_{step}": tensor for step, tensor in self._running.items() if tensor.numel()}
