"""Real sweeps through Ray and MLflow, undisturbed and disturbed: the table must come out the same."""

import os
import signal
from pathlib import Path

import pytest
import torch

from dn_distributed.training import Trainer
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from tests.sweeps.real_sweeps import Folder, epochs_logged, make_folder, runs_per_replicate, wait_for_checkpoint
from tracking import schema
from tracking.store.client import search
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore


def test_the_table_holds_what_each_replicate_gives_when_trained_alone_without_ray(
    undisturbed: Folder,
) -> None:
    sweep = spec.load(undisturbed.path / "small.yaml")
    data = load_data(sweep, None)
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
    client = connect(undisturbed.location)
    sweep = SweepStore.find(undisturbed.location, "small")
    cell_runs = search(sweep.client, sweep.experiment_id, {schema.KIND: "cell"})
    rows = undisturbed.snapshot().rows
    assert len(cell_runs) == 2
    for run in cell_runs:
        members = [row for row in rows if row.cell_key == run.data.tags[schema.CELL_KEY]]
        expected = sum(row.metrics["test/accuracy/after_pruning"] for row in members) / 3
        assert run.data.metrics["test/accuracy/after_pruning"] == pytest.approx(expected)
        assert run.data.metrics["n"] == 3
        assert len(client.get_metric_history(run.info.run_id, "validation/accuracy")) == 30


@pytest.mark.slow
def test_a_killed_worker_changes_no_figure_and_doubles_no_run(
    empty: StoreLocation, undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "killed", empty)
    process = folder.start()
    for worker in wait_for_checkpoint(folder, process):
        os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
    assert epochs_logged(folder) == [list(range(1, 31))] * 6


@pytest.mark.slow
def test_an_interrupted_sweep_is_completed_by_the_same_command(
    empty: StoreLocation, undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "interrupted", empty)
    process = folder.start()
    wait_for_checkpoint(folder, process)
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


@pytest.mark.slow
def test_another_packing_gives_the_same_table_and_more_seeds_run_only_the_new_ones(
    empty: StoreLocation, undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "extended", empty)
    first = folder.run("--set", "seeds=1", "--set", "resources.pack=1")
    assert first.returncode == 0, first.stderr
    second = folder.run("--set", "resources.pack=2")
    assert "2 done, 4 to run" in second.stdout
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
