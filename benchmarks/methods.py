"""What a method costs: the time of a step, and the memory that training takes, beside those without a regulariser."""

import gc
import multiprocessing
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.trainer import cpu_ms, load, make_trainer
from dn_distributed.config import Rewire
from dn_distributed.data import Data
from dn_distributed.tasks import Task
from dn_distributed.training import Trainer
from sweeps.tune.memory import keep_freed_memory

PACKS = {"autoencoder": 10, "lenet300": 10, "lenet5": 1}
STEPS = {"autoencoder": 2, "lenet300": 2, "lenet5": 1}
ROUNDS = 8


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    coefficients: Mapping[str, float]
    proximal: bool = False
    rewire: Rewire | None = None


METHODS = {
    "none": Method({}),
    "ℓ1": Method({"l1": 1e-5}),
    "L2": Method({"l2": 1e-5}),
    "DN": Method({"dn": 5e-5}),
    "ℓ1+DN": Method({"l1": 1e-5, "dn": 5e-5}),
    "ℓ1+DN, proximal": Method({"l1": 1e-5, "dn": 5e-5}, proximal=True),
    "DO": Method({"dropout": 0.5}),
    "ℓ1+DN+DO": Method({"l1": 1e-5, "dn": 5e-5, "dropout": 0.5}),
    "L0": Method({"l0": 1.8e-6}),
    "sparse VD": Method({"sparse_vd": 1.8e-5}),
    "RigL": Method({}, rewire=Rewire(density=0.02)),
}


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    keep_freed_memory()
    torch.set_num_threads(1)
    lines = ["| task | pack | method | ms | times | MB |", "| --- | --: | --- | --: | --: | --: |"]
    for name, size in PACKS.items():
        task, data = load(name, data_dir)
        trainers = [_make(task, data, size, method) for method in METHODS.values()]
        times = dict(zip(METHODS, cpu_ms(trainers, STEPS[name], ROUNDS), strict=True))
        memory = [_memory_mb(name, data_dir, size, method) for method in METHODS]
        for (method, found), megabytes in zip(times.items(), memory, strict=True):
            ratio = statistics.median(a / b for a, b in zip(found, times["none"], strict=True))
            lines.append(f"| {name} | {size} | {method} | {min(found):.3g} | {ratio:.2f} | {megabytes:.0f} |")
    return [
        *lines,
        "",
        "Milliseconds of CPU per replicate and step, one thread. Times: the median, over rounds in which all methods "
        "take their turn, of a method's over that without a regulariser. MB: the peak of a process of its own over "
        "what it had with the data loaded, for the whole pack.",
    ]


def _make(task: Task, data: Data, size: int, method: Method) -> Trainer:
    return make_trainer(
        task, data, size, coefficients=method.coefficients, proximal=method.proximal, rewire=method.rewire
    )


def _memory_mb(name: str, data_dir: Path, size: int, method: str) -> float:
    """In a process of its own, whose peak is nothing else's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_mb, (name, data_dir, size, method))


def _peak_mb(name: str, data_dir: Path, size: int, method: str) -> float:
    torch.set_num_threads(1)
    task, data = load(name, data_dir)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from here on
    before = _status_mb("VmHWM")
    _make(task, data, size, METHODS[method]).advance(3)
    return _status_mb("VmHWM") - before


def _status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
