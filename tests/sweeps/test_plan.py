from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dn_distributed.config import Cell
from dn_distributed.data import Data
from dn_distributed.scores import ACCURACY
from sweeps.planning import plan as planning
from sweeps.planning.data import load_data
from sweeps.planning.manifest import manifest_of
from sweeps.planning.plan import Plan, PlannedCell
from sweeps.spec import load as spec
from tracking.store.runs import State

DATA = Data("digest", 1000)
TEXT = "name: n\ntask: lenet300\ndataset: digits\nseeds: 4\nmethods: [{label: P}, {label: L1, l1: 1e-5}]\n"


def make(tmp_path: Path, states: Mapping[str, State] | None = None, text: str = TEXT) -> Plan:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return planning.make(spec.load(path), DATA, states or {}, {})


def keys(cell: Cell, *seeds: int) -> list[str]:
    return [cell.replicate_key(seed) for seed in seeds]


def test_with_an_empty_store_everything_is_to_run(tmp_path: Path) -> None:
    plan = make(tmp_path)
    assert (plan.total, plan.num_to_run, plan.count("finished")) == (8, 8, 0)
    assert sorted(seed for pack in plan.packs(2) for seed in pack.seeds) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_is_finished_or_failed_is_not_run_again(tmp_path: Path) -> None:
    cell = make(tmp_path).cells[0].cell
    decided: list[State] = ["finished", "failed"]
    plan = make(tmp_path, dict(zip(keys(cell, 0, 1), decided, strict=True)))
    assert plan.num_to_run == 6
    assert [seed for pack in plan.packs(2) if pack.cell == cell for seed in pack.seeds] == [2, 3]


def test_of_what_had_failed_alone_nothing_else_is_run(tmp_path: Path) -> None:
    cell = make(tmp_path).cells[0].cell
    done, failed, begun, _ = keys(cell, 0, 1, 2, 3)
    plan = make(tmp_path, {done: "finished", failed: "failed", begun: "incomplete"})
    assert [pack.seeds for pack in plan.restricted_to([failed], [failed]).packs(2)] == [(1,)]
    assert [pack.seeds for pack in plan.restricted_to([failed], [failed, begun]).packs(1)] == [(1, 2)]
    assert plan.restricted_to([], [failed]).num_to_run == 0
    assert plan.restricted_to([], [failed]).count("finished", "failed") == 2


def test_an_incomplete_replicate_is_run(tmp_path: Path) -> None:
    cell = make(tmp_path).cells[0].cell
    assert make(tmp_path, {cell.replicate_key(0): "incomplete"}).num_to_run == 8


def test_a_pack_never_mixes_cells_and_respects_the_limit(tmp_path: Path) -> None:
    packs = make(tmp_path, text=TEXT + "resources: {pack: 3}\n").packs(2)
    assert [pack.seeds for pack in packs] == [(0, 1), (2, 3)] * 2


def test_a_pack_is_known_by_its_replicates(tmp_path: Path) -> None:
    packs = make(tmp_path, text=TEXT + "resources: {pack: 2}\n").packs(1)
    assert len({pack.key for pack in packs}) == 4
    again = make(tmp_path, text=TEXT.replace("label: L1", "label: renamed") + "resources: {pack: 2}\n").packs(1)
    assert [pack.key for pack in again] == [pack.key for pack in packs]


def test_asha_gets_the_seeds_of_a_cell_as_one_pack(tmp_path: Path) -> None:
    text = TEXT.replace("1e-5", "{grid: [1e-5, 1e-4]}") + "search: {scheduler: asha}\n"
    assert {len(pack.seeds) for pack in make(tmp_path, text=text).packs(2)} == {4}


def test_the_manifest_says_where_settings_differ_from_the_paper(tmp_path: Path) -> None:
    measured_besides = "pruning: {threshold: 0.01, curve: [0.0, 0.02]}\n"
    text = TEXT + "training: {steps: 5, batch_size: 64, optimizer: sgd}\n" + measured_besides
    assert manifest_of(make(tmp_path, text=text)).deviations == (
        "batch_size 64 (paper: 256)",
        "optimizer sgd (paper: adam)",
        "5 steps (paper: 100 epochs)",
        "dataset digits (paper: mnist)",
    )


