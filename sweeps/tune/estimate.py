"""How long a sweep will take, by steps that are measured on this machine."""

import time
from collections.abc import Hashable

from dn_distributed import random_weights
from dn_distributed.hardware import on_threads
from sweeps.planning.plan import Pack, Plan
from sweeps.tune.memory import keep_freed_memory
from sweeps.tune.pack_training import trainer_of
from sweeps.tune.probe import seconds_a_step

SECONDS_A_KIND = 0.5
MOST_KINDS = 4
"""Kinds of packs that are measured: a plan is answered within seconds."""


def seconds(plan: Plan, slots: int) -> float | None:
    """Return about how long training will take on ``slots`` places; None where that cannot be said beforehand.

    One pack of each kind takes steps for half a second, the longest kinds first; others count as the mean of these. It
    is more than it will be where units leave while training. Starting Ray and storing results are not counted.
    """
    if plan.measures_packs or plan.sweep.resources.gpu or plan.open_samples:
        return None
    packs = [pack for pack in plan.packs(slots) if pack.cell.baseline is None]
    kinds: dict[Hashable, list[Pack]] = {}
    for pack in packs:
        noise = frozenset(random_weights.COEFFICIENTS.keys() & pack.cell.regularization.keys())
        kinds.setdefault((pack.cell.phases, pack.cell.step, noise, len(pack.seeds)), []).append(pack)
    if not kinds:
        return None
    keep_freed_memory()
    most = sorted(kinds.values(), key=lambda own: -sum(len(pack.seeds) for pack in own))
    with on_threads(max(1, int(plan.sweep.resources.cpu))):
        measured = [(own, _seconds_of(plan, own[0])) for own in most[:MOST_KINDS]]
    replicates = sum(len(pack.seeds) for own, _ in measured for pack in own)
    mean = sum(len(own) * each for own, each in measured) / replicates
    others = (mean * len(pack.seeds) for own in most[MOST_KINDS:] for pack in own)
    times = [*(each for own, each in measured for _ in own), *others]
    return max(max(times), sum(times) / slots)


def _seconds_of(plan: Plan, pack: Pack) -> float:
    """Return the seconds of a pack: its steps, and what is measured after each epoch."""
    trainer = trainer_of(plan.sweep.task, pack, plan.data.for_seeds(pack.seeds), "cpu")
    step = seconds_a_step(trainer, SECONDS_A_KIND, "cpu")
    begin = time.monotonic()
    trainer.validate()
    return step * trainer.num_steps + (time.monotonic() - begin) * trainer.num_epochs
