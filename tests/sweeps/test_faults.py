"""Faults that one machine can have. ``tests/cluster/faults.py`` has those of a cluster."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.sweeps.real_sweeps import Folder, epochs_logged, make_folder, runs_per_replicate, wait_for_checkpoint
from tracking.processes import is_gone, start_of
from tracking.store.driver import this_host
from tracking.store.location import StoreLocation

pytestmark = pytest.mark.slow


def kill(folder: Folder, number: signal.Signals) -> str:
    """Start a sweep, end its driver by a signal once there are checkpoints, and return what it said."""
    process = folder.start()
    workers = wait_for_checkpoint(folder, process)
    process.send_signal(number)
    errors = process.communicate()[1]
    for worker in workers:  # they outlive a killed driver by seconds, and go on writing
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    return errors


def assert_same(folder: Folder, undisturbed: Folder) -> None:
    assert folder.table() == undisturbed.table()
    assert set(runs_per_replicate(folder).values()) == {1}
    assert epochs_logged(folder) == epochs_logged(undisturbed)


def test_a_killed_driver_loses_nothing(empty: StoreLocation, undisturbed: Folder, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "killed", empty)
    kill(folder, signal.SIGKILL)
    again = folder.run()
    assert again.returncode == 0, again.stderr
    assert "was running" not in again.stderr  # its process is known to be dead: nobody waits for it
    assert_same(folder, undisturbed)


def test_a_damaged_checkpoint_is_told_and_passed_over(
    empty: StoreLocation, undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "damaged", empty)
    kill(folder, signal.SIGKILL)
    newest = {path.parent: path for path in sorted(folder.checkpoints())}
    for path in newest.values():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    again = folder.run()
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("is damaged: going on from the one before it") == len(newest)
    assert_same(folder, undisturbed)


def test_of_two_drivers_one_is_sent_away_and_the_other_ends_in_order_when_it_is_told_to(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "two")
    first = folder.start("--set", "training.epochs=100000")  # does not end before the second has looked
    workers = wait_for_checkpoint(folder, first)
    second = folder.run()
    assert second.returncode == 2
    assert f"small is being run by {this_host()} (process {first.pid})" in second.stderr
    assert first.poll() is None
    before = set(folder.checkpoints())
    first.send_signal(signal.SIGTERM)
    assert first.communicate(timeout=120)[1].endswith("run the same command to go on\n")
    assert first.returncode == 143
    assert all(is_gone(worker, start_of(worker)) for worker in workers)
    assert set(folder.checkpoints()) - before
    assert set(runs_per_replicate(folder).values()) == {1}


def test_a_driver_that_hangs_loses_its_place_and_nothing_else(
    empty: StoreLocation, undisturbed: Folder, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "hung", empty)
    first = folder.start()
    wait_for_checkpoint(folder, first)
    first.send_signal(signal.SIGSTOP)
    try:
        second = folder.run()
        assert second.returncode == 0, second.stderr
        assert "waiting to see whether it still does" in second.stderr
        assert_same(folder, undisturbed)
    finally:
        first.kill()
        first.wait()
