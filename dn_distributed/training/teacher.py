"""Knowledge distillation: an earlier network says what is learned, beside the labels.

Of Hinton, Vinyals and Dean ("Distilling the knowledge in a neural network", 2015), whose loss this is at temperature 1,
less a constant; at others only the teacher's outputs are divided. Shapes: K replicates, B samples, C classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dn_distributed.config import Distill
from dn_distributed.data import Splits
from dn_distributed.errors import ArgumentError
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import Task
from dn_distributed.training.phases import Phase

_NOTHING = 1e-4
"""Of the gradient of a sample's loss: what rounding leaves of 0."""


class Teacher:
    """The replicates as they were before: each teaches itself, so that none depends on the others."""

    def __init__(self, replicas: Replicas, values: Tensor, running: Tensor, distill: Distill) -> None:
        """``values`` ``[K, P]`` and ``running`` ``[K, S]``: theirs then, read at each step anew."""
        self._replicas, self._values, self._running, self._distill = replicas, values, running, distill

    def targets(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the probabilities ``[K, B, C]`` to learn, for inputs ``[K, B, ...]`` and labels ``[K, B]``."""
        earlier = self._replicas.views(self._values)
        outputs = self._replicas.forward(inputs, values=earlier, running=self._running)
        return softened(outputs, labels, self._distill)


def softened(outputs: Tensor, labels: Tensor, distill: Distill) -> Tensor:
    """Return a teacher's probabilities and the labels as one distribution ``[..., C]``."""
    soft = functional.softmax(outputs / distill.temperature, dim=-1)
    return soft.mul_(distill.weight).scatter_add_(
        -1, labels.unsqueeze(-1), torch.full_like(soft[..., :1], 1 - distill.weight)
    )


def check_phases(task: Task, phases: Sequence[Phase], splits: Splits) -> None:
    """ArgumentError where a phase distills and the task learns no labels."""
    number = next((number for number, phase in enumerate(phases) if phase.teacher_step is not None), None)
    targets = splits.train.targets
    if number is not None and (targets.dtype != torch.int64 or targets.ndim != 1 + splits.stacked):
        raise ArgumentError(f"phase {number + 1} has 'distill', and what {task.name!r} learns are no labels")


def check_loss(task: Task, outputs: Tensor) -> None:
    """ArgumentError where a task's loss is not the cross-entropy of classes; ``outputs`` ``[B, C]``: of its network."""
    if outputs.ndim != 2:
        raise ArgumentError(f"'distill' is of labels, one for each sample, and {task.name!r} puts out more than that")
    labels = torch.arange(len(outputs), device=outputs.device) % outputs.shape[1]
    by_label = task.loss(outputs, labels)
    try:
        by_probability = task.loss(outputs, functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype))
    except Exception as error:  # of anybody's loss
        raise ArgumentError(f"'distill': the loss of {task.name!r} takes labels alone, no probabilities") from error
    if not torch.allclose(by_label, by_probability, rtol=1e-4):
        raise ArgumentError(f"'distill': the loss of {task.name!r} is not the same for labels given as probabilities")
    if not _is_least_at_its_target(task, outputs):
        raise ArgumentError(
            f"'distill': the loss of {task.name!r} is not the cross-entropy of what the network puts out: it is not "
            "least where that gives the probabilities to be learned; let the network put out what the loss makes of it"
        )


def _is_least_at_its_target(task: Task, outputs: Tensor) -> bool:
    """Whether a network that gives its teacher's probabilities has nothing to learn: not where the loss scales outputs.

    ``outputs``: of an untrained network, which hardly differ; others of their shape are tried.
    """
    draw = torch.Generator().manual_seed(0)
    apart = (3 * torch.randn(outputs.shape, generator=draw)).to(outputs).requires_grad_()
    with torch.enable_grad():
        loss = task.loss(apart, functional.softmax(apart.detach(), dim=-1))
        (gradient,) = torch.autograd.grad(loss, apart)
    return bool(gradient.abs().max() * len(outputs) < _NOTHING)
