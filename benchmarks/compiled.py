"""What ``torch.compile`` would add: a step compiled and as it is, and the time to compile it, first and from a cache.

Needs a C++ compiler. A process compiles one task: ``python -m benchmarks.compiled TASK PACK PRECISION FOLDER``.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.trainer import cpu_ms, load, make_trainer
from dn_distributed.training import Trainer
from sweeps.tune.memory import keep_freed_memory

CASES = (
    *(("regression", 10, "float32"), ("regression", 100, "float32"), ("autoencoder", 10, "float32")),
    *(("lenet300", 10, "float32"), ("lenet300", 10, "bf16"), ("lenet5", 1, "float32")),
)
STEPS = {"regression": 400, "autoencoder": 2, "lenet300": 2, "lenet5": 1}
ROUNDS = 12


def _compile_(trainer: Trainer) -> None:
    """Compile gradients, penalties and all of a step but the optimiser, which torch takes out and has fused itself."""
    trainer.advance(1)  # what is compiled is the recorded gradient, not its recording
    learner = trainer._phase_run._whole
    learner.step_ = torch.compile(learner.step_, dynamic=False)  # type: ignore[method-assign]


def _cpu_s() -> float:
    """CPU of this process and of the compilers that it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _measure(name: str, size: int, precision: Any, data_dir: Path) -> dict[str, float]:
    keep_freed_memory()
    torch.set_num_threads(1)
    task, data = load(name, data_dir)
    plain, compiled = (make_trainer(task, data, size, precision) for _ in range(2))
    _compile_(compiled)
    begin = _cpu_s()
    compiled.advance(1)
    to_compile = _cpu_s() - begin
    plain.advance(2)
    as_it_is, faster = cpu_ms([plain, compiled], STEPS[name], ROUNDS)
    return {
        "plain": min(as_it_is),
        "compiled": min(faster),
        "ratio": statistics.median(a / b for a, b in zip(as_it_is, faster, strict=True)),
        "to_compile": to_compile,
    }


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    lines = [
        "| task | pack | precision | as it is, ms | compiled, ms | times as fast | to compile, s | from a cache, s |",
        "| --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for name, size, precision in CASES:
        command = [sys.executable, "-m", "benchmarks.compiled", name, str(size), precision, str(data_dir)]
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
            first, again = (
                json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
                for _ in range(2)
            )
        lines.append(
            f"| {name} | {size} | {precision} | {again['plain']:.3g} | {again['compiled']:.3g} | "
            f"**{again['ratio']:.2f}** | {first['to_compile']:.0f} | {again['to_compile']:.1f} |"
        )
    return [
        *lines,
        "",
        "Milliseconds of CPU per replicate and step, one thread; the ratio is the median of pairs. Seconds of CPU.",
    ]


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))))
