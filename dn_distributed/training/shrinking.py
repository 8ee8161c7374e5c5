"""Replicates that lose units while they train, in tensors as small as what is left of each.

Shapes: K replicates, P parameters of the whole network, p of a small one, B samples of a batch.
"""

import math

import torch
from torch import Tensor

from dn_distributed.config import Drop
from dn_distributed.dropping.chain import Chain, Left
from dn_distributed.dropping.choice import Alive
from dn_distributed.dropping.narrow import NarrowReplica, places_of
from dn_distributed.dropping.removal import (
    alive_in,
    drop_units_,
    drop_what_is_dead_,
    drop_what_pruning_leaves_dead_,
    structure_of,
)
from dn_distributed.errors import ArgumentError
from dn_distributed.pruning import Cut
from dn_distributed.training.batches import Batches
from dn_distributed.training.learner import Learner
from dn_distributed.training.parts import Part, Several, Single
from dn_distributed.training.phases import Phase
from dn_distributed.training.training_setup import TrainingSetup

_WORTH_SHRINKING = 0.8
"""Tensors are made smaller when less than this share of their parameters is left."""
_BY_ITSELF = 1_250_000
"""So many multiply-adds take as long as what a step of one replicate by itself takes beside them."""
_MAKING = 2_000_000_000
"""So many take as long as making smaller tensors does, which traces the network's gradient anew."""
_SAMPLES = 1024
"""On which means are measured."""


