"""A trial step of two replicates before a sweep: tasks and penalties that would fail, or train wrongly, are refused."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dn_distributed.config import Pruning, Training
from dn_distributed.data import Data, Split, Splits
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import noted_calls
from dn_distributed.pruning import Cut
from dn_distributed.regularizers import PENALTIES, Penalty
from dn_distributed.replicas import Replicas
from dn_distributed.replicas.checks import without_randomness
from dn_distributed.replicas.python_state import first_change, state_of
from dn_distributed.tasks import Task
from dn_distributed.training import teacher
from dn_distributed.training.phases import phases_of
from dn_distributed.training.trainer import Trainer

_SEEDS = (0, 1)
_MOST_SAMPLES = 16
_SAME_START = "every seed begins with the same weights: seeds differ by the order of the data and by dropout alone"
_BROADCAST = "Using a target size"


def rehearse(
    task: Task,
    regularization: Mapping[str, float],
    training: Training | Sequence[Training],
    data: Data,
    *,
    proximal: bool = False,
) -> list[str]:
    """Train two replicates for a step on a few samples and measure them. ArgumentError says in a line what is wrong.

    Returns what a user should know of a training that can be done: see ``Trainer.notes``.
    """
    phases = (training,) if isinstance(training, Training) else training
    phases_of(phases, data.num_train)
    splits = _few(data.for_seeds(_SEEDS), min(_MOST_SAMPLES, *(phase.batch_size for phase in phases)))
    short = [_of_one_step(phase, splits.num_train) for phase in phases]
    with torch.random.fork_rng(devices=[]), _no_broadcasting():
        trainer = Trainer(
            task, regularization, short, _cut(phases), splits, _SEEDS, proximal=proximal, always_shrink=True
        )
        _check_start(task, trainer.device)
        same_start = torch.equal(trainer.replicas.values[0], trainer.replicas.values[1])
        outputs = _check_run(task, trainer.replicas, splits)
        if any(phase.distill is not None for phase in phases):
            teacher.check_loss(task, outputs)
        if any(weight.ndim > 3 for weight in trainer.replicas.weights().values()):
            for name in PENALTIES.keys() & regularization.keys():
                check_penalty(name, kernel=(3, 2))
        prunes = [phase.prunes for phase in phases]
        if any(prunes):
            trainer.advance(prunes.index(True))
            _read_less_(trainer.replicas)
        trainer.advance(trainer.num_steps)
        trainer.outcomes()
        return [*trainer.notes(), *[_SAME_START] * same_start]


def _read_less_(replicas: Replicas) -> None:
    """Let no layer read the first of its inputs, so that units are dead."""
    for weight in replicas.weights().values():
        if weight.shape[2] > 1:
            weight[:, :, 0] = 0


def _cut(phases: Sequence[Training]) -> Cut:
    """Where a structure is fixed, half of the weights go."""
    return Pruning(target_density=0.5) if any(phase.fixed_structure for phase in phases) else 0.0


def _of_one_step(phase: Training, batch_size: int) -> Training:
    changes: dict[str, Any] = {"batch_size": batch_size, "steps": 1, "epochs": None, "warmup_steps": 0}
    on_gpus = {"precision": "float32"} if phase.precision == "tf32" else {}
    if phase.prune is not None:
        twice = {"rounds": min(2, phase.prune.rounds), "rewind_to": None if phase.prune.rewind_to is None else 0}
        changes["prune"] = phase.prune.model_copy(update=twice)
    return phase.model_copy(update={**changes, **on_gpus})


def check_penalty(name: str, kernel: Sequence[int] = ()) -> None:
    """ArgumentError where the penalty ``name`` is entered wrongly, or its gradient is not that of its value.

    ``kernel``: the size of a kernel, where convolutions are penalised.
    """
    cls = PENALTIES[name]
    if cls.name != name:
        raise ArgumentError(f"{cls.__name__} is entered into PENALTIES as {name!r}, and its name is {cls.name!r}")
    penalty = cls(0.5)
    draw = torch.Generator().manual_seed(0)
    shape = (2, 4, 5, *kernel) if penalty.touches == "weights" else (2, 20)
    stack = torch.randn(shape, dtype=torch.float64, generator=draw)
    leaf = stack.clone().requires_grad_()
    values = penalty.value(leaf, leading=1)
    if values.shape != (2,):
        raise ArgumentError(f"penalty {name!r}: value() of two replicates is of shape {list(values.shape)}, not [2]")
    (expected,) = torch.autograd.grad(values.sum(), leaf, allow_unused=True)
    found = _gradient(penalty, stack, leading=1)
    if expected is None or not torch.allclose(found, expected, rtol=1e-6, atol=1e-9):
        raise ArgumentError(f"penalty {name!r}: add_gradient_() does not add the gradient of value()")
    if not torch.equal(found[:1], _gradient(penalty, stack[:1], leading=1)):
        raise ArgumentError(f"penalty {name!r}: the gradient of a replicate depends on the others")
    if not _gradient(penalty, torch.zeros(shape), leading=1).isfinite().all():
        raise ArgumentError(f"penalty {name!r}: the gradient at zero is not finite")
    zeros = torch.zeros(shape, requires_grad=True)
    (by_autograd,) = torch.autograd.grad(penalty.value(zeros, leading=1).sum(), zeros)
    if not by_autograd.isfinite().all():
        raise ArgumentError(
            f"penalty {name!r}: the gradient of value() by autograd, which dn.penalty() takes, is not finite where "
            "weights are zero: add an epsilon inside the square root, or use torch.linalg.vector_norm"
        )


def _gradient(penalty: Penalty, tensor: Tensor, leading: int) -> Tensor:
    gradient = torch.zeros_like(tensor)
    penalty.add_gradient_(tensor, gradient, leading)
    return gradient


def _few(splits: Splits, count: int) -> Splits:
    def few(split: Split) -> Split:
        if not splits.stacked:
            return split[:count]
        return Split(split.inputs[:, :count], split.targets[:, :count])

    return replace(splits, train=few(splits.train), validation=few(splits.validation), test=few(splits.test))


def _check_start(task: Task, device: torch.device) -> None:
    built = [task.network() for _ in range(2)]
    first, second = ({id(t) for t in (*network.parameters(), *network.buffers())} for network in built)
    if first & second:
        raise ArgumentError(
            "the network is the same each time it is asked for, so that a replicate would begin with what another has "
            "learned: build a new one each time"
        )
    one, again = (Replicas(task, _SEEDS, 0.0, device) for _ in range(2))
    if not torch.equal(one.values, again.values) or not torch.equal(one.running, again.running):
        raise ArgumentError(
            "the same seed does not draw the same initial network; draw with the generator that is given"
        )


def _check_run(task: Task, replicas: Replicas, splits: Splits) -> Tensor:
    """The first replicate's network by itself, as it trains and as it is tested; returns its outputs then."""
    network, layers = replicas.network, task.layers
    split = splits.of_first(splits.train)
    inputs, targets = split.inputs, split.targets
    state = replicas.state_of_first()
    masks = [inputs.new_ones(())] * len(replicas.dropout_names)
    for training in (True, False):
        given = inputs.clone()
        network.train(training)
        with torch.no_grad(), without_randomness(), noted_calls(network, layers) as calls:
            outputs = replicas.call(*state, masks, given)
            loss = task.loss(outputs, targets)
        if (used := [call.name for call in calls]) != list(layers):
            raise ArgumentError(f"regularised layers are used as {used}; they are named as {list(layers)}")
        if not torch.equal(given, inputs):
            raise ArgumentError("the network changes its inputs in place")
        if loss.shape != ():
            raise ArgumentError(f"loss() of a batch is of shape {list(loss.shape)}, not one number")
        if not loss.isfinite():
            raise ArgumentError("the loss of the untrained network is not finite")
        if _adds_up(task, outputs, targets, loss):
            raise ArgumentError("loss() adds up over the samples of a batch; return their mean, as losses of torch do")
        before = state_of(network, task)  # a first call may have kept sizes or tables, which stay
        with torch.no_grad():
            task.loss(replicas.call(*state, masks, given), targets)
        if changed := first_change(before, state_of(network, task)):
            raise ArgumentError(
                f"the network or its loss changes {changed} from call to call; a step is recorded once, and would find "
                "it as it was then: what changes while training is a task of phases, or follows from the inputs"
            )
    return outputs


def _adds_up(task: Task, outputs: Tensor, targets: Tensor, loss: Tensor) -> bool:
    """Whether twice as many samples have twice the loss: what is reported of it would be of batches of some size."""
    with torch.no_grad():
        twice = task.loss(torch.cat([outputs, outputs]), torch.cat([targets, targets]))
    return bool(loss != 0) and torch.allclose(twice, 2 * loss, rtol=1e-3, atol=0.0)


@contextmanager
def _no_broadcasting() -> Iterator[None]:
    """torch only warns where outputs and targets of different shapes are compared each with each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=_BROADCAST)
        yield
