"""Full-length trainings that drop units: with tensors that get smaller, and with tensors that stay as they are."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from dn_distributed.training import Trainer
from sweeps.planning.data import load_data
from sweeps.spec.load import load

RECIPES = ("lenet300-20x",)
FOLDER = Path(__file__).parents[1] / "sweeps" / "recipes"


def run(data_dir: Path) -> list[str]:
    """Return a table of the CPU seconds of one replicate, epoch by epoch and in all, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lines = [line for name in RECIPES for shrinks in (True, False) for line in _lines(name, shrinks, data_dir)]
    finally:
        torch.set_num_threads(threads)
    return [
        "CPU seconds of one replicate on one thread, each training at its full length, with what is measured after",
        "each epoch and at the end. Dense size: weights between the units that are left.",
        "",
        "| recipe | shrinks | dense size at the end | first epoch | middle one | last one | whole training | score |",
        "| --- | --- | --: | --: | --: | --: | --: | --: |",
        *lines,
    ]


def _lines(name: str, shrinks: bool, data_dir: Path) -> Sequence[str]:
    sweep = load(FOLDER / f"{name}.yaml", [] if shrinks else [f"training.{n}.shrink=false" for n in (1, 2)])
    data = load_data(sweep, data_dir)
    (method,) = sweep.methods
    cell = sweep.cell(method, {}, data.digest, data.num_train)
    begin = time.process_time()
    trainer = Trainer(sweep.task, cell.regularization, cell.phases, cell.pruning, data.for_seeds([0]), [0])
    epochs, before = [], begin
    for _ in trainer.run():
        epochs.append(time.process_time() - before)
        before = time.process_time()
    (outcome,) = trainer.outcomes()
    whole = time.process_time() - begin
    score = outcome.scores[f"test/{sweep.task.scores[0].name}/after_pruning"]
    first, middle, last = epochs[1], epochs[len(epochs) // 2], epochs[-1]
    cells = (
        f"{outcome.counts.dense_size}",
        f"{first:.2f}",
        f"{middle:.2f}",
        f"{last:.2f}",
        f"{whole:.0f}",
        f"{score:.4f}",
    )
    return [f"| {name} | {'yes' if shrinks else 'no'} | {' | '.join(cells)} |"]
