"""The plan of a sweep as the store stands, and results there that it leaves aside: of older code, data or files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dn_distributed import own_code
from dn_distributed.config import Cell
from dn_distributed.data import Data
from dn_distributed.text import counted
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
    done = {key for key, state in states.items() if state == "finished"}
    if len(done) == plan.count("finished"):
        return plan
    finished = Counter(item.cell_key for item in runs.read_states(sweep_store) if item.replicate_key in done)
    return replace(plan, remarks=describe_unused_results(plan, stored, finished))


def describe_unused_results(
    plan: Plan, stored: Mapping[str, Sequence[Cell]], finished: Mapping[str, int]
) -> tuple[str, ...]:
    """Return a line for each kind of stored result that is none of the plan's.

    Of some the sweep would have results, were it not for code or data of now; others its file does not ask for. What a
    search proposed beyond its samples is neither. ``stored``: by label; ``finished``: by a cell's key, how many of its
    replicates are.
    """
    counts: Counter[str] = Counter()
    left = sum(finished.values()) - plan.count("finished")
    planned = {item.cell.key for item in plan.distinct}
    found = {cell.key: (label, cell) for label, cells in stored.items() for cell in cells}
    for label, cell in (known for key, known in found.items() if finished.get(key) and key not in planned):
        now = plan.sweep.with_current_code_and_data(cell, plan.data.digest)
        if now != cell and (now.key in planned or _is_proposed(plan, now)):
            counts[_what_changed(cell, now)] += finished[cell.key]
        elif not _is_proposed(plan, cell, label):
            continue
        left -= finished[cell.key]
    lines = [
        f"{what}: {counted(count, 'replicate')} of the old one stay{'s' * (count == 1)} under "
        f"{'its' if count == 1 else 'their'} old key"
        for what, count in counts.items()
    ]
    return (*lines, *[_not_asked_for(left)] * bool(left))


def _not_asked_for(count: int) -> str:
    if count == 1:
        return (
            "1 finished replicate of this name is not asked for any more: it stays under its old key, in no table; "
            "another name for this sweep keeps it shown"
        )
    return (
        f"{count} finished replicates of this name are not asked for any more: they stay under their old keys, in no "
        "table; another name for this sweep keeps them shown"
    )


def _is_proposed(plan: Plan, cell: Cell, label: str | None = None) -> bool:
    """Whether a search might propose the cell: that of the method with this label, if there is one given."""
    sweep, data = plan.sweep, plan.data
    adaptive = [method for method in sweep.methods if sweep.adaptive(method) and label in (None, method.label)]
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
