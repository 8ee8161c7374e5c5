"""The trainer alone: milliseconds per replicate and step, beside the limit of its matrix products."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dn_distributed import regularizers
from dn_distributed.config import Precision, Rewire
from dn_distributed.data import DATASETS, Data
from dn_distributed.replicas.precision import lower
from dn_distributed.tasks import TASKS, Task
from dn_distributed.training import Trainer
from sweeps.tune.memory import keep_freed_memory

PACKS = {"regression": (1, 5, 10, 100), "autoencoder": (1, 5, 10), "lenet300": (1, 5, 10), "lenet5": (1, 5)}
STEPS = {"regression": 1000, "autoencoder": 12, "lenet300": 12, "lenet5": 3}
PENALTIES = {"l1": 1e-5, "dn": 5e-5}

Ways = Sequence[Callable[[], object]]
"""The same product, of tensors that lie in memory in different ways: the quickest counts."""


def best_ms(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest of some runs, in milliseconds, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)


def load(name: str, data_dir: Path) -> tuple[Task, Data]:
    """Return a task with its default dataset."""
    task = TASKS[name](name=name)
    dataset = DATASETS[task.default_dataset](name=task.default_dataset)
    return task, task.data(dataset, dataset.load(data_dir))


def make_trainer(
    task: Task,
    data: Data,
    replicas: int,
    precision: Precision = "float32",
    device: torch.device | str = "cpu",
    *,
    coefficients: Mapping[str, float] = PENALTIES,
    proximal: bool = False,
    rewire: Rewire | None = None,
) -> Trainer:
    """Return the trainer of a pack as in the paper, with all kinds of penalties unless others are given."""
    return Trainer(
        task,
        regularizers.resolve(coefficients),
        task.default_training.model_copy(update={"precision": precision, "rewire": rewire}),
        task.default_pruning.threshold,
        data.for_seeds(range(replicas)),
        range(replicas),
        proximal=proximal,
        device=device,
    )


def cpu_ms(trainers: Sequence[Trainer], steps: int, rounds: int) -> list[list[float]]:
    """Return for each trainer milliseconds of CPU per replicate and step, of every round.

    They take turns, so that other work on the machine meets them alike.
    """
    for trainer in trainers:
        trainer.advance(1)
    times: list[list[float]] = [[] for _ in trainers]
    for _ in range(rounds):
        for trainer, found in zip(trainers, times, strict=True):
            begin = time.process_time()
            trainer.advance(steps)
            found.append(1000 * (time.process_time() - begin) / steps / len(trainer.seeds))
    return times


def step_ms(task: Task, data: Data, replicas: int, steps: int) -> float:
    """Return milliseconds per replicate and step of a pack."""
    trainer = make_trainer(task, data, replicas)
    return best_ms(lambda: trainer.advance(steps)) / steps / replicas


def limit_ms(task: Task, data: Data, precision: Precision = "float32") -> float:
    """Return milliseconds that the products of one replicate's step need: forward, and both gradients."""
    batch = task.default_training.batch_size
    splits = data.for_seeds([0])
    sample = splits.of_first(splits.train).inputs[:batch]
    products: list[Ways] = []
    network = task.network().eval()

    def record(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        products.extend(_products(module, args[0].detach(), precision, first=not products))

    for module in network.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.register_forward_hook(record)
    with torch.no_grad():
        network(sample)
        return sum(min(best_ms(way, repeats=20) for way in ways) for ways in products)


def _products(module: torch.nn.Module, x: Tensor, precision: Precision, first: bool) -> list[Ways]:
    """The layer's own product, the gradient of its weight, and that of its input unless it is the first."""
    x, weight = (lower(tensor, precision) for tensor in (x, module.get_parameter("weight").detach()))
    if isinstance(module, torch.nn.Linear):
        grad = torch.randn(len(x), module.out_features, dtype=x.dtype)
        found: list[Ways] = [[lambda: x @ weight.T], [lambda: grad.T @ x]]
        return found if first else [*found, [lambda: grad @ weight]]
    assert isinstance(module, torch.nn.Conv2d)
    grad = torch.randn(len(x), module.out_channels, *x.shape[2:], dtype=x.dtype)
    layouts = (torch.contiguous_format, torch.channels_last)
    ways = [tuple(t.to(memory_format=layout) for t in (x, weight, grad)) for layout in layouts]
    return [
        [partial(functional.conv2d, x, weight, padding=2) for x, weight, _ in ways],
        [partial(_backward, grad, x, weight, not first) for x, weight, grad in ways],
    ]


def _backward(grad: Tensor, x: Tensor, weight: Tensor, to_inputs: bool) -> object:
    settings = ((1, 1), (2, 2), (1, 1), False, (0, 0), 1)
    return torch.ops.aten.convolution_backward(grad, x, weight, [0], *settings, [to_inputs, True, False])


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    keep_freed_memory()
    sizes = sorted({size for packs in PACKS.values() for size in packs})
    lines = ["| task | threads | limit of the products | " + " | ".join(f"pack of {s}" for s in sizes) + " |"]
    lines.append("| --- | --: | --: | " + " | ".join("--:" for _ in sizes) + " |")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, packs in PACKS.items():
            task, data = load(name, data_dir)
            times = {size: f"{step_ms(task, data, size, STEPS[name]):.3g}" for size in packs}
            cells = " | ".join(times.get(size, "") for size in sizes)
            lines.append(f"| {name} | {threads} | {limit_ms(task, data):.3g} | {cells} |")
    return lines
