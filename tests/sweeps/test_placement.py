"""Packs on GPUs: Ray is told of two that are not there, and each pack says which it was given."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from rich.console import Console

import tests.sweeps.hostile_tasks  # noqa: F401  registers its tasks
from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from sweeps.cluster.ray_internals import interpreter
from sweeps.planning import plan as planning
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.tune.pack_training import make_trainer
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tests.pretended_device import DEVICE, pretended, without_values
from tests.tracking.stores import copy_of
from tracking.store import runs
from tracking.store.location import StoreLocation

SWEEP = """
name: placed
task: {{name: meeting, num: {packs}, folder: {folder}}}
dataset: {{name: linear_scripted, samples: 50}}
seeds: {packs}
training: {{epochs: 1}}
methods: [{{label: L1, l1: 1.0e-3}}]
resources: {{pack: 1, cpu: 0.5, gpu: {gpu}}}
"""


@pytest.fixture(scope="module")
def capacity() -> Iterator[Capacity]:
    import ray

    connection._ensure_token()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # workers import tests
        options: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR}
        ray.init("local", num_cpus=4, num_gpus=2, runtime_env=interpreter(), **options)
        yield Capacity(cpus=4, gpus=2, nodes=1, joined=False)
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "packs", "on_each"), [(0.5, 4, 2), (1, 2, 1), (0.25, 8, 4)])
def test_packs_share_gpus_as_the_sweep_says(
    capacity: Capacity, empty: StoreLocation, tmp_path: Path, gpu: float, packs: int, on_each: int
) -> None:
    """Each goes to the GPU that it was given; where there is none, it fails because there is none."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(packs=packs, folder=tmp_path / "seen", gpu=gpu))
    location = copy_of(empty, tmp_path / "dn-store")
    sweep = spec.load(tmp_path / "sweep.yaml")
    runner = Runner(sweep, load_data(sweep, None), location)
    after = runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    given = Counter(path.read_text() for path in (tmp_path / "seen").iterdir())
    assert given == {"0": on_each, "1": on_each}
    if torch.cuda.device_count() >= 2:
        assert after.count("finished") == packs
        return
    reasons = [item.reason for item in runs.read_states(runner.sweep_store) if item.state == "failed"]
    assert len(reasons) == packs
    assert all("NVIDIA" in reason or "CUDA" in reason for reason in reasons), reasons


@pytest.mark.parametrize("task", ["regression", "autoencoder", "lenet300"])
def test_a_pack_is_trained_on_the_device_that_it_is_given(task: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        f"name: n\ntask: {task}\ndataset: {'linear_scripted' if task == 'regression' else 'digits'}\n"
        "training: {steps: 2, batch_size: 8}\nmethods: [{label: M, l1: 1.0e-4, dn: 1.0e-4, dropout: 0.5}]\n"
    )
    sweep = spec.load(tmp_path / "sweep.yaml")
    data = load_data(sweep, None)
    splits = data.for_seeds(sweep.seeds)
    (pack,) = planning.make(sweep, data, {}, {}).packs(1)
    context = SimpleNamespace(sweep=sweep, threads=1, device=DEVICE)
    with pretended(), mock.patch("sweeps.tune.pack_training.splits_of", return_value=without_values(splits)):
        trainer = make_trainer(context, pack)  # type: ignore[arg-type]
        trainer.advance(2)
        assert len(trainer.outcomes()) == 1
    assert trainer.replicas.values.device.type == DEVICE
