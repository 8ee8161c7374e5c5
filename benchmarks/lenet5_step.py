"""What makes a step of LeNet-5 cheaper on a CPU: each measure taken back alone, and what that does to the result."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.trainer import PENALTIES, load
from dn_distributed import regularizers
from dn_distributed.data import Splits
from dn_distributed.regularizers.base import Penalty
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1
from dn_distributed.tasks.lenet5 import LeNet5, LeNet5Network
from dn_distributed.torch_internals import adam
from dn_distributed.training import Trainer, optimizer
from sweeps.tune.memory import keep_freed_memory

STEPS, ROUNDS = 4, 15


class _ReluFirst(LeNet5Network):
    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)  # type: ignore[no-any-return]


class _PoolsLast(LeNet5):
    def network(self) -> nn.Module:
        return _ReluFirst()


class _SecondChannelsFirst(LeNet5Network):
    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2)).contiguous()
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = self.dropout(functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)  # type: ignore[no-any-return]


class _TwoLayouts(LeNet5):
    def network(self) -> nn.Module:
        return _SecondChannelsFirst()


class _ChannelsFirst(LeNet5):
    cpu_memory_format = torch.contiguous_format


@contextmanager
def _plain_adam() -> Iterator[None]:
    def unfused(*args: object, **options: object) -> None:
        adam(*args, **{**options, "fused": False, "foreach": True})  # type: ignore[arg-type]

    with mock.patch.object(optimizer, "adam", unfused):
        yield


@contextmanager
def _penalties_by_autograd() -> Iterator[None]:
    def add_gradient_(penalty: Penalty, tensor: Tensor, gradient: Tensor, leading: int) -> None:
        leaf = tensor.detach().requires_grad_()
        with torch.enable_grad():
            gradient.add_(torch.autograd.grad(penalty.value(leaf, leading).sum(), leaf)[0])

    with ExitStack() as stack:
        for kind in (L1, Incoming, Outgoing):
            stack.enter_context(mock.patch.object(kind, "add_gradient_", add_gradient_))
        yield


_VARIANTS: dict[str, tuple[type[LeNet5], Callable[[], AbstractContextManager[object]]]] = {
    "as it is": (LeNet5, nullcontext),
    "ReLU before pooling": (_PoolsLast, nullcontext),
    "second convolution channels-first": (_TwoLayouts, nullcontext),
    "both convolutions channels-first": (_ChannelsFirst, nullcontext),
    "Adam not fused": (LeNet5, _plain_adam),
    "penalties by autograd": (LeNet5, _penalties_by_autograd),
    "without oneDNN": (LeNet5, partial(torch.backends.mkldnn.flags, enabled=False)),
}


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines. The variants take turns, so that other work on the machine meets them all."""
    keep_freed_memory()
    torch.set_num_threads(1)
    _, data = load("lenet5", data_dir)
    trainers = {name: _trainer(task(name="lenet5"), data.for_seeds([0])) for name, (task, _) in _VARIANTS.items()}
    times: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    for _ in range(ROUNDS):
        for name, (_, within) in _VARIANTS.items():
            with within():
                begin = time.perf_counter()
                trainers[name].advance(STEPS)
                times[name].append(1000 * (time.perf_counter() - begin) / STEPS)
    shipped = trainers["as it is"].replicas.values
    lines = ["| a step of LeNet-5, one replicate | ms | against as it is | largest difference of a weight |"]
    lines.append("| --- | --: | --: | --: |")
    for name in _VARIANTS:
        ratio = statistics.median(a / b for a, b in zip(times[name], times["as it is"], strict=True))
        apart = float((trainers[name].replicas.values - shipped).abs().max())
        lines.append(f"| {name} | {min(times[name]):.1f} | {ratio:.2f} | {apart:.1g} |")
    return [*lines, "", f"Weights are compared after {STEPS * ROUNDS} steps; a step of Adam moves one by up to 1e-3."]


def _trainer(task: LeNet5, splits: Splits) -> Trainer:
    penalties = regularizers.resolve(PENALTIES)
    default = task.default_training
    return Trainer(task, penalties, default, task.default_pruning.threshold, splits, [0])
