"""The driver reads the dataset; workers get it from Ray's object store, and map it."""

import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import tests.sweeps.hostile_tasks  # noqa: F401  registers its dataset
from sweeps.cluster.connection import Capacity
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tests.tracking.stores import copy_of
from tracking.store.location import StoreLocation

SWEEP = """
name: far
task: lenet300
dataset: {{name: seldom, folder: {folder}}}
seeds: 4
training: {{epochs: 1, batch_size: 64}}
methods: [{{label: P}}]
resources: {{pack: 1}}
"""


@pytest.fixture
def runner(empty: StoreLocation, tmp_path: Path) -> Runner:
    (tmp_path / "reads").mkdir()
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(folder=tmp_path / "reads"))
    location = copy_of(empty, tmp_path / "dn-store")
    sweep = spec.load(tmp_path / "sweep.yaml")
    return Runner(sweep, load_data(sweep, None), location)


def test_only_the_driver_reads_the_dataset(runner: Runner, capacity: Capacity, tmp_path: Path) -> None:
    after = runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    assert (after.count("finished"), after.num_to_run) == (4, 0)
    (read,) = (tmp_path / "reads").iterdir()
    assert read.name.startswith(f"{os.getpid()}-")


def test_a_worker_maps_the_data_and_copies_nothing(runner: Runner, capacity: Capacity) -> None:
    import ray

    def look(context: object) -> tuple[bool, int]:
        from sweeps.tune.context import TrialContext, splits_of

        assert isinstance(context, TrialContext)
        assert context.arrays is not None
        stored = ray.get(context.arrays)["train.inputs"]  # Ray's object store gives it read-only
        return stored.flags.writeable, splits_of(context, [0]).train.inputs.data_ptr() - stored.ctypes.data

    context = runner._experiments.context(None)
    assert context.arrays is not None
    assert ray.get(ray.remote(look).remote(ray.put(context))) == (False, 0)
    assert runner._experiments.context("another search").arrays is context.arrays
    assert runner.data.shared is not None
    assert np.array_equal(ray.get(context.arrays)["train.inputs"], runner.data.shared.train.inputs.numpy())
