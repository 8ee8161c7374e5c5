"""One real sweep whose penalties reach filters, with batch normalisation between them: trained, stored, reported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tracking.stores import copy_of
from tracking import schema
from tracking.results import rows as reader
from tracking.store import artifacts, location
from tracking.store.location import FOLDER, StoreLocation
from tracking.store.sweep_store import SweepStore

FILES = {
    "my_task.py": """
from collections import OrderedDict
from typing import Literal

from torch import nn

import dn_distributed as dn
from dn_distributed.tasks.lenet5 import LeNet5


@dn.register_task
class Normed(LeNet5):
    name: Literal["normed"] = "normed"

    def network(self):
        return nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, stride=2), bn1=nn.BatchNorm2d(6), relu1=nn.ReLU(),
            conv2=nn.Conv2d(6, 8, 5, stride=2), bn2=nn.BatchNorm2d(8), relu2=nn.ReLU(), flatten=nn.Flatten(),
            fc1=nn.Linear(128, 12), relu3=nn.ReLU(), dropout=nn.Dropout(), fc2=nn.Linear(12, 10),
        ))

    initialize = dn.Task.initialize  # as network() draws it
""",
    "normed.yaml": """
name: normed
task: {name: normed, filters: true}
dataset: digits
seeds: 2
training: {epochs: 4, batch_size: 32, learning_rate: 0.01}
methods:
  - {label: P}
  - {label: ℓ1+DN+DO+P, l1: 2e-3, dn: 5e-2, dropout: 0.1}
""",
}


@pytest.mark.slow
def test_filters_are_dropped_in_a_sweep_of_a_network_with_batch_normalisation(
    empty: StoreLocation, tmp_path: Path
) -> None:
    copy_of(empty, tmp_path / FOLDER)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def dn(*arguments: str) -> str:
        command = [sys.executable, "-m", "sweeps.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    table = dn("sweep", "normed.yaml", "--num-cpus", "1", "--import", "my_task")
    assert "neurons conv2" in table
    at = location.locate(folder=tmp_path / FOLDER)
    rows = reader.read(SweepStore.find(at, "normed")).rows
    counts = sorted((row.counts for row in rows), key=lambda counts: counts.density)
    assert {tuple(unit.name for unit in each.units) for each in counts} == {("input", "conv1", "conv2", "fc1", "fc2")}
    sparse, dense = (sum(unit.alive for each in part for unit in each.units[1:3]) for part in (counts[:2], counts[2:]))
    assert sparse < dense == 2 * (6 + 8)
    weights = load_file(artifacts.path_of(at, rows[0].run_id, schema.WEIGHTS_FILE))
    assert {name for name in weights if "running" in name} == {
        f"{norm}.running_{kind}" for norm in ("bn1", "bn2") for kind in ("mean", "var")
    }
    assert not torch.equal(weights["bn1.running_mean"], torch.zeros(6))
    dn("report", "normed", "--out", "report", "--import", "my_task")
    found = json.loads((tmp_path / "report" / "rows.json").read_text(encoding="utf-8"))
    assert {len(layer) for row in found["replicates"] for layer in row["layers"]} == {3, 5}
    dn("compact", rows[0].run_id, "--out", "small", "--import", "my_task")
    assert (tmp_path / "small" / "model.safetensors").is_file()
