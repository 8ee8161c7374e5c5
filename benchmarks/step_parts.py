"""Where the time of a step goes, beside what its products alone need."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.trainer import STEPS, limit_ms, load, make_trainer
from dn_distributed.config import Precision
from dn_distributed.regularizers import PENALTIES
from dn_distributed.replicas import Replicas
from dn_distributed.training.batches import Batches
from dn_distributed.training.optimizer import Optimizer
from sweeps.tune.memory import keep_freed_memory

PACKS = {"regression": 10, "autoencoder": 10, "lenet300": 10, "lenet5": 1}
ROUNDS = 8
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
FUNCTIONS: dict[str, list[tuple[type, str]]] = {
    "gradient of the loss": [(Replicas, "write_loss_gradient_")],
    "of the penalties": [(penalty, "add_gradient_") for penalty in PENALTIES.values()],
    "optimiser": [(Optimizer, "step_")],
    "batch": [(Batches, "at")],
}
"""By part of a step, what does it."""


def run(data_dir: Path) -> list[str]:
    """Return the table as Markdown lines."""
    keep_freed_memory()
    torch.set_num_threads(1)
    lines = [
        f"| task | pack | products in | whole step | {' | '.join(FUNCTIONS)} | rest | products alone | share |",
        f"| --- | --: | --- | --: | {' | '.join('--:' for _ in FUNCTIONS)} | --: | --: | --: |",
    ]
    for name, size in PACKS.items():
        task, data = load(name, data_dir)
        for precision in PRECISIONS:
            trainer = make_trainer(task, data, size, precision)
            trainer.advance(STEPS[name])
            rounds = [_parts(partial(trainer.advance, STEPS[name])) for _ in range(ROUNDS)]
            best = min(rounds, key=lambda parts: sum(parts.values()))
            parts = {part: 1000 * seconds / STEPS[name] / size for part, seconds in best.items()}
            whole, alone = sum(parts.values()), limit_ms(task, data, precision)
            found = " | ".join(f"{ms:.2g}" for ms in parts.values())
            lines.append(
                f"| {name} | {size} | {precision} | {whole:.3g} | {found} | {alone:.3g} | {alone / whole:.2f} |"
            )
    lines += [
        "",
        "Milliseconds of CPU per replicate and step with ℓ1 and both of DropNeuron's penalties, one thread, of",
    ]
    return [*lines, f"{ROUNDS} rounds the quickest. Products alone: as in table (a), in this precision."]


def _parts(work: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of CPU of each part of a training, and of the rest."""
    seconds = dict.fromkeys(FUNCTIONS, 0.0)
    with ExitStack() as stack:
        for part, functions in FUNCTIONS.items():
            for owner, name in functions:
                stack.enter_context(_timed(owner, name, seconds, part))
        begin = time.process_time()
        work()
        whole = time.process_time() - begin
    return {**seconds, "rest": whole - sum(seconds.values())}


@contextmanager
def _timed(owner: type, name: str, seconds: dict[str, float], part: str) -> Iterator[None]:
    """Within, a method's time is added up."""
    method = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            seconds[part] += time.process_time() - begin

    with mock.patch.object(owner, name, timed):
        yield
