"""Searches through Tune, in this process: a scheduler that stops, and a sampler that learns."""

import statistics
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.cluster import connection
from sweeps.planning.data import load_data
from sweeps.planning.manifest import manifest_of
from sweeps.planning.plan import Plan, make
from sweeps.spec import load as spec
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from sweeps.tune.search import optuna_search
from tests.tracking.fabricated import make_row
from tracking.results import cells
from tracking.results import rows as reader
from tracking.store import location as store

ASHA = """
name: asha
task: lenet300
dataset: digits
seeds: 2
training: {epochs: 6, batch_size: 64}
methods: [{label: L1, l1: {grid: [1.0e-6, 1.0e-2, 1.0e-1]}}]
search: {scheduler: asha, reduction_factor: 2}
"""

REGRESSION = """
task: regression
dataset: {name: linear_scripted, samples: 50}
seeds: 2
"""

OPTUNA = (
    REGRESSION
    + """name: optuna
training: {epochs: 2}
methods: [{label: P}, {label: L1, l1: {loguniform: [1.0e-3, 10]}}]
search: {algorithm: optuna, samples: 3}
"""
)

DIVERGING = (
    REGRESSION
    + """name: diverging
training: {epochs: 2, learning_rate: {grid: [1.0e-3, 1.0e+20]}}
methods: [{label: L2, l2: 1.0}]
"""
)


def run(
    text: str, location: store.StoreLocation, capacity: connection.Capacity, folder: Path, *overrides: str
) -> tuple[Runner, Plan, Plan]:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    sweep = spec.load(path, overrides)
    runner = Runner(sweep, load_data(sweep, None), location)
    before = runner.plan()
    return runner, before, runner.run(before, capacity, Progress(Console(quiet=True)))


def results(runner: Runner, plan: Plan) -> tuple[cells.MethodResult, ...]:
    return cells.gather(manifest_of(plan), reader.read(runner.sweep_store))


def test_asha_stops_cells_as_a_whole_and_they_are_not_tried_again(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    runner, before, after = run(ASHA, location, capacity, tmp_path)
    assert before.num_to_run == 6
    assert after.num_to_run == 0
    stopped = [cell for cell in after.cells if cell.seeds_in("stopped")]
    assert stopped
    assert all(cell.seeds_in("stopped") == (0, 1) for cell in stopped)
    chosen = results(runner, after)[0].chosen
    assert chosen is not None
    assert chosen.complete
    assert chosen.cell.regularization == {"l1": 1e-6}
    unjudged = ASHA.replace("asha, reduction_factor: 2", "none")
    runner, before, after = run(unjudged, location, capacity, tmp_path)
    assert before.num_to_run == 2 * len(stopped)
    assert after.count("finished") == 6
    assert all(result.complete for result in results(runner, after)[0].tried)


def test_seeds_that_are_added_later_are_not_judged_by_asha(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    text = ASHA.replace("name: asha", "name: added").replace("[1.0e-6, 1.0e-2, 1.0e-1]", "[1.0e-6, 1.0e-1]")
    run(text.partition("search")[0], location, capacity, tmp_path, "seeds=1")
    _, before, after = run(text, location, capacity, tmp_path)
    assert before.num_to_run == 2
    assert after.count("finished") == 4


@pytest.mark.slow
def test_optuna_goes_on_where_it_left_off_when_samples_are_raised(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    _, before, after = run(OPTUNA, location, capacity, tmp_path)
    assert before.num_to_run == 8
    assert after.num_to_run == 0
    first = {cell.cell.key for cell in after.cells}
    assert len(first) == 4
    runner, before, after = run(OPTUNA, location, capacity, tmp_path, "search.samples=5")
    assert before.num_to_run == 4
    assert after.count("finished") == 12
    assert first < {cell.cell.key for cell in after.cells}
    search = results(runner, after)[1]
    assert len({result.cell.regularization["l1"] for result in search.tried}) == 5
    assert search.chosen is not None


def test_a_search_whose_range_was_narrowed_begins_from_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(OPTUNA, encoding="utf-8")
    wide, narrow = (spec.load(path, words) for words in ((), ("methods.1.l1={loguniform: [1.0e-3, 1.0]}",)))
    data = load_data(narrow, None)
    found = [wide.cell(wide.methods[1], {"l1": value}, data.digest, data.num_train) for value in (5.0, 0.5)]
    assert narrow.selection is not None
    objective = {narrow.selection.objective.replace("/", "__"): 0.5}
    tried = [
        cells.CellResult("L1", None, cell, tuple(make_row(cell, seed, **objective) for seed in (0, 1)), (), 2)
        for cell in found
    ]
    study = optuna_search(narrow, narrow.methods[1], data, tried)._ot_study
    assert [trial.params for trial in study.get_trials()] == [{"l1": 0.5}]
    plan = make(narrow, data, {}, {"L1": found})
    assert [item.cell.key for item in plan.cells if item.method.label == "L1"] == [found[1].key]
    assert plan.open_samples == {"L1": 2}


FRONT = (
    REGRESSION
    + """name: front
training: {epochs: 300}  # more than a second: packs report before their end
pruning: {threshold: {loguniform: [0.01, 1]}}
methods: [{label: L1, l1: 0.1}]
search: {algorithm: optuna, samples: 3, size: density}
"""
)


@pytest.mark.slow
def test_optuna_goes_on_from_the_scores_and_sizes_of_what_was_tried(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    run(FRONT, location, capacity, tmp_path)
    runner, before, after = run(FRONT, location, capacity, tmp_path, "search.samples=5")
    assert (before.num_to_run, after.num_to_run) == (4, 0)
    sweep, tried = before.sweep, results(runner, after)[0].tried
    assert sweep.selection is not None
    found = {
        (
            cell.cell.pruning.threshold,
            statistics.fmean(row.metrics[sweep.selection.objective] for row in cell.rows),
            statistics.fmean(row.counts.density for row in cell.rows),
        )
        for cell in tried
    }
    study = optuna_search(sweep, sweep.methods[0], load_data(sweep, None), tried)._ot_study
    assert {(trial.params["pruning.threshold"], *trial.values) for trial in study.get_trials()} == found
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert len({density for *_, density in found}) > 1


STUCK = (
    REGRESSION
    + """name: stuck
training: {epochs: 2}
methods: [{label: P}, {label: too strong, l2: 1.0e+38}]
"""
)


@pytest.mark.slow
def test_adam_that_stands_still_at_an_infinite_moment_has_diverged(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    _, _, after = run(STUCK, location, capacity, tmp_path)
    assert (after.count("finished"), after.count("failed"), after.num_to_run) == (2, 2, 0)


def test_a_replicate_that_diverges_is_recorded_with_its_reason_and_the_sweep_goes_on(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path
) -> None:
    runner, _, after = run(DIVERGING, location, capacity, tmp_path)
    assert (after.count("finished"), after.count("failed"), after.num_to_run) == (2, 2, 0)
    (method,) = results(runner, after)
    assert method.chosen is not None
    assert method.chosen.complete
    assert method.chosen.cell.phases[0].learning_rate == 1e-3
    (failed,) = (cell for cell in method.tried if cell is not method.chosen)
    assert failed.rows == ()
    assert {item.reason for item in failed.ended} == {"the numbers ran away: loss or parameters are no longer finite"}
