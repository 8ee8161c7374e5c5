"""Whether a task can learn from its data, before anything is trained on them."""

import torch
from torch import Tensor

from dn_distributed.data import Data, DataError, Split
from dn_distributed.data.samples import check_finite
from dn_distributed.scores import NMSE
from dn_distributed.tasks.base import Task

_MOST_LABELS = 1000
_PARTS = ("train", "validation", "test")


def check_inputs(name: str, data: Data) -> None:
    """DataError where a dataset of this name has numbers that are not finite, or samples to train on that all agree.

    Data that are made anew for each seed pass.
    """
    if data.shared is None:
        return
    check_finite(name, {part: getattr(data.shared, part) for part in _PARTS})
    inputs = data.shared.train.inputs
    if len(inputs) > 1 and not inputs.is_complex() and torch.equal(inputs.amin(0), inputs.amax(0)):
        raise DataError(
            f"dataset {name!r}: all {len(inputs)} samples to train on have the same inputs: look at its files"
        )


def check_numbers(task: Task, name: str, data: Data) -> None:
    """DataError where numbers to predict are all the same to train on, or where an NMSE would be divided by 0.

    Labels pass, data that are made anew for each seed, and tasks without that score, whose loss may not read targets.
    """
    for part in _PARTS if data.shared is not None and NMSE in task.scores else ():
        targets: Tensor = getattr(data.shared, part).targets
        if part == "train" and len(targets) > 1 and torch.equal(targets.amin(0), targets.amax(0)):
            raise DataError(
                f"dataset {name!r}: all {len(targets)} train targets are the same: nothing is to be learned"
            )
        if not targets.any():
            raise DataError(f"dataset {name!r}: all {part} targets are 0: {NMSE.name}, Σ(y−ŷ)²/Σy², divides by them")


def check_labels(task: Task, data: Data) -> None:
    """DataError for a label that the task's loss takes for none of its classes, or that none to train on has.

    Targets that are no labels pass.
    """
    for part in _PARTS if data.shared is not None else ():
        split: Split = getattr(data.shared, part)
        if split.targets.ndim != 1 or split.targets.is_floating_point():
            continue
        labels: Tensor = split.targets.unique()  # type: ignore[no-untyped-call]
        if part == "train" and len(labels) == 1:
            raise DataError(f"the train labels are all {int(labels[0])}: nothing is to be told apart")
        outputs = _outputs(task, split.inputs[:1])
        if outputs is None or len(labels) > _MOST_LABELS:
            continue
        for label in labels:
            if not _takes(task, outputs, label):
                raise DataError(
                    f"the {part} labels lie between {int(labels.min())} and {int(labels.max())}: task {task.name!r} "
                    f"has no class {int(label)} (its network has {outputs.shape[-1]} outputs; labels begin at 0)"
                )
    if data.shared is not None and _are_classes(task, data.shared.train):
        _check_trained(data)


def _are_classes(task: Task, split: Split) -> bool:
    """Whether targets are numbers of outputs, not whole numbers that are predicted: there is one less than outputs."""
    if split.targets.ndim != 1 or split.targets.is_floating_point():
        return False
    outputs = _outputs(task, split.inputs[:1])
    return outputs is not None and not _takes(task, outputs, split.targets.new_tensor(outputs.shape[-1]))


def _check_trained(data: Data) -> None:
    """DataError for a class that is in no sample to train on."""
    found = {part: set(getattr(data.shared, part).targets.tolist()) for part in _PARTS}
    for part in _PARTS[1:]:
        if new := found[part] - found["train"]:
            raise DataError(
                f"class {min(new)} is in the {part} samples, and in none to train on: put the samples in random order "
                "(of images without a validation part the first are held out for it)"
            )


def _outputs(task: Task, inputs: Tensor) -> Tensor | None:
    """What an untrained network makes of inputs; None where it fails, or they are no numbers: the rehearsal says so."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            outputs: Tensor = task.network().eval()(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    return outputs if outputs.isfinite().all() else None


def _takes(task: Task, outputs: Tensor, label: Tensor) -> bool:
    try:
        return bool(task.loss(outputs, label.reshape(1)).isfinite().all())
    except (RuntimeError, IndexError, ValueError):
        return False
