"""Finished replicates in the store that a sweep of their name does not ask for any more: the plan says how many."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dn_distributed.config import Cell
from sweeps.planning.data import fit_to_data
from sweeps.planning.plan import Plan
from sweeps.planning.stored import plan_from_store
from sweeps.spec import load as spec
from tests.tracking.fabricated import Recorder
from tracking.store.location import StoreLocation

SWEEP = "name: n\ntask: regression\nseeds: 2\nmethods: [{label: P}, {label: L, l1: 1.0e-4}]\n"
SEARCH = SWEEP.replace("1.0e-4", "{loguniform: [1.0e-5, 1.0e-3]}") + "search: {algorithm: optuna, samples: 2}\n"

PlanOf = Callable[..., Plan]


@pytest.fixture
def recorder(location: StoreLocation, request: pytest.FixtureRequest) -> Recorder:
    return Recorder(location, request.node.name)


@pytest.fixture
def plan_of(recorder: Recorder, tmp_path: Path) -> PlanOf:
    def plan(text: str = SWEEP, *finished: int) -> Plan:
        """The plan of a sweep; the seeds ``finished`` of its cells are in the store."""
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        sweep, data = fit_to_data(spec.load(tmp_path / "s.yaml"), None)
        made = plan_from_store(sweep, data, recorder.sweep)
        for item in made.cells if finished else ():
            recorder.finish(item.cell, *finished, label=item.method.label)
        return plan_from_store(sweep, data, recorder.sweep)

    return plan


def test_a_changed_sweep_says_what_it_leaves_aside(plan_of: PlanOf) -> None:
    assert plan_of(SWEEP, 0, 1).remarks == ()
    two = (
        "2 finished replicates of this name are not asked for any more: they stay under their old keys, in no table; "
        "another name for this sweep keeps them shown",
    )
    changed = plan_of(SWEEP.replace("1.0e-4", "1.0e-3"))
    assert (changed.count("finished"), changed.num_to_run, changed.remarks) == (2, 2, two)
    assert plan_of(SWEEP.replace("seeds: 2", "seeds: 1")).remarks == two
    assert plan_of(SWEEP.replace(", {label: L, l1: 1.0e-4}", "")).remarks == two
    (four,) = plan_of(SWEEP + "training: {steps: 7}\n").remarks
    assert four.startswith("4 finished replicates")
    assert plan_of(SWEEP.replace("seeds: 2", "seeds: 3")).remarks == ()


def test_one_replicate_is_told_of_as_one(plan_of: PlanOf) -> None:
    plan_of("name: n\ntask: regression\nseeds: 1\nmethods: [{label: P}]\n", 0)
    (one,) = plan_of("name: n\ntask: regression\nseeds: [1]\nmethods: [{label: P}]\n").remarks
    assert one == (
        "1 finished replicate of this name is not asked for any more: it stays under its old key, in no table; "
        "another name for this sweep keeps it shown"
    )


def test_what_a_search_proposed_is_still_part_of_the_sweep(plan_of: PlanOf, recorder: Recorder) -> None:
    plan = plan_of(SEARCH)
    for l1 in (1e-4, 2e-4, 3e-4):
        recorder.finish(proposed(plan, l1), 0, 1, label="L")
    assert plan_of(SEARCH).open_samples == {"L": 0}
    assert plan_of(SEARCH).remarks == ()
    (beyond,) = plan_of(SEARCH.replace("1.0e-3", "2.5e-4")).remarks
    assert beyond.startswith("2 finished replicates")


def test_what_a_search_proposed_under_a_label_of_before_is_told(plan_of: PlanOf, recorder: Recorder) -> None:
    recorder.finish(proposed(plan_of(SEARCH), 1e-4), 0, 1, label="L")
    renamed = plan_of(SEARCH.replace("label: L", "label: renamed"))
    assert renamed.open_samples == {"renamed": 2}
    (two,) = renamed.remarks
    assert two.startswith("2 finished replicates of this name are not asked for any more")


def proposed(plan: Plan, l1: float) -> Cell:
    return plan.sweep.cell(plan.sweep.methods[1], {"l1": l1}, plan.data.digest, plan.data.num_train)
