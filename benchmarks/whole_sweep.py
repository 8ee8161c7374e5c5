"""A whole sweep by this project and by the tutorial way, in one run, as a ratio."""

import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import tutorial
from sweeps.cluster import connection
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
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


def ours(task: str, data_dir: Path, seeds: int, length: str, capacity: connection.Capacity, folder: Path) -> float:
    """Return the seconds of a sweep, from a loaded file to means in the store."""
    path = folder / f"{task}-{seeds}.yaml"
    path.write_text(SWEEP.format(task=task, seeds=seeds, length=length), encoding="utf-8")
    location = store.locate(folder=folder / "ours")
    embedded.prepare(location)
    begin = time.perf_counter()
    sweep = spec.load(path)
    runner = Runner(sweep, load_data(sweep, data_dir), location)
    after = runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    assert not after.num_to_run
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
            location = store.locate(folder=folder / "theirs")
            embedded.prepare(location)
            begin = time.perf_counter()
            tutorial.sweep(task, data_dir, their_seeds, epochs, max_steps or -1, location.uri, folder / "tune")
            theirs = (time.perf_counter() - begin) / their_seeds
            length = f"steps: {max_steps}" if max_steps else f"epochs: {epochs}"
            for seeds in our_seeds:
                mine = ours(task, data_dir, seeds, length, capacity, folder) / seeds
                steps = max_steps or epochs * (500 if task == "regression" else 214)
                lines.append(
                    f"| {task}, {seeds} seeds | {steps} | {theirs:.3g} | {mine:.3g} | **{theirs / mine:.1f}** |"
                )
    return lines
