"""One real sweep of a task and a penalty that workers learn of from the user's modules, and what follows edits."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracking.stores import copy_of
from tracking.store.location import FOLDER, StoreLocation

FILES = {
    "my_sizes.py": "HIDDEN = 6\n",
    "my_task.py": """
from typing import Literal

import my_sizes

from dn_distributed.tasks import TASKS
from dn_distributed.tasks.regression import LinearStack, Regression


class Mine(Regression):
    name: Literal["mine"] = "mine"

    def network(self):
        return LinearStack((my_sizes.HIDDEN,), False)


TASKS["mine"] = Mine
""",
    "my_penalty.py": """
from dn_distributed.regularizers import PENALTIES
from dn_distributed.regularizers.l1 import L1


class Half(L1):
    name = "half"

    def value(self, tensor, leading=0):
        return 0.5 * super().value(tensor, leading)

    def add_gradient_(self, tensor, gradient, leading=0):
        gradient.add_(tensor.sign(), alpha=0.5 * self.coefficient)


PENALTIES["half"] = Half
""",
    "own.yaml": """
name: own
task: mine
dataset: {name: linear_scripted, samples: 40}
seeds: 2
training: {epochs: 2}
methods: [{label: half, half: 2.0}, {label: whole, l1: 1.0}]
""",
}


@pytest.mark.slow
def test_a_task_and_a_penalty_of_ones_own_from_the_first_sweep_to_an_edit(empty: StoreLocation, tmp_path: Path) -> None:
    copy_of(empty, tmp_path / FOLDER)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def sweep(*extra: str) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-m",
            "sweeps.cli",
            "sweep",
            "own.yaml",
            "--num-cpus",
            "1",
            "--import",
            "my_task",
            "--import",
            "my_penalty",
        ]
        return subprocess.run([*command, *extra], cwd=tmp_path, text=True, capture_output=True, check=False)

    def edit(name: str, before: str, after: str) -> None:
        (tmp_path / name).write_text(FILES[name].replace(before, after), encoding="utf-8")

    first = sweep()
    assert first.returncode == 0, first.stderr
    score = next(line for line in first.stdout.splitlines() if "test nmse before P" in line)
    assert len(set(score.replace("test nmse before P", "").split("  ")) - {""}) == 1  # half of 2 is 1
    assert "4 done, 0 to run" in sweep("--dry-run").stdout

    edit("my_sizes.py", "6", "9")
    edited = sweep("--dry-run").stdout
    assert "0 done, 4 to run" in edited
    assert "mine has changed: 4 replicates of the old one stay under their old key" in edited

    edit("my_sizes.py", "", "")
    edit("my_penalty.py", "alpha=0.5 * ", "alpha=")
    refused = sweep("--dry-run")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        "dn: own.yaml:3: task: 'mine' cannot be trained: penalty 'half': add_gradient_() does not add the gradient of "
        "value()"
    ]