class ShrinkingStack:
    """The replicates of a stack that loses units. The stack has their parameters after ``write_back`` alone.

    From the first phase on that drops units each is trained by itself. Where a structure was fixed only, those whose
    tensors get smaller are, and the others stay a stack.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        chain: Chain,
        whole: Learner,
        phase: Phase,
        batches: Batches,
        *,
        one_by_one: bool,
        before: "ShrinkingStack | None",
    ) -> None:
        """``one_by_one``: units drop in this phase or did before. ``before``: that of the phase before, written back.

        ``begin`` or ``restored`` comes next.
        """
        self._setup, self._replicas, self._whole, self._chain = setup, setup.replicas, whole, chain
        self._phase, self._batches, self._one_by_one = phase, batches, one_by_one
        self._structure = torch.ones_like(self._replicas.values, dtype=torch.bool)
        """What may be other than 0, as of the last ``write_back``, ``[K, P]``."""
        self._in_tensors = self._structure.clone()
        """What the tensors of the parts hold, ``[K, P]``: the structure as it was when they were made."""
        self._size_before = torch.zeros(len(self._structure), dtype=torch.float64)
        """When the phase began, ``[K]``."""
        if before is not None:
            self._structure.copy_(before._structure)
            self._in_tensors.copy_(before._in_tensors)
        self._parts: list[Part] = []

    @property
    def structure(self) -> Tensor:
        """What may be other than 0, as of the last ``write_back``, ``[K, P]``."""
        return self._structure

    def begin(self, cut: Cut) -> None:
        """Begin the phase: drop what pruning at ``cut`` drops where the phase prunes, or what is dead."""
        training = self._phase.training
        if training.changes_structure:
            for row in range(len(self._structure)):
                single = self._single(row)
                if training.prunes:
                    self._fix(single, cut)
                else:
                    self._drop_what_is_dead(single)
                self._write_back(single)
        self._shrink()
        self.restored()
        if training.drop is not None:
            sizes = [self._alive(part).size(self._chain, training.drop.of) for part in self._singles()]
            self._size_before = torch.tensor(sizes, dtype=torch.float64)

    def restored(self) -> None:
        """Make the parts, of the stack's tensors."""
        rows = range(len(self._structure))
        stacked = [row for row in rows if not self._one_by_one and bool(self._in_tensors[row].all())]
        self._parts = [self._single(row) for row in rows if row not in stacked]
        if stacked:
            several = Several(self._setup, self._phase, self._whole, self._structure, stacked)
            self._parts.append(several)

    def _single(self, row: int) -> Single:
        left = self._left(self._in_tensors, row)
        return Single(self._setup, self._phase, self._whole, self._structure, row, left)

    def _singles(self) -> list[Single]:
        return [part for part in self._parts if isinstance(part, Single)]

    def _left(self, structure: Tensor, row: int) -> Left:
        masks = self._replicas.views(structure)
        return self._chain.left({link.name: masks[f"{link.name}.weight"][row] for link in self._chain.links})

    def step_(self, inputs: Tensor, targets: Tensor, masks: list[Tensor], rate: float, penalty_factor: float) -> Tensor:
        """As ``Learner.step_``."""
        losses = self._replicas.values.new_zeros(len(self._structure))
        for part in self._parts:
            losses[part.rows] = part.learner.step_(
                part.of(inputs), part.of(targets), [part.of(mask) for mask in masks], rate, penalty_factor
            )
        return losses

    def after_step(self, done: int) -> None:
        """Drop units where it is time to; at the end of an epoch make the tensors smaller. ``done``: whole steps."""
        drop, own = self._phase.training.drop, done - self._phase.first_step
        if drop is None:
            return
        ends_epoch = done == self._phase.epoch_end(done - 1)
        over = math.ceil(drop.over * self._phase.num_steps)
        if own <= over and (own % drop.every == 0 or ends_epoch or own == over):
            for single in self._singles():
                self._drop(single, drop, own / over, done)
        if ends_epoch:
            self.write_back()
            for row in self._shrink():
                self._parts[row] = self._single(row)

    def _alive(self, single: Single) -> Alive:
        return alive_in(single.replica, self._chain, single.learner.structure)

    def _drop(self, single: Single, drop: Drop, share: float, step: int) -> None:
        """``share``: of the steps over which units are dropped.

        A replicate that has diverged drops none: what is not finite must not go with a unit before it is noticed.
        """
        if not bool(single.learner.finite().all()):
            return
        alive = self._alive(single)
        size, target = alive.size(self._chain, drop.of), self._chain.whole_size(drop.of) * drop.to
        if size <= target:
            return
        before, way = float(self._size_before[single.row]), 1 - (1 - share) ** drop.power
        goal = target if share == 1 else before * (target / before) ** way
        if size > goal:
            samples = self._batches.draw(single.row, drop.samples, "drop", step)
            left = drop_units_(single.replica, self._chain, alive, drop, goal, samples, last=share == 1)
            self._keep(single, left)

    def _drop_what_is_dead(self, single: Single) -> None:
        """Where nothing is, nothing changes."""
        samples, _ = self._batches.draw(single.row, _SAMPLES, "dead", self._phase.first_step)
        alive = self._alive(single)
        left = drop_what_is_dead_(single.replica, self._chain, alive, samples)
        if left.differs_from(alive):
            self._keep(single, left)

    def _keep(self, single: Single, left: Alive) -> None:
        structure = structure_of(single.replica, self._chain, left)
        if single.learner.structure is not None:
            structure &= single.learner.structure.bool()
        single.learner.keep_(structure)

    def _fix(self, single: Single, cut: Cut) -> None:
        """Prune, and let nothing that is 0 be trained again."""
        samples, _ = self._batches.draw(single.row, _SAMPLES, "fix", self._phase.first_step)
        alive = self._alive(single)
        structure = drop_what_pruning_leaves_dead_(
            single.replica, self._chain, alive, cut, samples, single.learner.structure
        )
        single.learner.keep_(structure)

    def write_back(self) -> None:
        """Write the parts' parameters and moments into the stack, 0 where units are gone."""
        for part in self._parts:
            self._write_back(part)

    def _write_back(self, part: Part) -> None:
        part.write_back(self._setup, self._whole, self._structure)

    def _shrink(self) -> list[int]:
        """Let the tensors of replicates hold what is left, where that is worth it; return which are to be made again.

        ``write_back`` comes before.
        """
        if not self._phase.training.shrink:
            return []
        changed = []
        for row in range(len(self._structure)):
            before, after = self._left(self._in_tensors, row), self._left(self._structure, row)
            if self._is_worth_it(before, after):
                larger = self._single(row)
                self._in_tensors[row] = self._structure[row]
                self._check_same(row, larger.replica, self._single(row).replica)
                changed.append(row)
        return changed

    def _is_worth_it(self, before: Left, after: Left) -> bool:
        """A function of the replicate and of the phase alone: it must not depend on what else is in the stack."""
        sizes = [
            sum(place.numel() for place in places_of(self._replicas, self._chain, left).values())
            for left in (before, after)
        ]
        if self._setup.always_shrink:
            return sizes[1] < sizes[0]
        if sizes[1] >= _WORTH_SHRINKING * sizes[0]:
            return False
        if self._one_by_one:
            return True
        saved = self._chain.size_of(before, "multiply_adds") - self._chain.size_of(after, "multiply_adds")
        per_step = saved * self._phase.training.batch_size - _BY_ITSELF
        return self._replicas.device.type == "cpu" and per_step * self._phase.num_steps > _MAKING

    def _check_same(self, row: int, before: NarrowReplica, after: NarrowReplica) -> None:
        """ArgumentError where a network computes other than what its layers say: then a smaller one is another."""
        inputs, _ = self._batches.draw(row, 2, "check", 0)
        expected = before.outputs(inputs)
        if not expected.isfinite().all():
            return  # it has diverged, which is found elsewhere
        try:
            same = torch.allclose(expected, after.outputs(inputs), rtol=1e-3, atol=1e-4)
        except RuntimeError as error:
            raise ArgumentError(
                f"without its dropped units {self._setup.task.name!r} does not run, a part of it counts on their "
                "number; give 'shrink: false'"
            ) from error
        if not same:
            raise ArgumentError(
                f"without its dropped units {self._setup.task.name!r} puts out something else; give 'shrink: false'"
            )

    def finite(self) -> Tensor:
        """As ``Learner.finite``."""
        found = torch.ones(len(self._structure), dtype=torch.bool, device=self._replicas.device)
        for part in self._parts:
            found[part.rows] = part.learner.finite()
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what the rest of the phase depends on, by name: the stack's tensors are up to date then."""
        self.write_back()
        return {
            **self._whole.tensors(),
            "structure": self._structure,
            "in_tensors": self._in_tensors,
            "size_before": self._size_before,
        }
