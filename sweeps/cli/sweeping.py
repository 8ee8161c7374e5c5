"""What ``dn sweep`` does: plan, run what is missing, table. A module of its own, as it imports Ray and torch."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from dn_distributed.data import Data
from dn_distributed.text import counted
from sweeps.cli import report
from sweeps.cluster.connection import Capacity
from sweeps.console import notify, out, said_if_long
from sweeps.ending import Ending
from sweeps.errors import ClusterError, SpecError
from sweeps.exit_codes import FAILED, OK
from sweeps.planning import plan as planning
from sweeps.planning.data import fit_to_data
from sweeps.planning.plan import Plan
from sweeps.planning.stored import plan_from_store
from sweeps.running import Settings, describe_stored, session, shortfall, silence_tune
from sweeps.spec import load as spec
from sweeps.spec.own_modules import OwnModules
from sweeps.spec.sweep import Sweep
from sweeps.tune.progress import Progress
from tracking.results.status import in_words
from tracking.store import access
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore


@dataclass(frozen=True)
class SweepOptions:
    """The options of ``dn sweep``."""

    files: Sequence[Path]
    overrides: Sequence[str]
    data_dir: Path | None
    modules: OwnModules
    tracking_uri: str | None
    dry_run: bool
    as_json: bool
    address: str | None
    slots: int | None
    num_cpus: int | None
    retry_failed: bool
    checkpoint_seconds: float
    report_dir: Path | None
    debug: bool


def sweep(options: SweepOptions, ending: Ending) -> int:
    """Plan, run what is missing, and print the table of each sweep; returns the exit code."""
    loaded = [_fitted(item, options) for item in _load(options)]
    location = access.locate_answering(options.tracking_uri)
    slots = _slots(options)
    if options.dry_run:
        _say_plans([_plan_of(item, its_data, location) for item, its_data in loaded], options, slots)
        return OK
    if not options.debug:
        silence_tune()
    settings = Settings(
        modules=options.modules,
        address=options.address,
        num_cpus=options.num_cpus,
        slots=options.slots,
        retry_failed=options.retry_failed,
        checkpoint_seconds=options.checkpoint_seconds,
    )
    code = OK
    with session(location, settings, ending) as here:
        for item, its_data in loaded:
            runner = here.runner(item, its_data)
            plan = runner.plan()
            _print_plan(plan, slots)
            after = here.run(runner, plan, Progress(out))
            if runner.interrupted:
                ending.tell_interrupted(f"{describe_stored(after)}, ")
                return ending.code
            out.print(runner.results())
            for line in shortfall(after):
                notify(line)
                code = FAILED
            if options.report_dir:
                report.write(location, item.name, options.report_dir / item.name, options.data_dir)
    return code


def _load(options: SweepOptions) -> list[Sweep]:
    loaded = [spec.load(path, options.overrides) for path in options.files]
    names = [item.name for item in loaded]
    for item in loaded:
        if names.count(item.name) > 1:
            raise SpecError(f"{item.path}: name: {item.name!r} is the name of another sweep file as well")
    return loaded


def _fitted(item: Sweep, options: SweepOptions) -> tuple[Sweep, Data]:
    with said_if_long(f"{item.name}: reads the data and tries whether the network can be trained"):
        return fit_to_data(item, options.data_dir, download=not options.dry_run)


def _plan_of(item: Sweep, data: Data, location: StoreLocation) -> Plan:
    """The plan as the store stands, which is not touched. StoreError where the sweep was deleted from it."""
    found = SweepStore.find_or_none(location, item.name) if access.exists(location) else None
    if found is None:
        return planning.make(item, data, {}, {})
    return plan_from_store(item, data, found)


def _say_plans(plans: Sequence[Plan], options: SweepOptions, slots: Callable[[float], int] | None) -> None:
    if options.as_json:
        out.say(json.dumps([_as_json(plan, options, slots) for plan in plans], indent=1, ensure_ascii=False))
        return
    for plan in plans:
        _print_plan(plan, slots)
        if share := plan.sweep.coverage:
            out.say(f"penalties, pruning and counts are {share.words}")
        if (lack := _lack(plan, options)) is not None:
            out.say(f"does not run here: {lack}")
        with said_if_long(f"{plan.sweep.name}: measures steps, to say how long training takes"):
            seconds = _seconds(plan, slots)
        if seconds is not None:
            out.say(f"training takes about {in_words(seconds)} here, by steps measured just now")


def _slots(options: SweepOptions) -> Callable[[float], int] | None:
    """How many packs of so many CPUs run at once; None for a cluster, which is known only once it is joined."""
    if (slots := options.slots) is not None:
        return lambda cpu: slots
    if options.address is not None:
        return None
    return lambda cpu: max(1, int((options.num_cpus or os.cpu_count() or 1) / cpu))


def _print_plan(plan: Plan, slots: Callable[[float], int] | None) -> None:
    sweep = plan.sweep
    failed, stopped = plan.count("failed"), plan.count("stopped")
    drawn = sum(plan.open_samples.values())
    ended = f", {failed} failed" * bool(failed) + f", {stopped} stopped early" * bool(stopped)
    text = (
        f": {sweep.task.name} on {sweep.dataset.name}, {counted(len(sweep.methods), 'method')}, "
        f"{counted(len(plan.distinct), 'cell')}, {counted(len(sweep.seeds), 'seed')}: "
        f"{counted(plan.total, 'replicate')}; "
        f"{plan.count('finished')} done{ended}, {plan.num_to_run} to run"
        + (_packs_in_words(plan, slots) if plan.count(None, "incomplete") else "")
        + (f", {counted(drawn, 'configuration')} still to be drawn" if drawn else "")
    )
    out.print(Text.assemble((sweep.name, "bold"), text), soft_wrap=True)
    for remark in plan.remarks:
        out.say(remark)


def _seconds(plan: Plan, slots: Callable[[float], int] | None) -> float | None:
    """About how long training takes on this machine; None where it is done elsewhere, or cannot be known."""
    from sweeps.tune import estimate

    return None if slots is None else estimate.seconds(plan, slots(plan.sweep.resources.cpu))


def _lack(plan: Plan, options: SweepOptions) -> str | None:
    """Return why this machine has no room for a pack of the plan; None where it has, or where they run elsewhere."""
    if options.address is not None or options.slots is not None:
        return None
    import torch

    asked = plan.sweep.resources
    here = Capacity(options.num_cpus or os.cpu_count() or 1, torch.cuda.device_count(), nodes=1, joined=False)
    try:
        here.slots(asked.cpu, asked.gpu)
    except ClusterError as error:
        return str(error)
    return None


def _as_json(plan: Plan, options: SweepOptions, slots: Callable[[float], int] | None) -> dict[str, Any]:
    sweep = plan.sweep
    return {
        "name": sweep.name,
        "task": sweep.task.name,
        "dataset": sweep.dataset.name,
        "methods": [method.label for method in sweep.methods],
        "cells": len(plan.distinct),
        "seeds": len(sweep.seeds),
        "replicates": plan.total,
        "done": plan.count("finished"),
        "failed": plan.count("failed"),
        "stopped": plan.count("stopped"),
        "to_run": plan.num_to_run,
        "packs": None if slots is None or plan.measures_packs else _num_packs(plan, slots),
        "counted": sweep.coverage and sweep.coverage.words,
        "seconds": _seconds(plan, slots),
        "does_not_run_here": _lack(plan, options),
        "configurations_to_draw": sum(plan.open_samples.values()),
        "remarks": list(plan.remarks),
    }


def _packs_in_words(plan: Plan, slots: Callable[[float], int] | None) -> str:
    if plan.measures_packs:
        return " in packs whose size is measured first"
    if slots is None:
        return " in packs that fit the cluster's room"
    return f" in {counted(_num_packs(plan, slots), 'pack')}"


def _num_packs(plan: Plan, slots: Callable[[float], int]) -> int:
    return len(plan.packs(slots(plan.sweep.resources.cpu)))
