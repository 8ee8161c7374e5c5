"""A sweep whose packs share an NVIDIA GPU. Skipped, visibly, where there is none."""

from pathlib import Path

import pytest
import torch

from dn_distributed import score_names
from tests.sweeps.real_sweeps import make_folder
from tracking.store.location import StoreLocation

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
    pytest.mark.slow,
]


def test_a_sweep_trains_on_a_gpu_what_it_trains_on_a_cpu(empty: StoreLocation, tmp_path: Path) -> None:
    """With packs of a size that is measured. Dropout's draws are the device's own, so its method's scores differ."""
    rows = {}
    for name, extra in {"cpu": [], "gpu": ["--set", "resources.gpu=0.5", "--set", "resources.pack=auto"]}.items():
        folder = make_folder(tmp_path / name, empty, num_cpus=2)
        done = folder.run(*extra)
        assert done.returncode == 0, done.stderr
        rows[name] = {(row.cell_key, row.seed): row.metrics for row in folder.snapshot().rows}
    score = score_names.final("test", "accuracy", "after_pruning")
    assert len(rows["cpu"]) == 6
    assert rows["gpu"].keys() == rows["cpu"].keys()
    for key, on_gpu in rows["gpu"].items():
        assert on_gpu[score] == pytest.approx(rows["cpu"][key][score], abs=0.03)