def test_the_manifest_says_where_a_method_differs_from_the_row_beside_it(tmp_path: Path) -> None:
    text = """
name: n
task: regression
dataset: {name: linear_scripted, samples: 20}
methods:
  - {label: as published, l1: 5, dn: 25, published: ℓ1+DN+P}
  - {label: other, l1: {grid: [1, 5]}, dn_incoming: 25, l2: 0.5, published: ℓ1+DN+P, step: proximal}
  - {label: no row, l1: 9}
"""
    assert manifest_of(make(tmp_path, text=text)).deviations == (
        "samples 20 (paper: 500)",
        "other: l1 searched (paper: 5)",
        "other: dn_outgoing 0.0 (paper: 25)",
        "other: l2 0.5 (paper: 0)",
        "other: step proximal (paper: subgradient)",
    )


SHARED = """name: n
task: lenet300
dataset: digits
seeds: 4
methods:
  - {label: DO, dropout: 0.5}
  - {label: DO on in test, dropout: 0.5, dropout_at_test: true}
  - {label: DO inert, dropout: 0.5, dropout_inert: true}
  - {label: P}
"""


def test_methods_that_differ_only_in_what_is_shown_are_trained_once(tmp_path: Path) -> None:
    plan = make(tmp_path, text=SHARED)
    assert [len(method.cells) for method in manifest_of(plan).methods] == [1, 1, 1, 1]
    assert plan.cells[0].cell == plan.cells[1].cell
    assert plan.cells[2].cell == plan.cells[3].cell
    assert (plan.total, plan.num_to_run) == (8, 8)
    assert {pack.method for pack in plan.packs(2)} == {"DO", "DO inert"}
    finished: dict[str, State] = dict.fromkeys(keys(plan.cells[0].cell, 0, 1, 2, 3), "finished")
    assert make(tmp_path, finished, SHARED).num_to_run == 4


def test_the_manifest_says_what_is_done_as_scripted(tmp_path: Path) -> None:
    faults = [method.fault for method in manifest_of(make(tmp_path, text=SHARED)).methods]
    assert faults[0] == faults[3] == ""
    assert "while testing" in faults[1]
    assert "thrown away" in faults[2]


def test_the_manifest_says_which_scores_of_ones_own_cannot_be_negative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make(tmp_path)
    assert "nonnegative" not in manifest_of(plan).model_dump_json()  # of those of this project tables know it
    f1, r2 = (replace(ACCURACY, name=name, is_nonnegative=name == "f1") for name in ("f1", "r2"))
    monkeypatch.setattr(type(plan.sweep.task), "scores", (ACCURACY, f1, r2))
    assert manifest_of(plan).nonnegative_scores == ("f1",)


def test_the_scripts_l2_is_told(tmp_path: Path) -> None:
    text = SHARED.replace("  - {label: P}", "  - {label: L2, l2_as_scripted: 1.0e-4}")
    assert manifest_of(make(tmp_path, text=text)).methods[3].fault.startswith("L2 of the last layer an L1, as")


SEARCHED = TEXT.replace("1e-5", "{grid: [1e-5, 1e-4]}") + "search: {scheduler: asha}\n"


def cell_with(plan: Plan, l1: float) -> PlannedCell:
    return next(item for item in plan.distinct if item.cell.regularization == {"l1": l1})


def test_seeds_that_are_added_do_not_bring_back_a_cell_that_the_search_stopped(tmp_path: Path) -> None:
    cell = cell_with(make(tmp_path, text=SEARCHED), 1e-4).cell
    stopped: dict[str, State] = dict.fromkeys(keys(cell, 0, 1), "stopped")
    plan = make(tmp_path, stopped, SEARCHED)
    assert cell_with(plan, 1e-4).seeds_in("stopped") == (0, 1, 2, 3)
    assert plan.num_to_run == 8


def test_seeds_that_are_added_to_a_cell_that_the_search_has_kept_run_to_the_end(tmp_path: Path) -> None:
    cell = cell_with(make(tmp_path, text=SEARCHED), 1e-4).cell
    kept: list[State] = ["finished", "finished", "stopped"]  # the last by an earlier version
    plan = make(tmp_path, dict(zip(keys(cell, 0, 1, 2), kept, strict=True)), SEARCHED)
    item = cell_with(plan, 1e-4)
    assert (item.seeds_in("finished"), item.seeds_in(None), item.taken_up) == ((0, 1), (2, 3), (2,))
    assert plan.kept == {cell.key}


