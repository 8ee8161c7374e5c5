"""How far a sweep is: counted once, reasons told, time from the speed so far."""

import json
import os
import time

import pytest

from dn_distributed.config import Cell
from sweeps.cli import main as cli
from tests.tracking.fabricated import Recorder, make_cell
from tracking import schema
from tracking.errors import StoreError
from tracking.results import status
from tracking.results.status import Entry, Status
from tracking.store import report_run
from tracking.store.driver import Driver, this_driver
from tracking.store.lease import Lease
from tracking.store.location import StoreLocation
from tracking.store.queries import RunQuery, StoredRun
from tracking.store.sqlite import SqliteQueries
from tracking.store.sweep_store import SweepStore
from tracking.sweep_results import read_results

ONE, TWO = make_cell(l1=0.1), make_cell(l1=0.2)


def made_up(*states: str | None, driver: Driver | None = None, ended: float | None = None) -> Status:
    replicates = (
        Entry("M", seed, state, ended if state == "finished" else None)  # type: ignore[arg-type]
        for seed, state in enumerate(states)
    )
    return Status("a-sweep", tuple(replicates), driver)


def holder(began: int) -> Driver:
    return Driver(owner="o", host="a-host", pid=7, began=began, beat=0)


def test_what_a_search_proposes_is_counted_before_the_manifest_knows_it(recorder: Recorder) -> None:
    manifest = recorder.announce({"first": [], "second": [TWO]}, seeds=(0, 1))
    first = manifest.methods[0].model_copy(update={"to_propose": 3})
    manifest = manifest.model_copy(update={"methods": (first, *manifest.methods[1:])})
    report_run.write_manifest(recorder.sweep, report_run.ensure_report_run(recorder.sweep), manifest)
    recorder.finish(TWO, 0, 1, label="second")
    recorder.finish(ONE, 0, label="first")
    recorder.finish(make_cell(l1=9.0), 0, label="of an earlier file")
    found = status.read(recorder.sweep)
    assert (found.count("finished"), found.count(None)) == (3, 5)
    assert not found.done


def test_a_driver_that_has_long_been_silent_is_not_taken_at_its_word() -> None:
    quiet = holder(began=1000).model_copy(update={"last": 1100})
    assert "to go" in "".join(made_up("finished", None, driver=quiet, ended=1050).lines(1110.0))
    said = "".join(made_up("finished", None, driver=quiet, ended=1050).lines(1400.0))
    assert "no sign of life for 5 min 0 s" in said
    assert "to go" not in said


def test_every_replicate_of_the_sweep_is_in_one_state(recorder: Recorder) -> None:
    recorder.announce({"first": [ONE], "second": [TWO]}, seeds=(0, 1, 2))
    recorder.finish(ONE, 0, 1, label="first")
    recorder.start(ONE, 2, label="first")
    recorder.start(TWO, 0, label="second")[0].fail("the numbers ran away")
    found = status.read(recorder.sweep)
    counts = {state: found.count(state) for state in ("finished", "incomplete", "failed", None)}
    assert counts == {"finished": 2, "incomplete": 1, "failed": 1, None: 2}
    assert not found.done
    lines = found.lines(time.time())
    assert lines[0] == f"{recorder.name}: 2 of 6 done, 1 interrupted, 2 left, 1 failed"
    assert "  no driver is at work; `dn sweep FILE` goes on" in lines
    assert "  failed × 1: second: the numbers ran away" in lines


@pytest.mark.parametrize("to_propose", [0, 1])
def test_seeds_added_to_what_a_search_has_stopped_are_not_left(recorder: Recorder, to_propose: int) -> None:
    manifest = recorder.announce({"first": [] if to_propose else [ONE], "second": [TWO]}, seeds=(0, 1, 2))
    first = manifest.methods[0].model_copy(update={"to_propose": to_propose})
    manifest = manifest.model_copy(update={"methods": (first, *manifest.methods[1:])})
    report_run.write_manifest(recorder.sweep, report_run.ensure_report_run(recorder.sweep), manifest)
    recorder.start(ONE, 0, label="first")[0].stop("by the search")
    recorder.start(ONE, 1, label="first")
    recorder.finish(TWO, 0, 1, label="second")  # kept: its new seed is to run
    found = status.read(recorder.sweep)
    counts = {state: found.count(state) for state in ("finished", "stopped", "incomplete", None)}
    assert counts == {"finished": 2, "stopped": 3, "incomplete": 0, None: 1}


