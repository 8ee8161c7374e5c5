"""Packs on GPUs: Ray is told of two that are not there, and each pack says which it was given."""

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_tasks  # noqa: F401  registers its tasks
import pytest
from rich.console import Console

from sweeps import cluster, spec
from sweeps import plan as planning
from sweeps.cluster import Capacity
from sweeps.progress import Progress
from sweeps.runner import Runner
from tracking import store

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
    import ray  # after sweeps, which sets what Ray reads when it is imported

    cluster._ensure_token()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # workers import hostile_tasks
        ray.init("local", num_cpus=4, num_gpus=2, include_dashboard=False, logging_level=logging.ERROR)
        yield Capacity(cpus=4, gpus=2, nodes=1, joined=False)
        ray.shutdown()


@pytest.mark.parametrize(("gpu", "packs", "on_each"), [(0.5, 4, 2), (1, 2, 1), (0.25, 8, 4)])
def test_packs_share_gpus_as_the_sweep_says(
    capacity: Capacity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: float, packs: int, on_each: int
) -> None:
    made = Runner._shared

    def on_cpu(self: Runner, label: str | None) -> Any:
        shared = made(self, label)
        assert shared.device == "cuda"
        return dataclasses.replace(shared, device="cpu")

    monkeypatch.setattr(Runner, "_shared", on_cpu)
    (tmp_path / "seen").mkdir()
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(packs=packs, folder=tmp_path / "seen", gpu=gpu))
    location = store.locate(folder=tmp_path / "dn-store")
    store.prepare(location)
    sweep = spec.load(tmp_path / "sweep.yaml")
    runner = Runner(sweep, planning.load_data(sweep, None), location)
    after = runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    assert (after.count("finished"), after.num_to_run) == (packs, 0)
    given = Counter(path.read_text() for path in (tmp_path / "seen").iterdir())
    assert given == {"0": on_each, "1": on_each}
