"""``dn compact`` in a process of its own, with a task of one's own."""

import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dn_distributed import exporting

OWN_TASK = Path(__file__).parents[2] / "examples" / "own_task.py"

UNTRACEABLE = """
from collections import OrderedDict
from typing import Literal

from torch import nn

import dn_distributed as dn
from own_task import StripeDirection


class Branching(nn.Sequential):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@dn.register_task
class BranchingTask(StripeDirection):
    name: Literal["branching"] = "branching"

    def network(self):
        return Branching(OrderedDict(super().network().named_children()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the modules, and weights of which half of the hidden neurons are dead."""
    shutil.copy(OWN_TASK, tmp_path)
    (tmp_path / "branching.py").write_text(UNTRACEABLE)
    network = nn.Sequential(OrderedDict(fc1=nn.Linear(784, 30), relu=nn.ReLU(), fc2=nn.Linear(30, 4)))
    with torch.no_grad():
        network.get_parameter("fc1.weight")[::2] = 0
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sweeps.cli", "compact", *arguments]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)


def test_a_task_of_ones_own_is_made_smaller(folder: Path) -> None:
    own = ("--task", "stripe_direction", "--import", "own_task", "--threshold", "0", "--no-onnx")
    done = run(folder, "weights.safetensors", "--out", "small", *own)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fc1  784 → 784 inputs, 30 → 15 units" in done.stdout
    assert "same outputs on 500 test samples" in done.stdout
    assert "0 predictions changed" in done.stdout
    assert exporting.load(folder / "small")(torch.rand(3, 784)).shape == (3, 4)


def test_a_network_that_cannot_be_traced_is_one_line_and_nothing_is_written(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    own = ("--task", "branching", "--import", "own_task", "--import", "branching", "--no-onnx")
    done = run(folder, "weights.safetensors", "--out", "small", *own)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Branching" in done.stderr
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == before


def test_what_is_unknown_is_one_line_and_nothing_is_written(folder: Path) -> None:
    done = run(folder, "weights.safetensors", "--out", "small", "--task", "stripe_direction")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dn: --task: task: unknown task 'stripe_direction'; valid: regression, ")
    assert not (folder / "small").exists()
