"""The phases of a training: which steps and epochs each of them has, and what it does at a step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dn_distributed.config import Training

_FIRST_FACTOR = 1e-3
"""Of penalties that grow exponentially."""


@dataclass(frozen=True)
class Phase:
    """A part of a training. Steps and epochs are counted over the whole training, from 0 on."""

    number: int
    training: Training
    """With its length in steps."""
    first_step: int
    first_epoch: int
    steps_per_epoch: int
    teacher_step: int | None = None
    """The step before which the network was what a phase with ``distill`` learns from."""

    @property
    def num_steps(self) -> int:
        """How long the phase is."""
        assert self.training.steps is not None
        return self.training.steps

    @property
    def rewind_to(self) -> int | None:
        """The step whose values weights get again when the phase begins."""
        return None if self.training.prune is None else self.training.prune.rewind_to

    @property
    def last_move(self) -> int:
        """The step of the phase, counted from its first, from which on ``rewire`` leaves weights where they are."""
        return 0 if self.training.rewire is None else math.ceil(self.training.rewire.until * self.num_steps)

    @property
    def end(self) -> int:
        """The first step after it."""
        return self.first_step + self.num_steps

    @property
    def num_epochs(self) -> int:
        """Epochs of the phase; the last may be a part of one."""
        return math.ceil(self.num_steps / self.steps_per_epoch)

    def epoch(self, step: int) -> int:
        """Return the epoch that a step of the phase lies in."""
        return self.first_epoch + (step - self.first_step) // self.steps_per_epoch

    def epochs_begun(self, step: int) -> int:
        """Return how many epochs of the whole training have begun before a step."""
        return self.first_epoch + math.ceil((step - self.first_step) / self.steps_per_epoch)

    def epoch_start(self, step: int) -> int:
        """Return the first step of the epoch that a step lies in."""
        return step - (step - self.first_step) % self.steps_per_epoch

    def epoch_end(self, step: int) -> int:
        """Return the first step after the epoch that a step lies in, or after the phase."""
        return min(self.epoch_start(step) + self.steps_per_epoch, self.end)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        training, own = self.training, step - self.first_step
        rate = training.learning_rate * training.learning_rate_decay ** (own // self.steps_per_epoch)
        done = own / self.num_steps
        if training.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * done)) / 2
        elif training.schedule == "linear":
            rate *= 1 - done
        return rate * min(1.0, (own + 1) / training.warmup_steps) if training.warmup_steps else rate

    def penalty_factor(self, step: int) -> float:
        """Return what multiplies the coefficients of the penalties at a step."""
        done = (step - self.first_step + 1) / self.num_steps
        factors = {"on": 1.0, "off": 0.0, "linear": done, "exponential": math.pow(_FIRST_FACTOR, 1 - done)}
        return factors[self.training.penalties]


def phases_of(training: Training | Sequence[Training], num_train: int) -> tuple[Phase, ...]:
    """Return the phases of a training on ``num_train`` samples; one that prunes in rounds is as many.

    ValueError where there is none, or no whole batch, and where they do not go together.
    """
    given = [one for part in ([training] if isinstance(training, Training) else training) for one in _rounds(part)]
    _check_order(given)
    phases: list[Phase] = []
    for number, part in enumerate(given):
        last = phases[-1] if phases else None
        first_step, teacher_step = last.end if last else 0, last.teacher_step if last else None
        phases.append(
            Phase(
                number,
                part.resolve(num_train),
                first_step,
                last.first_epoch + last.num_epochs if last else 0,
                part.steps_per_epoch(num_train),
                None if part.distill is None else first_step if teacher_step is None else teacher_step,
            )
        )
    for phase in phases:
        _check_length(phase)
    return tuple(phases)


def _check_order(given: Sequence[Training]) -> None:
    """ValueError where there is no phase, or one cannot come after those before it."""
    if not given:
        raise ValueError("a training needs at least one phase")
    for number, part in enumerate(given):
        before = given[:number]
        if part.drop is not None and any(other.prunes or other.rewire for other in before):
            raise ValueError(
                "a phase with 'drop' cannot come after one with 'fixed_structure', 'prune' or 'rewire': put it before"
            )
        if part.rewire is not None and any(other.changes_structure for other in before):
            raise ValueError("a phase with 'rewire' cannot come after one that drops or prunes: put it before")
        if part.rewire is not None and any(other.rewire and _places(other) != _places(part) for other in before):
            raise ValueError("phases with 'rewire' have the same 'density' and 'layers': the number of weights stays")
    if given[0].distill is not None:
        raise ValueError("the first phase cannot have 'distill': there is no network before it to learn from")


def _check_length(phase: Phase) -> None:
    """ValueError where a phase begins too early, or ends too soon, for what it is to do."""
    if (rewind_to := phase.rewind_to) is not None and rewind_to > phase.first_step:
        raise ValueError(f"'rewind_to' is step {rewind_to}, and that phase begins before, at {phase.first_step}")
    warmup, rewire = phase.training.warmup_steps, phase.training.rewire
    if warmup > phase.num_steps:
        raise ValueError(f"'warmup_steps' is {warmup}, and the phase ends after {phase.num_steps}: give fewer")
    if rewire is not None and phase.num_steps > 1 and rewire.every >= phase.last_move:
        raise ValueError(
            f"'rewire' moves weights every {rewire.every} steps, up to step {phase.last_move} of the phase: "
            "none would ever move; give a smaller 'every'"
        )


def _places(training: Training) -> tuple[float, str] | None:
    return None if training.rewire is None else (training.rewire.density, training.rewire.layers)


def _rounds(training: Training) -> list[Training]:
    """The phase as often as it runs."""
    if training.prune is None:
        return [training]
    once = training.model_copy(update={"prune": training.prune.model_copy(update={"rounds": 1})})
    return [once] * training.prune.rounds
