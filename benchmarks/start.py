"""How soon the first pack of a sweep has ended, beside a trial of Ray Tune that does nothing."""

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_TIMES = 5
_BARE = """
import sys

from sweeps import ray_settings

ray_settings.apply()
import ray
from ray import tune


class Nothing(tune.Trainable):
    def step(self):
        return {"done": True}


class Say(tune.Callback):
    def on_trial_complete(self, iteration, trials, trial, **info):
        print("the trial has ended", flush=True)


ray.init("local", include_dashboard=False, logging_level="ERROR")
no_checkpoint = tune.CheckpointConfig(checkpoint_at_end=False)
config = tune.RunConfig(storage_path=sys.argv[1], verbose=0, callbacks=[Say()], checkpoint_config=no_checkpoint)
tune.Tuner(Nothing, run_config=config).fit()
"""
_SWEEP = """
name: {name}
task: regression
seeds: {seeds}
training: {{epochs: 1}}
resources: {{pack: 1}}
methods: [{{label: P, l1: 0}}]
"""
_IMPORTS = """
import torch
import mlflow.store.tracking.sqlalchemy_store

print("all is imported", flush=True)
"""


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(_TIMES)]
        for folder in folders:
            folder.mkdir()
        bare = [_seconds(folder, ["-c", _BARE, str(folder)], "the trial has ended") for folder in folders]
        imports = [_seconds(folder, ["-c", _IMPORTS], "all is imported") for folder in folders]
        first = [_sweep(folder, "first", 1) for folder in folders]
        later = [_sweep(folders[0], f"later-{number}", 1) for number in range(_TIMES)]
        many = [_sweep(folders[0], f"many-{number}", os.cpu_count() or 1) for number in range(_TIMES)]
    rows = {
        "Ray Tune, a trial that does nothing": bare,
        "Python, which imports torch and MLflow's store": imports,
        "`dn sweep`, a pack of a moment, in a new store": first,
        "the same, in a store that is there": later,
        "the same, with a pack for each core": many,
    }
    return [
        f"Seconds from the command, medians of {_TIMES} (shortest to longest).",
        "",
        "| | until the first has ended, or all is imported | whole command |",
        "| --- | --: | --: |",
        *(f"| {title} | {' | '.join(map(_median, zip(*found, strict=True)))} |" for title, found in rows.items()),
    ]


def _sweep(folder: Path, name: str, seeds: int) -> tuple[float, float]:
    (folder / f"{name}.yaml").write_text(_SWEEP.format(name=name, seeds=seeds), "utf-8")
    return _seconds(folder, ["-m", "sweeps", "sweep", f"{name}.yaml"], "× 1 done")


def _seconds(folder: Path, arguments: Sequence[str], sign: str) -> tuple[float, float]:
    """Return after how many seconds Python in ``folder`` printed ``sign``, and after how many it had ended."""
    environment = {**os.environ, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    begin, seen, lines = time.perf_counter(), 0.0, []
    with subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if sign in line and not seen:
                seen = time.perf_counter() - begin
    assert child.returncode == 0, "".join(lines)
    assert seen, "".join(lines)
    return seen, time.perf_counter() - begin


def _median(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
