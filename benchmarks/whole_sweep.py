"""A whole sweep by this project and by the tutorial way, in one run, as a ratio."""

import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks import tutorial
from sweeps.cluster import connection
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.spec.sweep import Sweep
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tracking.store import embedded
from tracking.store import location as store

# task: seeds of ours, seeds of the tutorial way, epochs, and steps of an epoch (0: all of it)
WORK = {
    "regression": ((10, 100), 4, 100, 0),
    "autoencoder": ((10,), 4, 4, 0),
    "lenet300": ((10,), 4, 4, 0),
    "lenet5": ((4,), 4, 1, 800),
}

SWEEP = """
name: bench-{task}-{seeds}
task: {task}
seeds: {seeds}
training: {{{length}}}
methods: [{{label: ℓ1+DN, l1: 1.0e-5, dn: 5.0e-5}}]
"""


def ours(sweep: Sweep, data_dir: Path, capacity: connection.Capacity, folder: Path) -> float:
    """Return the seconds of a sweep, from its plan to means in the store."""
    location = store.locate(folder=folder / "ours")
    embedded.prepare(location)
    begin = time.perf_counter()
    runner = Runner(sweep, load_data(sweep, data_dir), location)
    after = runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    assert not after.num_to_run
    return time.perf_counter() - begin


def theirs(task: str, data_dir: Path, seeds: int, epochs: int, max_steps: int, folder: Path) -> float:
    """Return the seconds of a sweep in the tutorial way; ``max_steps`` of an epoch, -1 for all of it."""
    location = store.locate(folder=folder / "theirs")
    embedded.prepare(location)
    begin = time.perf_counter()
    tutorial.sweep(task, data_dir, seeds, epochs, max_steps, location.uri, folder / "tune")
    return time.perf_counter() - begin


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    lines = [
        "| task | steps of a replicate | tutorial way: s per replicate | this project: s per replicate | ratio |",
        "| --- | --: | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory() as name, connection.connect(None) as capacity:
        folder = Path(name)
        for task, (our_seeds, their_seeds, epochs, max_steps) in WORK.items():
            tutorial_way = theirs(task, data_dir, their_seeds, epochs, max_steps or -1, folder) / their_seeds
            length = f"steps: {max_steps}" if max_steps else f"epochs: {epochs}"
            for seeds in our_seeds:
                sweep = spec.load(yaml.safe_load(SWEEP.format(task=task, seeds=seeds, length=length)))
                mine = ours(sweep, data_dir, capacity, folder) / seeds
                steps = max_steps or epochs * (500 if task == "regression" else 214)
                ratio = f"**{tutorial_way / mine:.1f}**"
                lines.append(f"| {task}, {seeds} seeds | {steps} | {tutorial_way:.3g} | {mine:.3g} | {ratio} |")
    return lines
