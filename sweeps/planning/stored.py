"""The plan of a sweep as the store stands, and results there that were made by older code or of older data."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dn_distributed import own_code
from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps.planning import plan as planning
from sweeps.planning.plan import Plan
from sweeps.spec.sweep import Sweep
from tracking.results import rows as reader
from tracking.store import runs
from tracking.store.sweep_store import SweepStore


def plan_from_store(sweep: Sweep, data: Data, sweep_store: SweepStore) -> Plan:
    """Return the plan of a sweep as the store stands."""
    outcomes = runs.read_outcomes(sweep_store)
    states = {key: outcome.state for key, outcome in outcomes.items() if outcome.state != "incomplete"}
    stored = reader.read_cells(sweep_store)
    plan = planning.make(sweep, data, states, stored)
    planned = {item.cell.key for item in plan.distinct}
    others = [cell for cell in itertools.chain.from_iterable(stored.values()) if cell.key not in planned]
    if not others:
        return plan
    finished = Counter(item.cell_key for item in runs.read_states(sweep_store) if item.state == "finished")
    return replace(plan, remarks=describe_outdated_results(plan, others, finished))


def describe_outdated_results(plan: Plan, stored: Iterable[Cell], finished: Mapping[str, int]) -> tuple[str, ...]:
    """Return a line for each kind of stored result that only code or data of now would make a result of the sweep.

    ``finished``: how many replicates of a cell have a result, by its key.
    """
    counts: Counter[str] = Counter()
    planned = {item.cell.key for item in plan.distinct}
    for cell in {cell.key: cell for cell in stored if finished.get(cell.key) and cell.key not in planned}.values():
        now = plan.sweep.with_current_code_and_data(cell, plan.data.digest)
        if now != cell and (now.key in planned or _is_proposed(plan, now)):
            counts[_what_changed(cell, now)] += finished[cell.key]
    return tuple(
        f"{what}: {count} replicate{'s' * (count > 1)} of the old one stay{'s' * (count == 1)} under "
        f"{'its' if count == 1 else 'their'} old key"
        for what, count in counts.items()
    )


def _is_proposed(plan: Plan, cell: Cell) -> bool:
    """Whether a search might propose the cell."""
    sweep, data = plan.sweep, plan.data
    adaptive = [method for method in sweep.methods if sweep.adaptive(method)]
    return any(sweep.assignment_of(method, cell, data.digest, data.num_train) is not None for method in adaptive)


def _what_changed(before: Cell, now: Cell) -> str:
    known = own_code.display_names({**before.code, **now.code}, now.task["name"], now.dataset["name"])
    changed = [name for part, name in known.items() if before.code.get(part) != now.code.get(part)]
    unknown = all(part not in before.code for part, name in known.items() if name in changed)
    if before.dataset_digest != now.dataset_digest:
        changed, unknown = [*changed, now.dataset["name"]], False
    subject = " and ".join(dict.fromkeys(changed))
    verb = "have" if len(set(changed)) > 1 else "has"
    return f"{subject} {verb} changed" + " since, or its code was not recorded then" * unknown
