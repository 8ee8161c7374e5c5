"""Real sweeps through Ray and MLflow in folders of their own, to be disturbed."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.tracking.stores import copy_of
from tracking import schema
from tracking.results import cells
from tracking.results import rows as reader
from tracking.store import location as store
from tracking.store import runs
from tracking.store.connection import connect
from tracking.store.sweep_store import SweepStore
from tracking.tables import formats
from tracking.tables import table as tables

SWEEP = """
name: small
task: lenet300
dataset: digits
seeds: 3
training: {epochs: 30, batch_size: 64}
methods:
  - {label: P}
  - {label: ℓ1+DN+DO+P, l1: 1e-5, dn: 5e-5, dropout: 0.5}
resources: {pack: 3}
"""


@dataclass(frozen=True)
class Folder:
    """A working folder with the sweep file in it."""

    path: Path
    num_cpus: int
    """Of Ray: each worker imports torch and MLflow, which takes longer than what it trains here."""

    def command(self, *extra: str) -> list[str]:
        options = ["--checkpoint-seconds", "0", "--num-cpus", str(self.num_cpus)]
        return [sys.executable, "-m", "sweeps.cli", "sweep", "small.yaml", *options, *extra]

    def start(self, *extra: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*extra), cwd=self.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *extra: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*extra), cwd=self.path, text=True, capture_output=True, check=False)

    @property
    def location(self) -> store.StoreLocation:
        return store.locate(folder=self.path / store.FOLDER)

    def snapshot(self) -> reader.Snapshot:
        return reader.read(SweepStore.find(self.location, "small"))

    def table(self) -> str:
        sweep = SweepStore.find(self.location, "small")
        _, manifest = runs.read_manifest(sweep)
        return formats.as_csv(tables.build(manifest, cells.gather(manifest, reader.read(sweep))))

    def checkpoints(self) -> list[Path]:
        return list((self.path / store.FOLDER / "ray").glob("small/checkpoints/*/*.safetensors"))


def make_folder(path: Path, empty: store.StoreLocation | None = None, num_cpus: int = 1) -> Folder:
    """``empty``: a store whose copy is there from the start; else the sweep makes its own, which takes seconds."""
    path.mkdir(exist_ok=True)
    if empty is not None:
        copy_of(empty, path / store.FOLDER)
    (path / "small.yaml").write_text(SWEEP, encoding="utf-8")
    return Folder(path, num_cpus)


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, f"the sweep ended early: {process.communicate()}"
        assert time.monotonic() < deadline, "the sweep did not get there"
        time.sleep(0.05)


def wait_for_checkpoint(folder: Folder, process: "subprocess.Popen[str]") -> list[int]:
    """Wait until packs have left checkpoints, and return their workers, at least one.

    Ray gives a worker another title before and after each call, and for milliseconds between, just when a checkpoint
    has been written, none can be read. One look is not enough.
    """
    workers: list[int] = []

    def are_seen() -> bool:
        workers[:] = pack_workers(process.pid)
        return bool(folder.checkpoints() and workers)

    wait_until(are_seen, process)
    return workers


def descendants(pid: int) -> Iterator[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    frontier = {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        yield from frontier


def pack_workers(pid: int) -> list[int]:
    found = []
    for child in descendants(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::ResourceTrainable"):  # Tune's name for a trainable with resources
            found.append(child)
    return found


def runs_per_replicate(folder: Folder) -> Counter[str]:
    sweep = SweepStore.find(folder.location, "small")
    found = sweep.records("replicate", tags=[schema.REPLICATE_KEY])
    return Counter(record.tags[schema.REPLICATE_KEY] for record in found)


def epochs_logged(folder: Folder) -> list[list[int]]:
    client = connect(folder.location)
    rows = folder.snapshot().rows
    return [[point.step for point in client.get_metric_history(row.run_id, "train/loss")] for row in rows]