@pytest.mark.parametrize(
    "text",
    [
        SEARCHED.replace("asha", "none"),
        TEXT.replace("1e-5", "1e-4"),
        SEARCHED.replace("{label: P}", "{label: P, l1: 1e-4}"),
        SEARCHED.replace("]\nsearch", ", {label: last, l1: 1e-4}]\nsearch"),
    ],
    ids=["no scheduler", "no search", "a method without a search needs it too", "and stands behind the search"],
)
def test_what_a_search_once_stopped_is_run_where_nothing_judges_it_any_more(tmp_path: Path, text: str) -> None:
    cell = cell_with(make(tmp_path, text=SEARCHED), 1e-4).cell
    states: dict[str, State] = dict(zip(keys(cell, 0, 1, 2), ("finished", "stopped", "stopped"), strict=False))
    plan = make(tmp_path, states, text)
    item = cell_with(plan, 1e-4)
    assert item.seeds_in(None) == (1, 2, 3)
    assert item.taken_up == (1, 2)
    assert plan.count("stopped") == 0
    assert not (item.method.spaces and plan.sweep.has_scheduler)  # whose packs would be stopped again


SCRIPTED = """name: n
task: {name: regression, dropout_on_output: true}
seeds: 4
methods:
  - {label: as scripted, l1: 2, dropout: 0.5, dropout_at_test: true, published: ℓ1+DO+P}
  - {label: DN, l1: 5, dn: 25, published: ℓ1+DN+P}
"""


def test_dropout_on_the_output_is_told_and_is_no_deviation_from_what_was_published(tmp_path: Path) -> None:
    manifest = manifest_of(make(tmp_path, text=SCRIPTED))
    both = "dropout left on while testing, dropout on the output too, as the published script has it"
    assert [method.fault for method in manifest.methods] == [both, ""]
    assert manifest.deviations == ()


def test_a_cell_that_is_stored_twice_is_one_sample_of_a_search(tmp_path: Path) -> None:
    text = """
name: s
task: regression
methods: [{label: L1, l1: {loguniform: [1.0e-3, 10]}}]
search: {algorithm: optuna, samples: 3}
"""
    (tmp_path / "s.yaml").write_text(text)
    sweep = spec.load(tmp_path / "s.yaml")
    data = load_data(sweep, None)
    cell = sweep.cell(sweep.methods[0], {"l1": 0.5}, data.digest, data.num_train)
    plan = planning.make(sweep, data, {}, {"L1": [cell, cell]})
    assert len(plan.cells) == 1
    assert plan.open_samples == {"L1": 2}
    failed_alone = plan.restricted_to([], [])
    assert (failed_alone.open_samples, failed_alone.num_to_run) == ({}, 0)
    assert manifest_of(failed_alone).methods[0].to_propose == 2


@pytest.mark.parametrize("label", ["DO", "DO tested"])
def test_methods_with_the_same_cells_share_what_a_search_proposes(tmp_path: Path, label: str) -> None:
    text = """
name: s
task: regression
seeds: 2
methods:
  - {label: DO, l1: 5, dropout: {uniform: [0.1, 0.5]}}
  - {label: DO tested, l1: 5, dropout: {uniform: [0.1, 0.5]}, dropout_at_test: true}
  - {label: other, l1: 4, dropout: {uniform: [0.1, 0.5]}}
search: {algorithm: optuna, samples: 3}
"""
    (tmp_path / "s.yaml").write_text(text)
    sweep = spec.load(tmp_path / "s.yaml")
    data = load_data(sweep, None)
    assert planning.make(sweep, data, {}, {}).open_samples == {"DO": 3, "other": 3}
    stored = [sweep.cell(sweep.methods[0], {"dropout": x}, data.digest, data.num_train) for x in (0.2, 0.3)]
    plan = planning.make(sweep, data, {}, {label: stored})
    assert [len(method.cells) for method in manifest_of(plan).methods] == [2, 2, 0]
    assert {pack.method for pack in plan.packs(1)} == {"DO"}
    assert (plan.open_samples, plan.num_to_run) == ({"DO": 1, "other": 3}, 12)


def test_the_manifest_says_what_of_the_network_is_counted_where_it_is_a_part(tmp_path: Path) -> None:
    text = "{name: part, task: lenet5, dataset: digits, seeds: 1, training: {epochs: 1}, methods: [{label: P}]}"
    found = manifest_of(make(tmp_path, text=text)).coverage
    assert found is not None
    assert (found.layers, found.all_parameters) == (("fc1", "fc2"), 1_663_370)
    assert manifest_of(make(tmp_path, text=text.replace("lenet5", "lenet300"))).coverage is None