@pytest.mark.parametrize(("name", "in_files"), [("t9", "t9"), ("my sweep", "t1")])
def test_a_sweep_that_was_renamed_in_the_store_has_its_new_name(
    location: StoreLocation, name: str, in_files: str
) -> None:
    recorder = Recorder(location, "t1")
    recorder.announce({"M": [ONE]})
    recorder.store.rename_experiment(recorder.experiment_id, name)
    renamed = SweepStore.find(location, name)
    assert status.read(renamed).name == name
    assert name in [item.name for item in status.read_all(location, print)]
    assert read_results(renamed).name == in_files  # they are read only where a sweep may be called so
    recorder.store.delete_experiment(recorder.experiment_id)


def test_a_cells_key_is_made_once_however_many_seeds_it_has(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.announce({"first": [ONE], "second": [TWO]}, seeds=range(20))
    made: list[str] = []
    make = Cell.key.fget  # type: ignore[attr-defined]

    def counted(cell: Cell) -> str:
        made.append(make(cell))
        return made[-1]

    monkeypatch.setattr(Cell, "key", property(counted))
    assert status.read(recorder.sweep).count(None) == 40
    assert len(made) == 2


def test_of_a_finished_replicate_nothing_is_read_that_is_not_counted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.announce({"first": [ONE]}, seeds=(0,))
    recorder.finish(ONE, 0, label="first")
    asked: list[StoredRun] = []
    find = SqliteQueries.find

    def seen(queries: SqliteQueries, query: RunQuery) -> list[StoredRun]:
        found = find(queries, query)
        asked.extend(found if query.where[schema.KIND] == "replicate" else [])
        return found

    monkeypatch.setattr(SqliteQueries, "find", seen)
    assert status.read(recorder.sweep).count("finished") == 1
    (run,) = asked
    assert (set(run.tags), run.params, run.metrics) == ({schema.REPLICATE_KEY, schema.COMPLETE}, {}, {})


def test_methods_that_share_a_cell_are_counted_once(recorder: Recorder) -> None:
    recorder.announce({"described": [ONE], "scripted": [ONE]}, seeds=(0, 1))
    recorder.finish(ONE, 0, 1)
    found = status.read(recorder.sweep)
    assert len(found.replicates) == 2
    assert found.done
    assert "  complete" in found.lines(time.time())


def test_seeds_that_the_sweep_does_not_ask_for_are_not_counted(recorder: Recorder) -> None:
    recorder.announce({"M": [ONE]}, seeds=(0,))
    recorder.finish(ONE, 0, 1)
    assert len(status.read(recorder.sweep).replicates) == 1


def test_a_driver_at_work_is_named(recorder: Recorder) -> None:
    recorder.announce({"M": [ONE]})
    run_id = recorder.runs("report")[0].info.run_id
    with Lease(recorder.sweep, run_id, recorder.name, print):
        found = status.read(recorder.sweep)
    assert found.driver is not None
    assert found.driver.pid == os.getpid()


def test_a_driver_that_is_known_to_be_dead_is_none(recorder: Recorder) -> None:
    recorder.announce({"M": [ONE]})
    run_id = recorder.runs("report")[0].info.run_id
    dead = this_driver().model_copy(update={"pid": 2**22 + 1})
    recorder.store.set_tag(run_id, schema.DRIVER, dead.model_dump_json())
    assert status.read(recorder.sweep).driver is None


def test_a_sweep_that_was_never_started_is_an_error(recorder: Recorder) -> None:
    with pytest.raises(StoreError, match="run `dn sweep` on its file first"):
        status.read(recorder.sweep)


def test_the_time_to_finish_is_that_of_the_speed_so_far() -> None:
    found = made_up("finished", "finished", "incomplete", None, None, driver=holder(began=1000), ended=1050.0)
    assert found.seconds_left(1100) == pytest.approx(100 / 2 * 3)  # two ended in 100 s, three are left


@pytest.mark.parametrize("driver", [None, holder(began=1000)])
def test_there_is_no_time_to_finish_before_the_first_has(driver: Driver | None) -> None:
    assert made_up("incomplete", None, driver=driver).seconds_left(1100) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.4, "3 s"), (62, "1 min 2 s"), (3600 * 5 + 61, "5 h 1 min")], ids=["s", "min", "h"]
)
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert status.in_words(seconds) == words


def test_what_is_complete_and_has_failed_in_part_is_told_and_is_exit_code_1(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.announce({"M": [ONE]}, seeds=(0, 1))
    recorder.finish(ONE, 0, label="M")
    command = ["status", recorder.name, "--tracking-uri", recorder.location.uri]
    assert cli.main(command) == 0  # one is left, none has failed
    recorder.start(ONE, 1, label="M")[0].fail("the numbers ran away")
    assert cli.main(command) == 1
    assert "  ended, 1 failed\n" in capsys.readouterr().out
    assert cli.main([*command, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["complete"], said["ended"]) == (False, True)
