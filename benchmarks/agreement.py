"""What trainings in bfloat16 and in float32 end with: two epochs of LeNet-300-100, five seeds, two methods."""

import math
import statistics
from pathlib import Path

import scipy.stats
import torch

from benchmarks.trainer import load
from dn_distributed import regularizers, score_names
from dn_distributed.config import Precision, Training
from dn_distributed.data import Data
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.training import Trainer
from sweeps.tune.memory import keep_freed_memory

METHODS = {"ℓ1": {"l1": 2e-5}, "ℓ1+DN": {"l1": 2e-5, "dn": 5e-5}}
SEEDS, EPOCHS = range(5), 2


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    keep_freed_memory()
    torch.set_num_threads(1)  # beside other work, threads wait for each other
    task = LeNet300(initial="he")
    _, data = load(task.name, data_dir)
    lines = ["| method | products | test accuracy after pruning, % | weights left, % | neurons alive |"]
    lines.append("| --- | --- | --: | --: | --: |")
    for label, coefficients in METHODS.items():
        found = {precision: _train(task, data, coefficients, precision) for precision in ("float32", "bf16")}
        rows = {**found, "bf16 - float32, seed by seed": _differences(*found.values())}
        lines += [f"| {label} | {name} | {' | '.join(map(_text, columns))} |" for name, columns in rows.items()]
    return [*lines, "", f"{EPOCHS} epochs, {len(SEEDS)} seeds, mean ± half the width of the 95 % interval."]


def _train(task: LeNet300, data: Data, coefficients: dict[str, float], precision: Precision) -> list[list[float]]:
    """Accuracy, density and neurons alive, seed by seed."""
    training = Training(epochs=EPOCHS, batch_size=256, precision=precision)
    penalties, threshold = regularizers.resolve(coefficients), task.default_pruning.threshold
    trainer = Trainer(task, penalties, training, threshold, data.for_seeds(SEEDS), SEEDS)
    trainer.advance(trainer.num_steps)
    outcomes = trainer.outcomes()
    return [
        [100 * one.scores[score_names.final("test", "accuracy")] for one in outcomes],
        [100 * one.counts.density for one in outcomes],
        [float(one.counts.neurons_alive) for one in outcomes],
    ]


def _differences(exact: list[list[float]], rounded: list[list[float]]) -> list[list[float]]:
    return [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(exact, rounded, strict=True)]


def _text(values: list[float]) -> str:
    half_width = scipy.stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.fmean(values):.2f} ± {half_width:.2f}"
