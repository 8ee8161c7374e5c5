"""What Ray and MLflow add to bare training of the same packs, on all cores."""

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from sweeps.cluster import connection
from sweeps.planning.data import load_data
from sweeps.planning.plan import Pack
from sweeps.spec import load as spec
from sweeps.spec.sweep import Sweep
from sweeps.tune.memory import keep_freed_memory
from sweeps.tune.pack_training import trainer_of
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tracking.store import embedded
from tracking.store import location as store

# Packs of half a minute and more, and packs of a second.
SWEEPS = {
    "long packs": (
        8,
        "task: lenet300\ndataset: digits\nseeds: 10\ntraining: {steps: 2500, batch_size: 64}\nresources: {pack: 10}",
    ),
    "short packs": (48, "task: regression\nseeds: 10\ntraining: {epochs: 4}\nresources: {pack: 10}"),
}


def _write(folder: Path, name: str, body: str, num_cells: int) -> Sweep:
    methods = "\n".join(f"  - {{label: ℓ1 {i}, l1: {1e-6 * (i + 1)}}}" for i in range(num_cells))
    path = folder / f"{name.split()[0]}.yaml"
    path.write_text(f"name: bench-{name.split()[0]}\n{body}\nmethods:\n{methods}\n", encoding="utf-8")
    return spec.load(path)


def _train_bare(job: tuple[Sweep, list[Pack]]) -> None:
    sweep, packs = job
    torch.set_num_threads(1)
    keep_freed_memory()
    data = load_data(sweep, None)
    for pack in packs:
        trainer = trainer_of(sweep.task, pack, data.for_seeds(pack.seeds), "cpu")
        for _ in trainer.run():
            pass
        trainer.outcomes()


def bare_seconds(sweep: Sweep, packs: list[Pack]) -> float:
    """Return the seconds of training the packs in as many processes as there are cores, and nothing else."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(_warm_up, range(cores), chunksize=1)
        begin = time.perf_counter()
        pool.map(_train_bare, [(sweep, packs[i::cores]) for i in range(cores)], chunksize=1)
        return time.perf_counter() - begin


def _warm_up(_: int) -> None:
    time.sleep(1)


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    lines = [
        "| sweep | packs | bare training, s | this project, s | added | added per pack, s |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, connection.connect(None) as capacity:
        start = time.perf_counter() - begin
        for title, (num_cells, body) in SWEEPS.items():
            sweep = _write(Path(name), title, body, num_cells)
            location = store.locate(folder=Path(name) / "store")
            embedded.prepare(location)
            runner = Runner(sweep, load_data(sweep, data_dir), location)
            plan = runner.plan()
            packs = plan.packs(capacity.slots(1, 0))
            bare = bare_seconds(sweep, packs)
            begin = time.perf_counter()
            runner.run(plan, capacity, Progress(Console(quiet=True)))
            whole = time.perf_counter() - begin
            added = whole - bare
            lines.append(
                f"| {title} | {len(packs)} | {bare:.1f} | {whole:.1f} | {added / bare:.1%} | {added / len(packs):.2f} |"
            )
    return [
        *lines,
        "",
        f"Starting Ray on this machine took {start:.1f} s, once per command, not counted above.",
    ]
