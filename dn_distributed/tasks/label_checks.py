"""Whether a task can learn the labels of its data, before anything is trained on them."""

import torch
from torch import Tensor

from dn_distributed.data import Data, DataError, Split
from dn_distributed.tasks.base import Task

_MOST_LABELS = 1000
_PARTS = ("train", "validation", "test")


def check_labels(task: Task, data: Data) -> None:
    """DataError where the task's loss takes a label for none of its classes. Targets that are no labels pass."""
    for part in _PARTS if data.shared is not None else ():
        split: Split = getattr(data.shared, part)
        if split.targets.ndim != 1 or split.targets.is_floating_point():
            continue
        labels: Tensor = split.targets.unique()  # type: ignore[no-untyped-call]
        outputs = _outputs(task, split.inputs[:1])
        if outputs is None or len(labels) > _MOST_LABELS:
            continue
        for label in labels:
            if not _takes(task, outputs, label):
                raise DataError(
                    f"the {part} labels lie between {int(labels.min())} and {int(labels.max())}: task {task.name!r} "
                    f"has no class {int(label)} (its network has {outputs.shape[-1]} outputs; labels begin at 0)"
                )


def _outputs(task: Task, inputs: Tensor) -> Tensor | None:
    """What an untrained network makes of inputs; None where it fails: the rehearsal reports that."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            outputs: Tensor = task.network().eval()(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    return outputs


def _takes(task: Task, outputs: Tensor, label: Tensor) -> bool:
    try:
        return bool(task.loss(outputs, label.reshape(1)).isfinite().all())
    except (RuntimeError, IndexError, ValueError):
        return False
