"""A training at its full length: the tutorial way, and whole sweeps of this project, nothing extrapolated."""

import tempfile
from pathlib import Path

import yaml

from benchmarks import whole_sweep
from dn_distributed.tasks import TASKS
from sweeps import load
from sweeps.cluster import connection
from sweeps.spec.sweep import Sweep

TASK, SEEDS, THEIR_SEEDS = "lenet300", 4, 2
RECIPE = Path(__file__).parents[1] / "sweeps" / "recipes" / "lenet300-20x.yaml"


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    epochs = TASKS[TASK].default_training.epochs
    assert epochs is not None
    with tempfile.TemporaryDirectory() as name, connection.connect(None) as capacity:
        folder = Path(name)
        tutorial = whole_sweep.theirs(TASK, data_dir, THEIR_SEEDS, epochs, -1, folder) / THEIR_SEEDS
        lines = [f"| the tutorial way, float32 | {THEIR_SEEDS} | {epochs} | {tutorial:.3g} | |"]
        for what, sweep in _sweeps(epochs).items():
            seconds = whole_sweep.ours(sweep, data_dir, capacity, folder) / SEEDS
            lines.append(f"| {what} | {SEEDS} | {_epochs(sweep)} | {seconds:.3g} | **{tutorial / seconds:.1f}** |")
    return [
        f"{TASK}, from the plan to the means in the store, on both cores; Ray's own start is not counted.",
        "",
        "| training | seeds | epochs | s per replicate | times as fast |",
        "| --- | --: | --: | --: | --: |",
        *lines,
    ]


def _epochs(sweep: Sweep) -> int:
    training = yaml.safe_load(sweep.source)["training"]
    return sum(phase["epochs"] for phase in (training if isinstance(training, list) else [training]))


def _sweeps(epochs: int) -> dict[str, Sweep]:
    plain = {
        "task": TASK,
        "seeds": SEEDS,
        "training": {"epochs": epochs},
        "methods": [{"label": "ℓ1+DN", "l1": 1e-5, "dn": 5e-5}],
    }
    shrinking = {f"training.{phase}.precision": "bf16" for phase in range(3)} | {"seeds": SEEDS}
    return {
        "float32": load({**plain, "name": "full-float32"}),
        "bf16": load({**plain, "name": "full-bf16"}, {"training.precision": "bf16"}),
        "the recipe `lenet300-20x`, in bf16, whose units leave": load(RECIPE, shrinking),
    }
