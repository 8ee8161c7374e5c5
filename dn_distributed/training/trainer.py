"""One training loop for every task, device and method. It yields progress and knows no logger.

Shapes: K replicates, B samples of a batch.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dn_distributed import score_names
from dn_distributed.chains import why_no_followed_chain
from dn_distributed.config import Training
from dn_distributed.data import Splits
from dn_distributed.dropping.chain import Chain, find_chain, no_chain
from dn_distributed.errors import ArgumentError
from dn_distributed.pruning import Cut
from dn_distributed.random_weights import random_weights_of
from dn_distributed.regularizers.dropout import INPUT_NAME as INPUT_DROPOUT
from dn_distributed.regularizers.dropout import NAME as DROPOUT
from dn_distributed.replicas import Replicas, precision
from dn_distributed.tasks import Task
from dn_distributed.training import augmentation, noisy, teacher
from dn_distributed.training.evaluation import Evaluation
from dn_distributed.training.outcome import EpochReport, Outcome
from dn_distributed.training.penalties import penalties_of
from dn_distributed.training.phase_run import PhaseRun
from dn_distributed.training.phases import phases_of
from dn_distributed.training.rewinding import EarlierValues
from dn_distributed.training.training_setup import TrainingSetup


class Trainer:
    """Trains a pack of replicates. Interrupted at any step and restored, it ends with the same bits."""

    def __init__(
        self,
        task: Task,
        regularization: Mapping[str, float],
        training: Training | Sequence[Training],
        threshold: Cut,
        splits: Splits,
        seeds: Sequence[int],
        *,
        curve: Sequence[float] = (),
        proximal: bool = False,
        always_shrink: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """``splits`` as ``Data.for_seeds(seeds)`` gives; ``regularization`` as ``regularizers.resolve`` gives.

        ``training``: its phases, where there are several. ``curve``: thresholds that the trained replicates are
        measured at, besides ``threshold``. ``proximal``: penalties that can act as proximal steps, not in the gradient.
        ``always_shrink``: let dead units leave the tensors where that costs more than it saves too.
        ValueError where the data are fewer than a batch, the network cannot be stacked, the device does not have a
        precision, a phase drops units of layers that are no chain, or augments inputs that are no images.
        """
        if not seeds:
            raise ValueError("a pack needs at least one seed")
        self.task, self.seeds, self.threshold, self.curve = task, tuple(seeds), threshold, tuple(curve)
        self.device = torch.device(device)
        self.step = 0
        self._splits = splits.to(self.device)
        self.phases = phases_of(training, splits.num_train)
        for phase in self.phases:
            precision.check(phase.training.precision, self.device)

        dropout = regularization.get(DROPOUT, 0.0)
        self.replicas = Replicas(task, seeds, dropout, self.device)
        sample = self._splits.of_first(self._splits.train).inputs[: self.phases[0].training.batch_size]
        shapes = self.replicas.dropout_shapes(sample)
        self._evaluation = Evaluation(task, self.replicas, self._splits, dropout, shapes)
        self._setup = TrainingSetup(
            task,
            self.replicas,
            self._splits,
            penalties_of(task, regularization, proximal=proximal),
            dropout,
            regularization.get(INPUT_DROPOUT, 0.0),
            shapes,
            self._chain(sample),
            EarlierValues(self.replicas, self.phases),
            random_weights_of(regularization),
            always_shrink,
        )
        noisy.check_phases(self._setup, self.phases)
        augmentation.check_phases(task, self.phases)
        teacher.check_phases(task, self.phases, self._splits)
        self._loss_sum = torch.zeros(len(self.seeds), device=self.device)
        self._diverged = torch.zeros(len(self.seeds), dtype=torch.bool, device=self.device)
        self._noted_at = -1
        self._earlier = self._setup.earlier
        if 0 in self._earlier.steps:
            self._earlier.note(0)
        self._phase_run = self._phase_run_of(0, before=None)
        self._begin()

    def _chain(self, sample: Tensor) -> Chain | None:
        """The chain of layers that may lose units. ArgumentError where a phase drops units, and they are no chain."""
        trainings = [phase.training for phase in self.phases]
        if not any(training.changes_structure for training in trainings):
            return None
        try:
            chain = find_chain(
                self.replicas.network, self.task.layers, self.replicas.dropout_names, lambda: self._outputs(sample)
            )
            self._check_chain()
            return chain
        except ArgumentError:
            if any(training.drop is not None for training in trainings):
                raise
            return None

    def _check_chain(self) -> None:
        """ArgumentError where it is not seen that the layers are a chain: cut as one, they would be another network."""
        if reason := why_no_followed_chain(self.replicas.plain_network(0, {}), self.task.layers):
            raise no_chain(reason)
        if not self._evaluation.is_chain:
            raise no_chain("units of one are not read one after the other")

    def _outputs(self, inputs: Tensor) -> Tensor:
        self.replicas.network.eval()
        masks = [inputs.new_ones(())] * len(self.replicas.dropout_names)
        return self.replicas.call(*self.replicas.state_of_first(), masks, inputs)

    def _phase_run_of(self, number: int, before: PhaseRun | None) -> PhaseRun:
        so_far = [phase.training for phase in self.phases[: number + 1]]
        return PhaseRun(self._setup, self.phases[number], so_far=so_far, before=before)

    def out_of_reach(self) -> list[str]:
        """Return a sentence for each phase that drops units to a share that the last unit of each layer exceeds."""
        chain, found = self._setup.chain, []
        for number, drop in enumerate(phase.training.drop for phase in self.phases):
            if drop is not None and chain is not None:
                least = chain.smallest_size(drop.of) / chain.whole_size(drop.of)
                if least > drop.to:
                    found.append(
                        f"phase {number + 1} cannot drop units to {100 * drop.to:g} % of the "
                        f"{drop.of.replace('_', '-')}: the last unit of each layer stays, so it ends with "
                        f"{100 * least:.2g} %"
                    )
        return found

    def notes(self) -> list[str]:
        """Return what a user should know of the training and its counts: a sentence each."""
        not_followed = self._evaluation.not_followed()
        return [*self.out_of_reach(), *[not_followed] * bool(not_followed)]

    @property
    def num_steps(self) -> int:
        """Steps of all phases."""
        return self.phases[-1].end

    @property
    def num_epochs(self) -> int:
        """Epochs of all phases."""
        return self.phases[-1].epochs_begun(self.num_steps)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch in the phase under way."""
        return self._phase_run.phase.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Epochs that have begun."""
        return self._phase_run.phase.epochs_begun(self.step)

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.num_steps

    def run(self) -> Iterator[EpochReport]:
        """Train to the end from wherever the state stands, yielding a report after each epoch."""
        while not self.finished:
            phase = next(phase for phase in self.phases if self.step < phase.end)
            first = phase.epoch_start(self.step)
            self.advance(phase.epoch_end(self.step) - self.step)
            yield self._report(self.step - first)

    def advance(self, num_steps: int) -> None:
        """Take ``num_steps`` optimiser steps (fewer where the training ends before)."""
        for _ in range(min(num_steps, self.num_steps - self.step)):
            if self.step and self.step in self._earlier.steps:
                self._phase_run.write_back()
                self._earlier.note(self.step)
            if self.step == self._phase_run.phase.end:
                self._phase_run = self._phase_run_of(self._phase_run.phase.number + 1, before=self._phase_run)
                self._begin()
            if self.step == self._phase_run.phase.epoch_start(self.step):
                self._loss_sum.zero_()
            self._loss_sum += self._phase_run.take_step(self.step)
            self.step += 1

    def _begin(self) -> None:
        """Do what stands at the beginning of the phase under way."""
        self._phase_run.begin(self.threshold)
        rewind_to = self._phase_run.phase.rewind_to
        if rewind_to is not None and rewind_to <= self.step:
            self._phase_run.go_back_to_(*self._earlier.at(rewind_to))

    @property
    def _pruned_at(self) -> Cut:
        """What pruning drops of the networks as they stand: where the structure is fixed nothing more is pruned."""
        return 0.0 if self._phase_run.phase.training.fixed_structure else self.threshold

    def _report(self, steps: int) -> EpochReport:
        """Scores on the validation data, and what pruning would leave, at this point."""
        self._note_divergence()
        metrics = {score_names.TRAIN_LOSS: (self._loss_sum / steps).tolist()}
        metrics |= {score_names.of_split("validation", name): v for name, v in self.validate().items()}
        counts = self._evaluation.counts(self._pruned_at)
        metrics["num_nonzero"] = [float(c.num_nonzero) for c in counts]
        metrics["neurons_alive"] = [float(c.neurons_alive) for c in counts]
        return EpochReport(self.epoch, self.step, metrics)

    def validate(self, *, pruned: bool = False) -> dict[str, list[float]]:
        """Return loss and scores on the validation data, one float per replicate."""
        self._phase_run.write_back()
        return self._evaluation.scores(self._splits.validation, threshold=self._pruned_at if pruned else None)

    def outcomes(self) -> list[Outcome]:
        """Measure the replicates as they stand, before and after pruning, on validation and test data."""
        self._phase_run.write_back()
        return self._evaluation.outcomes(self._pruned_at, self.curve)

    def diverged(self) -> list[int]:
        """Return the seeds whose loss, parameters or moments were not finite now or after an epoch before."""
        self._note_divergence()
        return [seed for seed, lost in zip(self.seeds, self._diverged.tolist(), strict=True) if lost]

    def _note_divergence(self) -> None:
        if self._noted_at != self.step:  # nothing has changed since
            self._diverged |= ~(self._loss_sum.isfinite() & self._phase_run.finite())
            self._noted_at = self.step

    def state(self) -> dict[str, Tensor]:
        """Return all that the rest of the training depends on, as named tensors on the CPU.

        Generators are not among them: every draw follows from the seed and the step.
        """
        tensors = self._state_tensors(self._phase_run)
        saved = {name: tensor.cpu().clone() for name, tensor in tensors.items()}
        return {**saved, "step": torch.tensor(self.step), "seeds": torch.tensor(self.seeds)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, of these replicates or of a pack that had them among others.

        ValueError where it belongs to others; nothing has changed then.
        """
        step = int(state["step"]) if {"step", "seeds"} <= state.keys() else self.num_steps + 1
        if step > self.num_steps:
            raise ValueError("the saved state is not whole, or of a longer training")
        under_way = next(phase for phase in self.phases if step <= phase.end)
        phase_run = self._phase_run_of(under_way.number, before=None)
        own = self._state_tensors(phase_run)
        if not own.keys() <= state.keys():
            raise ValueError("the saved state is not whole")
        saved = state["seeds"].tolist()
        if not set(self.seeds) <= set(saved):
            raise ValueError("the saved state belongs to other replicates")
        rows = torch.tensor([saved.index(seed) for seed in self.seeds])
        found = {name: state[name] if tensor.ndim == 0 else state[name][rows] for name, tensor in own.items()}
        if any(found[name].shape != tensor.shape for name, tensor in own.items()):
            raise ValueError("the saved state belongs to another network")
        self.step, self._phase_run, self._noted_at = step, phase_run, -1
        for name, tensor in own.items():
            tensor.copy_(found[name])
        phase_run.restored()

    def _state_tensors(self, phase_run: PhaseRun) -> dict[str, Tensor]:
        return {
            **phase_run.tensors(),
            **self._earlier.tensors(),
            "loss_sum": self._loss_sum,
            "diverged": self._diverged,
        }
