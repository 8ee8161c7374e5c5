"""A device that is not there: its tensors have shapes, types and a place, but no values.

An operation on tensors of two devices fails on it as on a GPU, so what mixes devices is found without one. Torch's
fake tensors do it; that they pretend to be on a device of our own has a reason: autograd asks CUDA for its streams.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

from dn_distributed.data import Split, Splits
from dn_distributed.random_weights import noise
from dn_distributed.regularizers import dropout
from dn_distributed.replicas import loss_gradient
from dn_distributed.seeds import generator
from dn_distributed.sparsity import why_no_chain
from dn_distributed.training import evaluation, trainer

DEVICE = "pretended"
_KNOWN = torch.__version__ >= "2.14" or hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Older versions of torch cannot have such a device; a newer one that takes it away fails, and is not skipped."""
WHY_NOT = (
    "tests/dn_distributed/test_gpu.py has a real GPU, and autograd takes one kind of device besides the CPU"
    if torch.cuda.is_available()
    else ""
    if _KNOWN
    else f"torch {torch.__version__} cannot pretend to have a device"
)


class _Answers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers 1, or False, where a tensor is asked for its value, and True where it is compared with another."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            kind = args[0].dtype
            return False if kind == torch.bool else 1.0 if kind.is_floating_point else 1
        if func is torch.ops.aten.equal.default:
            return True
        return func(*args, **(kwargs or {}))


@cache
def register() -> None:
    """Let torch know the device for the rest of the process: before its first backward pass, which counts devices."""
    if not WHY_NOT:
        backend_registration._setup_privateuseone_for_python_backend(DEVICE)


def _fit_one_another(network: nn.Module, _: Tensor, layers: Sequence[str]) -> bool:
    """Whether layers are a chain by their sizes: those of residual networks here are none, and are counted as such."""
    return not why_no_chain({layer: network.get_submodule(layer).get_parameter("weight").shape for layer in layers})


@contextlib.contextmanager
def pretended() -> Iterator[None]:
    """Within, tensors are made without values, and ``DEVICE`` is a device."""
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    register()
    on_cpu = [
        mock.patch.object(module, "generator", lambda seed, name, index, device: generator(seed, name, index))
        for module in (dropout, noise)
    ]
    # Following each task with shapes, on a copy with fake parameters, ends torch 2.14 by a segmentation fault.
    untraced: list[contextlib.AbstractContextManager[Any]] = [
        mock.patch.object(trainer.Trainer, "_check_chain"),
        mock.patch.object(evaluation, "is_shown_chain", _fit_one_another),
    ]
    graphs: dict[object, object] = {}
    no_graphs_of_others = mock.patch.object(loss_gradient, "_graphs", graphs)
    with FakeTensorMode(), _Answers(), contextlib.ExitStack() as stack:  # type: ignore[no-untyped-call]
        patches = [*untraced, *on_cpu, no_graphs_of_others]
        for patch in patches:
            stack.enter_context(patch)
        yield


def without_values(splits: Splits) -> Splits:
    """Return the like of real data on a pretended CPU."""

    def split(real: Split) -> Split:
        inputs = like(real.inputs)
        return Split(inputs, inputs if real.targets_are_inputs else like(real.targets))

    def like(real: Tensor) -> Tensor:
        return torch.empty(real.shape, dtype=real.dtype)

    truth = None if splits.truth is None else like(splits.truth)
    return Splits(split(splits.train), split(splits.validation), split(splits.test), splits.stacked, truth)
