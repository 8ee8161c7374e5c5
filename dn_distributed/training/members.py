"""Replicates that lose units while they train: each by itself, and as small as what is left of it.

Shapes: K replicates, P parameters of the whole network, p of a small one, B samples of a batch.
"""

import math

import torch
from torch import Tensor

from dn_distributed.config import Drop
from dn_distributed.dropping.chain import Chain
from dn_distributed.dropping.choice import Alive
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.dropping.removal import alive_in, drop_units_, drop_what_pruning_leaves_dead_, structure_of
from dn_distributed.errors import ArgumentError
from dn_distributed.pruning import Cut
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training.batches import Batches
from dn_distributed.training.learner import Learner
from dn_distributed.training.optimizer import Optimizer
from dn_distributed.training.penalties import Penalties
from dn_distributed.training.phases import Phase

_WORTH_SHRINKING = 0.8
"""Tensors are made smaller when less than this share of their weights is left: it costs about fifty steps."""
_FIX_SAMPLES = 1024


class Members:
    """The replicates of a stack, one by one. The stack has their parameters after ``write_back`` alone."""

    def __init__(
        self,
        task: Task,
        replicas: Replicas,
        whole: Learner,
        penalties: Penalties,
        chain: Chain,
        phase: Phase,
        batches: Batches,
        before: "Members | None",
    ) -> None:
        """``before``: those of the phase before, written back."""
        self._task, self._replicas, self._whole, self._chain = task, replicas, whole, chain
        self._penalties, self._phase, self._batches = penalties, phase, batches
        shape = replicas.values.shape
        self._structure = torch.ones(shape, dtype=torch.bool, device=replicas.device)
        """What may be other than 0, as of the last ``write_back``, ``[K, P]``."""
        self._in_tensors = self._structure.clone()
        """What the tensors of the members hold, ``[K, P]``: the structure as it was when they were made."""
        self._size_before = torch.zeros(shape[0], dtype=torch.float64)
        """When the phase began, ``[K]``."""
        if before is not None:
            self._structure.copy_(before._structure)
            self._in_tensors.copy_(before._in_tensors)
        self._members = [self._member(row) for row in range(shape[0])]

    def _member(self, row: int) -> "_Member":
        masks = self._replicas.views(self._in_tensors)
        left = self._chain.left({link.name: masks[f"{link.name}.weight"][row] for link in self._chain.links})
        replica = NarrowReplica(self._task, self._replicas, row, self._chain, left)
        optimizer = Optimizer(self._phase.training, replica.values, with_multipliers=self._penalties.overlap)
        for name, tensor in self._whole.optimizer.state().items():
            own = optimizer.state()[name]
            own.copy_(tensor) if tensor.ndim == 0 else replica.copy_in_(own, tensor[row])
        learner = Learner(replica, self._penalties, optimizer, self._phase.training.precision)
        structure = torch.ones_like(replica.values, dtype=torch.bool)
        replica.copy_in_(structure, self._structure[row])
        learner.keep_(structure)
        return _Member(row, replica, learner)

    def begin(self, threshold: Cut) -> None:
        """Begin the phase: where its structure is fixed, drop what pruning at ``threshold`` drops."""
        if self._phase.training.fixed_structure:
            for member in self._members:
                self._fix(member, threshold)
            self.write_back()
            self._shrink()
        drop = self._phase.training.drop
        if drop is not None:
            sizes = [self._alive(member).size(self._chain, drop.of) for member in self._members]
            self._size_before = torch.tensor(sizes, dtype=torch.float64)

    def step_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor], rate: float, penalty_factor: float) -> Tensor:
        """As ``Learner.step_``."""
        return torch.cat(
            [
                member.learner.step_(
                    inputs[row : row + 1],
                    targets[row : row + 1],
                    [mask[row : row + 1] for mask in masks],
                    rate,
                    penalty_factor,
                )
                for row, member in enumerate(self._members)
            ]
        )

    def after_step(self, done: int) -> None:
        """Drop units where it is time to; at the end of an epoch make the tensors smaller. ``done``: whole steps."""
        drop, own = self._phase.training.drop, done - self._phase.first_step
        ends_epoch = done == self._phase.epoch_end(done - 1)
        if drop is not None:
            over = math.ceil(drop.over * self._phase.num_steps)
            if own <= over and (own % drop.every == 0 or ends_epoch or own == over):
                for member in self._members:
                    self._drop(member, drop, own / over, done)
        if ends_epoch:
            self.write_back()
            self._shrink()

    def _alive(self, member: "_Member") -> Alive:
        return alive_in(member.replica, self._chain, member.learner.structure)

    def _drop(self, member: "_Member", drop: Drop, share: float, step: int) -> None:
        """``share``: of the steps over which units are dropped."""
        alive = self._alive(member)
        size, target = alive.size(self._chain, drop.of), self._chain.whole_size(drop.of) * drop.to
        if size <= target:
            return
        before, way = float(self._size_before[member.row]), 1 - (1 - share) ** drop.power
        goal = target if share == 1 else before * (target / before) ** way
        if size > goal:
            samples = self._batches.draw(member.row, drop.samples, "drop", step)
            left = drop_units_(member.replica, self._chain, alive, drop, goal, samples, last=share == 1)
            self._keep(member, left)

    def _keep(self, member: "_Member", left: Alive) -> None:
        structure = structure_of(member.replica, self._chain, left)
        if member.learner.structure is not None:
            structure &= member.learner.structure.bool()
        member.learner.keep_(structure)

    def _fix(self, member: "_Member", threshold: Cut) -> None:
        """Prune, and let nothing that is 0 be trained again."""
        samples, _ = self._batches.draw(member.row, _FIX_SAMPLES, "fix", self._phase.first_step)
        alive = self._alive(member)
        structure = drop_what_pruning_leaves_dead_(member.replica, self._chain, alive, threshold, samples)
        member.learner.keep_(structure)

    def write_back(self) -> None:
        """Write the members' parameters and moments into the stack, 0 where units are gone."""
        for member in self._members:
            row, replica, learner = member.row, member.replica, member.learner
            replica.copy_out_(replica.values, self._replicas.values[row])
            for name, tensor in learner.optimizer.state().items():
                into = self._whole.optimizer.state()[name]
                into.copy_(tensor) if tensor.ndim == 0 else replica.copy_out_(tensor, into[row])
            structure = torch.ones_like(replica.values) if learner.structure is None else learner.structure
            replica.copy_out_(structure.bool(), self._structure[row])

    def _shrink(self) -> None:
        """Make the tensors of members smaller of which enough is gone; ``write_back`` comes before."""
        if not self._phase.training.shrink:
            return
        for row, member in enumerate(self._members):
            if self._structure[row].sum() < _WORTH_SHRINKING * len(member.replica.index):
                self._in_tensors[row] = self._structure[row]
                self._members[row] = self._member(row)
                self._check_same(row, member.replica, self._members[row].replica)

    def _check_same(self, row: int, before: NarrowReplica, after: NarrowReplica) -> None:
        """ArgumentError where a network computes other than what its layers say: then a smaller one is another."""
        inputs, _ = self._batches.draw(row, 2, "check", 0)
        expected = before.outputs(inputs)
        if not expected.isfinite().all():
            return  # it has diverged, which is found elsewhere
        try:
            same = torch.allclose(expected, after.outputs(inputs), rtol=1e-3, atol=1e-4)
        except RuntimeError:  # sizes that forward() takes for granted
            same = False
        if not same:
            raise ArgumentError(
                f"without its dropped units {self._task.name!r} puts out something else; give 'shrink: false'"
            )

    def finite(self) -> Tensor:
        """As ``Learner.finite``."""
        return torch.cat([member.learner.finite() for member in self._members])

    def tensors(self) -> dict[str, Tensor]:
        """Return what the rest of the phase depends on, by name: the stack's tensors are up to date then."""
        self.write_back()
        return {
            **self._whole.tensors(),
            "structure": self._structure,
            "in_tensors": self._in_tensors,
            "size_before": self._size_before,
        }

    def restored(self) -> None:
        """Make the members again, after ``tensors`` were overwritten."""
        self._members = [self._member(row) for row in range(len(self._members))]


class _Member:
    """One replicate, and who trains it."""

    def __init__(self, row: int, replica: NarrowReplica, learner: Learner) -> None:
        self.row, self.replica, self.learner = row, replica, learner
