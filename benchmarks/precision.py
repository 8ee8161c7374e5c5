"""A step in bfloat16 against one in float32, by the time that it has a core."""

import statistics
from pathlib import Path

import torch

from benchmarks.trainer import cpu_ms, load, make_trainer
from sweeps.tune.memory import keep_freed_memory

PACKS = {
    "regression": (1, 10),
    "autoencoder": (1, 10),
    "lenet300": (1, 10),
    "lenet5": (1,),
    "lenet5_caffe": (1,),
}
STEPS = {"regression": 200, "autoencoder": 2, "lenet300": 2, "lenet5": 1, "lenet5_caffe": 1}
ROUNDS = 8


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    keep_freed_memory()
    torch.set_num_threads(1)
    lines = ["| task | pack | float32: ms | bfloat16: ms | times as fast |", "| --- | --: | --: | --: | --: |"]
    for name, packs in PACKS.items():
        task, data = load(name, data_dir)
        for size in packs:
            trainers = [make_trainer(task, data, size, precision) for precision in ("float32", "bf16")]
            exact, rounded = cpu_ms(trainers, STEPS[name], ROUNDS)
            ratio = statistics.median(a / b for a, b in zip(exact, rounded, strict=True))
            lines.append(f"| {name} | {size} | {min(exact):.3g} | {min(rounded):.3g} | **{ratio:.2f}** |")
    return [*lines, "", "Milliseconds of CPU per replicate and step, one thread; the ratio is the median of pairs."]
