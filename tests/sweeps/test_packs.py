"""Packs that are too large, or whose workers die: tried again, smaller or later; results do not depend on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.air.execution._internal.event_manager import RayEventManager
from ray.exceptions import OutOfMemoryError, RayActorError
from rich.console import Console

import tests.sweeps.hostile_tasks  # noqa: F401  registers its tasks
from sweeps.cluster import connection
from sweeps.planning.data import load_data
from sweeps.planning.plan import Plan
from sweeps.spec import load as spec
from sweeps.tune import experiment, runner
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tracking import schema
from tracking.errors import StoreError
from tracking.results import rows as reader
from tracking.store import location as store
from tracking.store import runs
from tracking.store.client import search

SWEEP = """
name: NAME
task: TASK
dataset: {name: linear_scripted, samples: 50}
seeds: 5
training: {epochs: 2}
methods: [{label: L1, l1: 1.0e-3}]
resources: {pack: PACK}
"""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PAUSES", ())


@pytest.fixture
def run(
    location: store.StoreLocation, capacity: connection.Capacity, tmp_path: Path, request: pytest.FixtureRequest
) -> "Run":
    return Run(location, capacity, tmp_path, request.node.name[:60])


@pytest.fixture
def lives(tmp_path: Path) -> Path:
    made = tmp_path / "lives"
    made.mkdir()
    return made


class Run:
    """Runs a sweep named after its test."""

    def __init__(self, location: store.StoreLocation, capacity: connection.Capacity, folder: Path, name: str) -> None:
        self.location, self.capacity, self.folder, self.name = location, capacity, folder, name
        self.seeds = "seeds: 5"

    def writes(self, seeds: str) -> None:
        self.seeds = seeds

    def __call__(self, task: str, pack: str, retry_failed: bool = False) -> Plan:
        path = self.folder / "sweep.yaml"
        text = SWEEP.replace("NAME", self.name).replace("TASK", task).replace("PACK", pack)
        text = text.replace("seeds: 5", self.seeds)
        path.write_text(text, encoding="utf-8")
        sweep = spec.load(path)
        self.runner = Runner(sweep, load_data(sweep, None), self.location, retry_failed=retry_failed)
        return self.runner.run(self.runner.plan(), self.capacity, Progress(Console(quiet=True)))

    @property
    def metrics(self) -> dict[int, Mapping[str, float]]:
        rows = reader.read(self.runner.sweep_store).rows
        return {row.seed: row.metrics for row in rows}


@pytest.mark.slow
def test_a_pack_that_there_is_no_memory_for_is_tried_in_halves(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    after = run("{name: hungry, most: 1}", "5")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert "dn: L1, seeds 0, 1, 2, 3, 4: out of memory; trying packs of 2" in said
    assert "out of memory; trying packs of 1" in said
    assert run.metrics.keys() == {0, 1, 2, 3, 4}
    (report_run,) = search(run.runner.sweep_store.client, run.runner.sweep_store.experiment_id, {schema.KIND: "report"})
    assert report_run.info.status == "FINISHED"  # the driver has ended


@pytest.mark.slow
def test_a_replicate_that_there_is_no_memory_for_is_recorded_with_the_reason(run: Run) -> None:
    after = run("{name: hungry, most: 0}", "2")
    assert (after.count("failed"), after.num_to_run) == (5, 0)
    reasons = {ended.reason for ended in reader.read(run.runner.sweep_store).ended}
    assert reasons == {"MemoryError: no memory for another replicate"}


@pytest.mark.slow
def test_what_failed_is_tried_again_when_asked_and_nothing_else_is(run: Run) -> None:
    run("{name: hungry, most: 0}", "1")
    run.writes("seeds: 7")
    again = run("{name: hungry, most: 0}", "1", retry_failed=True)
    assert (again.count("failed"), again.num_to_run) == (5, 0)
    states = runs.read_states(run.runner.sweep_store)
    assert {item.seed for item in states} == set(range(5))  # 5 and 6 are missing, and were not asked for


@pytest.mark.slow
def test_packs_that_cannot_be_measured_hold_one_replicate(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    after = run("{name: hungry, most: 0}", "auto")
    assert (after.count("failed"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert "could not be measured and hold one replicate each: MemoryError: no memory for another replicate" in said


def test_packs_are_measured_before_they_are_cut(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    after = run("{name: hungry, most: 2}", "auto")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert "packs hold up to" in said
    assert "out of memory" not in said


@pytest.fixture
def max_failures(monkeypatch: pytest.MonkeyPatch) -> int:
    """Fewer than there are: each costs a worker, which imports torch and MLflow."""
    monkeypatch.setattr(experiment, "MAX_FAILURES", 1)
    return 1


@pytest.mark.slow
def test_a_pack_whose_worker_dies_is_taken_up_again(
    run: Run, lives: Path, max_failures: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSES", (0.1,))
    after = run(f"{{name: deadly, lives: {max_failures + 2}, folder: {lives}}}", "5")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert said.count("L1, seeds 0, 1, 2, 3, 4: taken up again, from its last checkpoint") == max_failures + 1
    assert "L1, seeds 0, 1, 2, 3, 4: given up for now: its worker or node is gone" in said
    assert "dn: 1 pack lost; trying again in 0.1 s" in said


@pytest.fixture
def memory_guard(monkeypatch: pytest.MonkeyPatch) -> str:
    """Whatever worker dies, Ray says as where its guard has killed it; what the user is told of that."""
    killed = OutOfMemoryError(  # type: ignore[no-untyped-call]
        "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 1.2.3.4, ID: ba0e) was "
        "22.79GB used / 23.54GB limit (0.967962) OOM kill reason: Memory usage 24020041728B exceeded threshold of"
    )
    track = RayEventManager.track_future

    def track_killed(manager: Any, future: Any, on_result: Any = None, on_error: Any = None) -> None:
        def told(error: Exception) -> None:
            on_error(killed if isinstance(error, RayActorError) else error)

        track(manager, future, on_result, on_error and told)

    monkeypatch.setattr(RayEventManager, "track_future", track_killed)
    return "Ray stopped its worker, for memory ran short on its node: 22.79GB of 23.54GB were used"


@pytest.mark.slow
def test_a_pack_that_rays_memory_guard_stops_is_taken_up_again_and_then_halved(
    run: Run, lives: Path, max_failures: int, capsys: pytest.CaptureFixture[str], memory_guard: str
) -> None:
    after = run(f"{{name: deadly, lives: {max_failures + 1}, folder: {lives}}}", "5")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert f"L1, seeds 0, 1, 2, 3, 4: taken up again, from its last checkpoint: {memory_guard}" in said
    assert "L1, seeds 0, 1, 2, 3, 4: out of memory; trying packs of 2" in said


@pytest.mark.slow
def test_a_replicate_that_rays_memory_guard_stops_has_not_failed(
    run: Run, lives: Path, max_failures: int, capsys: pytest.CaptureFixture[str], memory_guard: str
) -> None:
    run.writes("seeds: 1")
    after = run(f"{{name: deadly, lives: {max_failures + 1}, folder: {lives}}}", "1")
    assert (after.count("failed"), after.num_to_run) == (0, 1)  # others may have taken the memory
    assert f"L1, seed 0: given up for now: {memory_guard}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_pack_whose_store_is_away_is_taken_up_again_and_the_reason_told(
    run: Run, lives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = run(f"{{name: waiting, lives: 1, folder: {lives}}}", "5")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    said = capsys.readouterr().err
    assert "taken up again, from its last checkpoint: mlflow.exceptions.MlflowException: database is locked" in said


@pytest.mark.slow
def test_a_pack_whose_run_is_gone_begins_again_once(run: Run, lives: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = run(f"{{name: refused, lives: 1, folder: {lives}}}", "5")
    assert (after.count("finished"), after.num_to_run) == (5, 0)
    assert "L1, seeds 0, 1, 2, 3, 4: begun again, from its last checkpoint: no such run" in capsys.readouterr().err


@pytest.mark.slow
def test_what_the_store_refuses_always_ends_the_sweep_with_the_reason(
    run: Run, lives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSES", (600,))
    with pytest.raises(
        StoreError, match=r"refuses what is written to it: L1, seeds? \d.*: no such run; what was finish"
    ):
        run(f"{{name: refused, lives: 1000, folder: {lives}}}", "1")
    assert len(list(lives.iterdir())) < 10  # of five packs that would be tried fourfold
    states = runs.read_states(run.runner.sweep_store)
    assert {item.state for item in states} == {"incomplete"}


def test_a_file_that_a_task_lacks_is_a_failure_of_its_replicates(run: Run, lives: Path) -> None:
    after = run(f"{{name: lacking, lives: 1000, folder: {lives}}}", "5")
    assert (after.count("failed"), after.num_to_run) == (5, 0)
    (reason,) = {ended.reason for ended in reader.read(run.runner.sweep_store).ended}
    assert reason == "TaskError: FileNotFoundError: [Errno 2] No such file: 'features.npy'"


@pytest.mark.slow
def test_a_pack_whose_worker_always_dies_is_left_to_the_next_command(run: Run, lives: Path) -> None:
    after = run(f"{{name: deadly, lives: 100, folder: {lives}}}", "5")
    assert (after.count("finished"), after.count("failed"), after.num_to_run) == (0, 0, 5)
