"""Real sweeps through Ray and MLflow, undisturbed and disturbed: the table must come out the same."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from dn_distributed.training import Trainer
from sweeps import plan as planning
from sweeps import spec
from tracking import cells, reader, render, schema, store, tables, writer

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

    def command(self, *extra: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "sweeps.cli",
            "sweep",
            "small.yaml",
            "--checkpoint-seconds",
            "0",
            *extra,
        ]

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
        client = writer.client(self.location)
        return reader.read(client, reader.find_experiment(client, self.location, "small"))

    def table(self) -> str:
        client = writer.client(self.location)
        experiment_id = reader.find_experiment(client, self.location, "small")
        _, manifest = reader.read_manifest(client, experiment_id)
        return render.as_csv(tables.build(manifest, cells.gather(manifest, reader.read(client, experiment_id))))

    def checkpoints(self) -> list[Path]:
        return list((self.path / store.FOLDER / "ray").glob("small/checkpoints/*/*.safetensors"))


def make_folder(path: Path) -> Folder:
    path.mkdir(exist_ok=True)
    (path / "small.yaml").write_text(SWEEP, encoding="utf-8")
    return Folder(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = make_folder(tmp_path_factory.mktemp("undisturbed"))
    result = folder.run()
    assert result.returncode == 0, result.stderr
    return folder


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"the sweep ended early: {process.communicate()}"
        assert time.monotonic() < deadline, "the sweep did not get there"
        time.sleep(0.05)


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
    client = writer.client(folder.location)
    experiment_id = reader.find_experiment(client, folder.location, "small")
    runs = reader.find_runs(client, experiment_id, "replicate", {})
    return Counter(run.data.tags[schema.REPLICATE_KEY] for run in runs)


def epochs_logged(folder: Folder) -> list[list[int]]:
    client = writer.client(folder.location)
    rows = folder.snapshot().rows
    return [[point.step for point in client.get_metric_history(row.run_id, "train/loss")] for row in rows]


def test_the_table_holds_what_each_replicate_gives_when_trained_alone_without_ray(
    undisturbed: Folder,
) -> None:
    sweep = spec.load(undisturbed.path / "small.yaml")
    data = planning.load_data(sweep, None)
    rows = {row.replicate_key: row for row in undisturbed.snapshot().rows}
    assert len(rows) == 6
    torch.set_num_threads(1)
    for method in sweep.methods:
        cell = sweep.cell(method, {}, data.digest, data.num_train)
        trainer = Trainer(
            sweep.task, cell.regularization, cell.training, cell.pruning.threshold, data.for_seeds([1]), [1]
        )
        trainer.advance(trainer.num_steps)
        outcome = trainer.outcomes()[0]
        row = rows[cell.replicate_key(1)]
        assert row.counts == outcome.counts
        for name, value in outcome.scores.items():
            assert row.metrics[name] == pytest.approx(value, rel=1e-6)


def test_the_printed_table_names_methods_and_seeds(undisturbed: Folder) -> None:
    again = undisturbed.run()
    assert again.returncode == 0
    assert "6 done, 0 to run" in again.stdout
    assert "ℓ1+DN+DO+P" in again.stdout


def test_curves_are_logged_once_per_epoch_and_the_cell_carries_their_means(undisturbed: Folder) -> None:
    assert epochs_logged(undisturbed) == [list(range(1, 31))] * 6
    client = writer.client(undisturbed.location)
    experiment_id = reader.find_experiment(client, undisturbed.location, "small")
    cell_runs = reader.find_runs(client, experiment_id, "cell", {})
    rows = undisturbed.snapshot().rows
    assert len(cell_runs) == 2
    for run in cell_runs:
        members = [row for row in rows if row.cell_key == run.data.tags[schema.CELL_KEY]]
        expected = sum(row.metrics["test/accuracy/after_pruning"] for row in members) / 3
        assert run.data.metrics["test/accuracy/after_pruning"] == pytest.approx(expected)
        assert run.data.metrics["n"] == 3
        assert len(client.get_metric_history(run.info.run_id, "validation/accuracy")) == 30


def test_a_killed_worker_changes_no_figure_and_doubles_no_run(undisturbed: Folder, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "killed")
    process = folder.start()
    wait_until(lambda: bool(folder.checkpoints()), process)
    workers = pack_workers(process.pid)
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
    assert epochs_logged(folder) == [list(range(1, 31))] * 6


def test_an_interrupted_sweep_is_completed_by_the_same_command(undisturbed: Folder, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "interrupted")
    process = folder.start()
    wait_until(lambda: bool(folder.checkpoints()), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "run the same command to go on" in errors
    assert len(folder.snapshot().rows) < 6
    result = folder.run()
    assert result.returncode == 0, result.stderr
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
    assert epochs_logged(folder) == [list(range(1, 31))] * 6
    assert not folder.checkpoints()


def test_another_packing_gives_the_same_table_and_more_seeds_run_only_the_new_ones(
    undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "extended")
    first = folder.run("--set", "seeds=1", "--set", "resources.pack=1")
    assert first.returncode == 0, first.stderr
    second = folder.run("--set", "resources.pack=2")
    assert "2 done, 4 to run" in second.stdout
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
