"""Some replicates of a stack, and who trains them: one in tensors of its own, or several as a smaller stack.

Shapes: K replicates, P parameters of the whole network, p of a small one.
"""

from typing import TypeAlias

import torch
from torch import Tensor

from dn_distributed.dropping.chain import Left
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.replicas.alone import row_of
from dn_distributed.training.learner import Learner
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.phases import Phase
from dn_distributed.training.training_setup import TrainingSetup


class Single:
    """One replicate, in tensors of its own."""

    def __init__(
        self, setup: TrainingSetup, phase: Phase, whole: Learner, structure: Tensor, row: int, left: Left
    ) -> None:
        """Copy what ``whole`` has of a replicate. ``structure``: what may be other than 0, ``[K, P]``."""
        assert setup.chain is not None
        self.row, self.rows = row, slice(row, row + 1)
        self.replica = NarrowReplica(setup.task, setup.replicas, row, setup.chain, left)
        optimizer = Optimizer(phase.training, self.replica.values, with_multipliers=setup.penalties.overlap)
        for name, tensor in whole.optimizer.state().items():
            own = optimizer.state()[name]
            own.copy_(tensor) if tensor.ndim == 0 else self.replica.copy_in_(own, tensor[row])
        self.learner = Learner(self.replica, setup.penalties, optimizer, phase.training.precision)
        may_be = torch.ones_like(self.replica.values, dtype=torch.bool)
        self.replica.copy_in_(may_be, structure[row])
        self.learner.keep_(may_be)

    def of(self, stack: Tensor) -> Tensor:
        """Return what belongs to it of a tensor of all replicates, ``[1, ...]``."""
        return row_of(stack, self.row).unsqueeze(0)

    def write_back(self, setup: TrainingSetup, whole: Learner, structure: Tensor) -> None:
        """Write parameters, moments and structure into those of all, 0 where units are gone."""
        self.replica.copy_out_(self.replica.values, setup.replicas.values[self.row])
        for name, tensor in self.learner.optimizer.state().items():
            into = whole.optimizer.state()[name]
            into.copy_(tensor) if tensor.ndim == 0 else self.replica.copy_out_(tensor, into[self.row])
        may_be = torch.ones_like(self.replica.values) if self.learner.structure is None else self.learner.structure
        self.replica.copy_out_(may_be.bool(), structure[self.row])


class Several:
    """Replicates with all their units, as one stack; weights that are gone are masked."""

    def __init__(self, setup: TrainingSetup, phase: Phase, whole: Learner, structure: Tensor, rows: list[int]) -> None:
        """As ``Single``. Where these are all replicates, ``whole`` itself trains them."""
        replicas = setup.replicas
        self._is_whole = len(rows) == len(replicas.seeds)
        self.rows: slice | Tensor = slice(None) if self._is_whole else torch.tensor(rows, device=replicas.device)
        self._stack, self.learner = replicas, whole
        if not self._is_whole:
            self._stack = replicas.subset(rows)
            optimizer = Optimizer(phase.training, self._stack.values, with_multipliers=setup.penalties.overlap)
            for name, tensor in whole.optimizer.state().items():
                optimizer.state()[name].copy_(tensor if tensor.ndim == 0 else tensor[self.rows])
            self.learner = Learner(self._stack, setup.penalties, optimizer, phase.training.precision)
        self.learner.keep_(structure[self.rows])

    def of(self, stack: Tensor) -> Tensor:
        """As of ``Single``, ``[rows, ...]``."""
        return stack[self.rows]

    def write_back(self, setup: TrainingSetup, whole: Learner, structure: Tensor) -> None:
        """As of ``Single``; the structure is as it was."""
        if self._is_whole:
            return
        setup.replicas.values[self.rows] = self._stack.values
        for name, tensor in self.learner.optimizer.state().items():
            into = whole.optimizer.state()[name]
            into[... if tensor.ndim == 0 else self.rows] = tensor


Part: TypeAlias = Single | Several
