"""A task of one's own, as the documents have it, edited between two plans of the same file."""

import dataclasses
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from dn_distributed.config import Cell
from dn_distributed.data import Data
from dn_distributed.regularizers import PENALTIES
from dn_distributed.tasks import TASKS
from sweeps.errors import SpecError
from sweeps.planning import plan as planning
from sweeps.planning.plan import Plan
from sweeps.planning.stored import describe_unused_results
from sweeps.spec import load as spec
from sweeps.spec.sweep import Sweep

PAGE = (Path(__file__).parents[2] / "docs/how-to/add-your-own.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("```python\n# my_module.py\n")[2].partition("```")[0]
PENALTY = """
from dn_distributed.regularizers import PENALTIES
from dn_distributed.regularizers.l1 import L1


class Mine(L1):
    name = "mine"


PENALTIES["mine"] = Mine
"""
SWEEP = """
name: own
task: small_vgg
dataset: digits
seeds: 3
methods: [{label: P}, {label: L1, l1: 1.0e-4}, {label: mine, mine: 1.0e-4}]
"""

PlanOf = Callable[..., Plan]


@pytest.fixture
def plan_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanOf:
    """The plan of the sweep with the modules as they are given, and what the store holds."""
    for registry in (TASKS, PENALTIES):  # what the modules enter is taken out again
        monkeypatch.setitem(registry, "small_vgg" if registry is TASKS else "mine", None)

    def load(name: str, text: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        monkeypatch.setitem(sys.modules, name, module)
        found.loader.exec_module(module)
        return module

    def plan(
        task: str = EXAMPLE,
        penalty: str = PENALTY,
        stored: list[Cell] | None = None,
        digest: str = "d",
        text: str = SWEEP,
    ) -> Plan:
        load("my_module", task)
        load("my_penalty", penalty)
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        sweep = spec.load(tmp_path / "own.yaml")
        states = {cell.replicate_key(seed): "finished" for cell in stored or [] for seed in sweep.seeds}
        made = planning.make(sweep, Data(digest, 1000), states, {"L1": stored or []})  # type: ignore[arg-type]
        finished = {cell.key: len(sweep.seeds) for cell in stored or []}
        return dataclasses.replace(made, remarks=describe_unused_results(made, {"L1": stored or []}, finished))

    return plan


def cells(plan: Plan) -> list[Cell]:
    return [item.cell for item in plan.distinct]


def test_what_the_same_code_computed_is_done(plan_of: PlanOf) -> None:
    again = plan_of(stored=cells(plan_of()))
    assert (again.count("finished"), again.num_to_run, again.remarks) == (9, 0, ())


def test_an_edited_task_is_another_and_the_plan_says_what_stays(plan_of: PlanOf) -> None:
    wider = EXAMPLE.replace("7, 64)", "7, 200)").replace("(64, 10)", "(200, 10)")
    assert wider != EXAMPLE
    edited = plan_of(wider, stored=cells(plan_of()))
    assert (edited.count("finished"), edited.num_to_run) == (0, 9)
    assert edited.remarks == ("small_vgg has changed: 9 replicates of the old one stay under their old key",)
    assert plan_of(stored=cells(edited)).num_to_run == 9


def test_an_edited_penalty_is_another_where_it_is_used(plan_of: PlanOf) -> None:
    edited = plan_of(penalty=PENALTY + "FACTOR = 2\n", stored=cells(plan_of()))
    assert (edited.count("finished"), edited.num_to_run) == (6, 3)
    assert edited.remarks == ("mine has changed: 3 replicates of the old one stay under their old key",)


def test_other_data_of_the_same_name_are_told(plan_of: PlanOf) -> None:
    edited = plan_of(stored=cells(plan_of()), digest="e")
    assert edited.num_to_run == 9
    assert edited.remarks == ("digits has changed: 9 replicates of the old one stay under their old key",)


def test_what_was_stored_without_code_keeps_its_key(plan_of: PlanOf) -> None:
    without = [cell.model_copy(update={"code": {}}) for cell in cells(plan_of())[:2]]
    plan = plan_of(stored=without)
    assert plan.num_to_run == 9
    assert plan.remarks == (
        "small_vgg has changed since, or its code was not recorded then: "
        "6 replicates of the old one stay under their old key",
    )


def test_configurations_that_a_search_proposed_are_told_too(plan_of: PlanOf) -> None:
    text = SWEEP.replace("{label: L1, l1: 1.0e-4}", "{label: L1, l1: {loguniform: [1.0e-5, 1.0e-3]}}")
    text += "search: {algorithm: optuna, samples: 2}\n"
    before = plan_of(text=text)
    method = before.sweep.methods[1]
    proposed = before.sweep.cell(method, {"l1": 1e-4}, "d", 1000)
    assert plan_of(text=text, stored=[proposed]).open_samples == {"L1": 1}
    edited = plan_of(EXAMPLE + "\nX = 1\n", text=text, stored=[proposed])
    assert edited.open_samples == {"L1": 2}
    assert edited.remarks == ("small_vgg has changed: 3 replicates of the old one stay under their old key",)


def test_a_worker_that_has_other_code_refuses(plan_of: PlanOf) -> None:
    sweep: Sweep = plan_of().sweep
    sweep.check_code()
    other = dataclasses.replace(sweep, task=plan_of(EXAMPLE + "\nX = 1\n").sweep.task)
    with pytest.raises(RuntimeError, match="the source of small_vgg is not here what the sweep was planned with"):
        other.check_code()


def test_a_task_without_source_is_refused_while_planning(plan_of: PlanOf, tmp_path: Path) -> None:
    plan_of()
    del sys.modules["my_module"].__file__
    TASKS["small_vgg"] = type("Other", (TASKS["small_vgg"],), {"__module__": "my_module"})
    with pytest.raises(SpecError, match=r"own\.yaml: Other has no source file"):
        spec.load(tmp_path / "own.yaml")
