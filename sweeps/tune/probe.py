"""Measures what a pack costs, by training packs of growing size for a moment where the sweep will run."""

import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from sweeps.console import notify
from sweeps.planning.packing import MEMORY_SHARE, PackCost, Sample, cost_of
from sweeps.planning.plan import Pack, Plan
from sweeps.tune.memory import is_out_of_memory, keep_freed_memory

if TYPE_CHECKING:
    from dn_distributed.training import Trainer
    from sweeps.tune.context import TrialContext

SECONDS_A_SIZE = 1.0
MOST_MEASURED = 128
"""Replicates of the largest pack that is tried."""
GAIN = 0.95
"""A size is worth having where a replicate's step takes at most this share of what it takes at half the size."""


def measure(context: "TrialContext", pack: Pack, memory: float) -> tuple[list[Sample], float]:
    """Return samples of packs of 1, 2, 4, … replicates of ``pack``, and the bytes that a pack may take.

    Ends where a larger pack is no longer worth it, would not fit, or does not. ``memory``: what a pack may take on a
    CPU; a GPU says itself what it has, of which a pack gets its share.
    """
    keep_freed_memory()
    if context.device == "cuda":
        memory = torch.cuda.mem_get_info()[1] * min(1.0, context.sweep.resources.gpu)
    base = _peak(context.device)
    samples: list[Sample] = []
    for size in _sizes(len(pack.seeds)):
        try:
            seconds = _seconds_a_step(context, Pack(pack.method, pack.cell, pack.seeds[:size]))
        except Exception as error:
            if samples and is_out_of_memory(error):
                break
            raise
        samples.append(Sample(size, seconds, _peak(context.device) - base))
        if not _go_on(samples, memory):
            break
    return samples, memory


def _sizes(most: int) -> list[int]:
    """Return 1, 2, 4, … and ``most``."""
    return sorted({*(2**power for power in range(most.bit_length())), most})


def _go_on(samples: list[Sample], memory: float) -> bool:
    last = samples[-1]
    if 2 * last.memory > MEMORY_SHARE * memory:
        return False
    if len(samples) < 2:
        return True
    before = samples[-2]
    return last.seconds / last.size < GAIN * before.seconds / before.size


def _seconds_a_step(context: "TrialContext", pack: Pack) -> float:
    from sweeps.tune.pack_training import make_trainer

    trainer = make_trainer(context, pack)
    seconds = seconds_a_step(trainer, SECONDS_A_SIZE, context.device)
    trainer.validate()  # whole batches of evaluation may be the peak
    return seconds


def seconds_a_step(trainer: "Trainer", at_most: float, device: str) -> float:
    """Train for about ``at_most`` seconds and return what a step took, after those that prepare it."""
    trainer.advance(2)
    begin, steps = time.monotonic(), trainer.step
    while time.monotonic() - begin < at_most and not trainer.finished:
        trainer.advance(1)
        if device == "cuda":
            torch.cuda.synchronize()
    done = trainer.step - steps
    return (time.monotonic() - begin) / done if done else 1e-9


def _peak(device: str) -> int:
    """Return the most bytes that this process has held so far."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_on_cluster(context: "TrialContext", pack: Pack) -> tuple[list[Sample], float]:
    """Run ``measure`` where Ray would run the pack."""
    import ray

    resources = context.sweep.resources
    task = ray.remote(num_cpus=resources.cpu, num_gpus=resources.gpu, max_calls=1)(_measure_here)
    return ray.get(task.remote(context, pack))


def _measure_here(context: "TrialContext", pack: Pack) -> tuple[list[Sample], float]:
    """Only where it runs, is a node known to be there that packs fit on: a cluster may grow from zero."""
    return measure(context, pack, _memory_of_a_pack(context.sweep.resources.cpu))


def _memory_of_a_pack(cpu: float) -> float:
    """Return the bytes of the leanest node, divided among the packs that its CPUs run at once."""
    import ray

    nodes: list[dict[str, Any]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    shares: list[float] = [node["memory"] / (node["CPU"] // cpu) for node in nodes if node.get("CPU", 0) >= cpu]
    return min(shares)


def measure_packs(context: "TrialContext", plan: Plan) -> PackCost | None:
    """Return what packs cost, by training a moment with the cell that has most to run; None where none is a network."""
    from ray.exceptions import RayError

    packs = [pack for pack in plan.packs(1, PackCost({1: 1.0}, MOST_MEASURED)) if pack.cell.baseline is None]
    if not packs:
        return None
    pack, name = max(packs, key=lambda pack: len(pack.seeds)), plan.sweep.name
    try:
        samples, memory = measure_on_cluster(context, pack)
    except RayError as error:  # a bug of the task, or no room for one: its replicates say so when they run
        reason = str(error).strip().splitlines()[-1]
        notify(f"{name}: packs could not be measured and hold one replicate each: {reason}")
        return PackCost({1: 1.0}, largest=1)
    cost = cost_of(samples, memory)
    notify(f"{name}: packs hold up to {cost.largest}: {'; '.join(map(str, samples))}")
    return cost
