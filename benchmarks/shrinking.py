"""Full-length trainings that drop units, and fine-tuning: with tensors that get smaller, and with such that stay."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.trainer import load as load_task
from dn_distributed import regularizers
from dn_distributed.config import Pruning
from dn_distributed.hardware import on_threads
from dn_distributed.training import Trainer
from sweeps.planning.data import load_data
from sweeps.spec.load import load

FOLDER = Path(__file__).parents[1] / "sweeps" / "recipes"
PACKS = {"lenet300-20x": ((1, True), (1, False), (5, True))}
"""By recipe how many replicates, and whether tensors get smaller."""
FINE_TUNED = {
    "regression": ((10, 20), (10, 2000)),
    "lenet300": ((1, 50), (5, 50), (1, 2000), (5, 2000)),
    "lenet5_caffe": ((1, 500),),
}
"""By task how many replicates, and steps of fine-tuning."""
DENSITY = 0.05


def run(data_dir: Path) -> list[str]:
    """Return tables of CPU seconds per replicate, on one thread."""
    with on_threads(1):
        recipes = [_recipe(name, *pack, data_dir) for name, packs in PACKS.items() for pack in packs]
        fine_tuned = [_fine_tuned(name, *pack, data_dir) for name, packs in FINE_TUNED.items() for pack in packs]
    return [
        "CPU seconds per replicate on one thread, each training at its full length, with what is measured after",
        "each epoch and at the end. Dense size: weights between the units that are left. It and the score are of the",
        "first replicate.",
        "",
        "| recipe | replicates | shrinks | dense size | first epoch | middle one | last one | whole | score |",
        "| --- | --: | --- | --: | --: | --: | --: | --: | --: |",
        *recipes,
        "",
        f"Fine-tuning what one epoch and pruning to {DENSITY:.0%} of the weights leave: CPU seconds per replicate",
        "of the whole phase, its beginning with it. Dense share: the weights between the units that are left, of all,",
        "of the first replicate. As it is: it decides by the length of the phase and by what is saved.",
        "",
        "| task | replicates | steps | dense share | as it is | `shrink: false` | always smaller |",
        "| --- | --: | --: | --: | --: | --: | --: |",
        *fine_tuned,
    ]


def _recipe(name: str, replicates: int, shrinks: bool, data_dir: Path) -> str:
    sweep = load(FOLDER / f"{name}.yaml", [] if shrinks else [f"training.{n}.shrink=false" for n in (1, 2)])
    data = load_data(sweep, data_dir)
    (method,) = sweep.methods
    cell = sweep.cell(method, {}, data.digest, data.num_train)
    seeds = range(replicates)
    begin = time.process_time()
    trainer = Trainer(sweep.task, cell.regularization, cell.phases, cell.pruning, data.for_seeds(seeds), seeds)
    epochs = list(_epochs(trainer))
    outcome = trainer.outcomes()[0]
    whole = time.process_time() - begin
    score = outcome.scores[f"test/{sweep.task.scores[0].name}/after_pruning"]
    seconds = [epochs[1], epochs[len(epochs) // 2], epochs[-1]]
    cells = [f"{outcome.counts.dense_size}", *(f"{s / replicates:.2f}" for s in seconds), f"{whole / replicates:.0f}"]
    return f"| {name} | {replicates} | {'yes' if shrinks else 'no'} | {' | '.join(cells)} | {score:.4f} |"


def _epochs(trainer: Trainer) -> Iterator[float]:
    """Train, and yield the CPU seconds of each epoch."""
    before = time.process_time()
    for _ in trainer.run():
        yield time.process_time() - before
        before = time.process_time()


def _fine_tuned(name: str, replicates: int, steps: int, data_dir: Path) -> str:
    seconds, left = {}, 1.0
    for way in ("decides", "stays", "always"):
        trainer = _fine_tuning(name, replicates, steps, data_dir, shrink=way != "stays", always=way == "always")
        trainer.advance(trainer.phases[0].end)
        begin = time.process_time()
        trainer.advance(trainer.num_steps)
        seconds[way] = time.process_time() - begin
        counts = trainer.outcomes()[0].counts
        left = counts.dense_size / counts.num_weights
    cells = [f"{left:.2f}", *(f"{seconds[way] / replicates:.3f}" for way in seconds)]
    return f"| {name} | {replicates} | {steps} | {' | '.join(cells)} |"


def _fine_tuning(name: str, replicates: int, steps: int, data_dir: Path, *, shrink: bool, always: bool) -> Trainer:
    task, data = load_task(name, data_dir)
    first = task.default_training.model_copy(update={"epochs": 1, "steps": None})
    second = first.model_copy(update={"steps": steps, "epochs": None, "fixed_structure": True, "shrink": shrink})
    seeds = range(replicates)
    return Trainer(
        task,
        regularizers.resolve({"l1": 1e-5, "dn": 5e-5}),
        [first, second],
        Pruning(target_density=DENSITY),
        data.for_seeds(seeds),
        seeds,
        always_shrink=always,
    )
