"""What stands in ``examples/`` runs, and does what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dn_distributed import exporting
from dn_distributed.data import DATASETS, RawImages
from tests.tracking.stores import copy_of
from tracking import load_results
from tracking.store.location import FOLDER, StoreLocation

EXAMPLES = Path(__file__).parents[1] / "examples"


def _run(*arguments: str, folder: Path) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_loop_of_ones_own_prunes_weights_and_neurons_and_keeps_what_was_learned(tmp_path: Path) -> None:
    before, after = _run(str(EXAMPLES / "own_loop.py"), folder=tmp_path).splitlines()
    numbers = r"accuracy ([\d.]+)%, (\d+) weights \(([\d.]+)% left\), (\d+) of 224 neurons, (\d+) weights as a dense"
    first, second = (re.search(numbers, line) for line in (before, after))
    assert first is not None
    assert second is not None
    assert first.groups()[1:] == ("11900", "100.0", "224", "11900")
    accuracy, weights, left, neurons, dense = (float(number) for number in second.groups())
    assert accuracy > 85
    assert accuracy > float(first[1]) - 3
    assert left < 50
    assert weights < dense < 11900
    assert neurons < 200


def test_proximal_steps_make_weights_and_neurons_zero_without_a_threshold(tmp_path: Path) -> None:
    *epochs, accuracy = _run(str(EXAMPLES / "proximal_loop.py"), folder=tmp_path).splitlines()
    left = [re.search(r"(\d+) weights, (\d+) of 224 neurons", line) for line in epochs]
    weights = [int(found[1]) for found in left if found is not None]
    assert len(weights) == 4
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 0.5 * 11900
    assert left[-1] is not None
    assert int(left[-1][2]) < 200
    assert float(accuracy.removeprefix("accuracy ").removesuffix("%")) > 85


@pytest.mark.slow
def test_a_task_and_a_dataset_of_ones_own_are_swept(empty: StoreLocation, tmp_path: Path) -> None:
    copy_of(empty, tmp_path / FOLDER)
    for name in ("own_task.py", "own_task.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    sweep = ("-m", "dn_distributed", "sweep", "own_task.yaml", "--import", "own_task", "--num-cpus", "1")
    shown = _run(*sweep, folder=tmp_path)
    assert "own-task: stripe_direction on stripes, 3 methods, 3 cells, 2 seeds: 6 replicates" in shown
    accuracies = re.search(r"test accuracy after P(.*)", shown)
    assert accuracies is not None
    assert all(float(number) > 60 for number in re.findall(r"([\d.]+) ±", accuracies[1]))
    assert "6 done, 0 to run" in _run(*sweep, "--dry-run", folder=tmp_path)


@pytest.mark.slow
def test_a_table_is_swept_without_code(empty: StoreLocation, tmp_path: Path) -> None:
    copy_of(empty, tmp_path / FOLDER)
    for name in ("table.py", "table.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    _run("table.py", folder=tmp_path)
    sweep = ("-m", "dn_distributed", "sweep", "table.yaml", "--num-cpus", "1", "--set=seeds=1")
    assert "table: network on csv, 3 methods, 3 cells, 1 seed: 3 replicates" in _run(*sweep, folder=tmp_path)
    for method in load_results("table", tmp_path / "dn-store").methods:
        assert method.chosen is not None
        (row,) = method.chosen.rows
        assert row.metrics["test/accuracy/after_pruning"] > 0.85


@pytest.mark.slow
def test_resnet18_of_torchvision_is_swept_on_colour_images(empty: StoreLocation, tmp_path: Path) -> None:
    copy_of(empty, tmp_path / FOLDER)
    for name in ("resnet18.py", "resnet18.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    ours = ("--import", "resnet18", "--num-cpus", "1")
    shown = _run("-m", "dn_distributed", "sweep", "resnet18.yaml", *ours, folder=tmp_path)
    assert "resnet18: network on colours, 2 methods, 2 cells, 1 seed: 2 replicates" in shown
    accuracies = re.search(r"test accuracy after P(.*)", shown)
    assert accuracies is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_residual_network_comes_out_smaller_and_equal(norm: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    for name in ("narrow_resnet18.py", "narrow_resnet18.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    ours = ("--import", "narrow_resnet18")
    short = [
        f"--set={change}"
        for change in ("seeds=1", "training.epochs=1", "task.width=4", f"task.norm={norm}", "pruning.threshold=0.3")
    ]
    _run("-m", "dn_distributed", "sweep", "narrow_resnet18.yaml", *ours, *short, folder=tmp_path)
    methods = {method.label: method for method in load_results("narrow-resnet18", tmp_path / "dn-store").methods}
    assert methods["DN+P"].chosen is not None
    (row,) = methods["DN+P"].chosen.rows
    compact = ("-m", "dn_distributed", "compact", row.run_id, *ours, "--out", "small")
    shown = _run(*compact, folder=tmp_path)
    before, after = map(int, re.findall(r"^total +(\d+) → (\d+) weights", shown, re.MULTILINE)[0])
    assert after < before
    assert "0 predictions changed" in shown
    small = exporting.load(tmp_path / "small")
    data = DATASETS["digits"](name="digits").load(tmp_path)
    assert isinstance(data, RawImages)
    inputs = data.test_images.float().div(255).view(-1, 1, 28, 28)
    with torch.no_grad():
        right = (small(inputs).argmax(1) == data.test_labels).double().mean()
        expected = small(inputs[:5])
    assert float(right) == pytest.approx(row.metrics["test/accuracy/after_pruning"], abs=1e-9)
    session = onnxruntime.InferenceSession(tmp_path / "small" / "model.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["output"], {"input": inputs[:5].numpy()})
    torch.testing.assert_close(torch.from_numpy(outputs), expected, rtol=1e-4, atol=1e-5)
