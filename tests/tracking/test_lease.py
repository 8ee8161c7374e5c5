"""One driver a sweep: a second one is sent away, a dead one's place is taken."""

import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from tests.tracking.fabricated import Recorder
from tracking import schema
from tracking.errors import StoreError
from tracking.store import lease
from tracking.store.driver import Driver, driver_from_tags, this_driver, this_host
from tracking.store.lease import Lease
from tracking.store.report_run import ensure_report_run


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)


@pytest.fixture
def report_run(recorder: Recorder) -> str:
    return ensure_report_run(recorder.sweep)


def hold(recorder: Recorder, run_id: str, said: list[str] | None = None) -> Lease:
    return Lease(recorder.sweep, run_id, "a-sweep", (said if said is not None else []).append)


def leave_behind(recorder: Recorder, run_id: str, **other: str | int) -> None:
    """A lease of a driver as this process is, but for what is given."""
    driver = this_driver().model_copy(update={"owner": "another", **other})
    recorder.store.set_tag(run_id, schema.DRIVER, driver.model_dump_json())


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def driver_of(recorder: Recorder, run_id: str) -> Driver | None:
    return driver_from_tags(recorder.store.get_run(run_id).data.tags)


def test_a_lease_is_seen_while_it_is_held_and_gone_afterwards(recorder: Recorder, report_run: str) -> None:
    with hold(recorder, report_run):
        found = driver_of(recorder, report_run)
        assert found is not None
        assert found.pid == os.getpid()
    assert driver_of(recorder, report_run) is None


def test_a_lease_is_renewed(recorder: Recorder, report_run: str) -> None:
    with hold(recorder, report_run):
        deadline = time.monotonic() + 60
        while (found := driver_of(recorder, report_run)) is not None and found.beat < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_second_driver_is_told_who_is_at_work(recorder: Recorder, report_run: str) -> None:
    said: list[str] = []
    with (
        hold(recorder, report_run),
        pytest.raises(StoreError, match=rf"a-sweep is being run by .* \(process {os.getpid()}\) since"),
        hold(recorder, report_run, said),
    ):
        pass
    assert "waiting to see whether it still does" in said[0]


def test_the_place_of_a_process_that_died_here_is_taken_at_once(recorder: Recorder, report_run: str, gone: int) -> None:
    leave_behind(recorder, report_run, pid=gone)
    said: list[str] = []
    with hold(recorder, report_run, said) as held:
        assert not held.waited
    assert said == [f"the driver that ran a-sweep (process {gone}) is gone; going on where it was"]


def test_the_place_of_a_driver_on_another_machine_is_taken_when_it_stays_silent(
    recorder: Recorder, report_run: str
) -> None:
    leave_behind(recorder, report_run, host="elsewhere", pid=1)
    with hold(recorder, report_run) as held:
        assert held.waited
        found = driver_of(recorder, report_run)
        assert found is not None
        assert found.pid == os.getpid()


def test_the_number_of_a_dead_driver_may_be_another_process_now(recorder: Recorder, report_run: str) -> None:
    leave_behind(recorder, report_run, start=1)
    with hold(recorder, report_run) as held:
        assert not held.waited


@pytest.mark.parametrize(
    "other",
    [{"boot": "another"}, {"namespace": "pid:[1]"}, {"boot": "", "namespace": "", "start": 0}],
    ids=["another machine of this name", "another container of this name", "an earlier version"],
)
def test_a_driver_whose_processes_are_not_seen_from_here_is_waited_for(
    recorder: Recorder, report_run: str, gone: int, other: dict[str, str | int]
) -> None:
    leave_behind(recorder, report_run, pid=gone, **other)
    with hold(recorder, report_run) as held:
        assert held.waited


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a PID namespace of its own")
def test_a_live_driver_in_another_pid_namespace_is_not_taken_for_gone() -> None:
    script = "from tracking.store.driver import this_driver; print(this_driver().model_dump_json())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    told = subprocess.run(command, text=True, capture_output=True, check=False)
    if told.returncode:
        pytest.skip(f"no PID namespaces here: {told.stderr}")
    there = Driver.model_validate_json(told.stdout)
    assert (there.host, there.pid) == (this_host(), 1)
    assert there.boot == this_driver().boot
    assert there.namespace != this_driver().namespace
    unseen = there.model_copy(update={"pid": 2**22 + 1})  # no process of this number, here
    assert not unseen.is_known_dead


def test_a_lease_of_an_earlier_version_is_read(recorder: Recorder, report_run: str) -> None:
    text = '{"owner":"o","host":"h","pid":7,"began":1,"beat":2,"last":3}'
    assert driver_from_tags({schema.DRIVER: text}) == Driver(owner="o", host="h", pid=7, began=1, beat=2, last=3)


def test_a_store_that_goes_away_and_comes_back_is_told_once(
    recorder: Recorder, report_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()

    def answers(_: object) -> None:
        if away.is_set():
            raise StoreError("no MLflow server answers at http://tracker:5000 (refused)")

    monkeypatch.setattr(lease, "check_answers", answers)
    said: list[str] = []

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(said) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with hold(recorder, report_run, said):
        away.set()
        wait_for(1)
        time.sleep(0.5)
        away.clear()
        wait_for(2)
    assert said[0].startswith("no MLflow server answers at http://tracker:5000 (refused); packs go on")
    assert said[1:] == ["the store answers again"]


class Together(Lease):
    """Takes the lease in the same moment as another: both have looked before one writes, both written before one looks
    again, however busy the machine is.
    """

    both: threading.Barrier

    def _write(self) -> None:
        if self._thread.is_alive():
            super()._write()
            return
        self.both.wait(60)
        try:
            super()._write()
        finally:
            self.both.wait(60)


def test_of_two_that_start_together_one_runs(
    recorder: Recorder, report_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Together, "both", threading.Barrier(2), raising=False)
    sent_away = threading.Event()
    outcomes: list[str] = []

    def drive() -> None:
        try:
            with Together(recorder.sweep, report_run, "a-sweep", lambda _: None):
                outcomes.append("ran")
                sent_away.wait(60)
        except StoreError:
            outcomes.append("sent away")
            sent_away.set()

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert sorted(outcomes) == ["ran", "sent away"]


def test_a_tag_that_no_one_understands_is_no_lease(recorder: Recorder, report_run: str) -> None:
    recorder.store.set_tag(report_run, schema.DRIVER, '{"unknown": 1}')
    assert driver_of(recorder, report_run) is None


def test_a_sweep_has_one_report_run(recorder: Recorder, report_run: str) -> None:
    assert ensure_report_run(recorder.sweep) == report_run


def test_a_beat_survives_an_error_of_the_database(
    recorder: Recorder, report_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, beaten = threading.Event(), threading.Event()

    def answers(_: object) -> None:
        if failed.is_set():
            beaten.set()
            return
        failed.set()
        raise sqlite3.OperationalError("locking protocol")

    monkeypatch.setattr(lease, "check_answers", answers)
    with hold(recorder, report_run):
        assert beaten.wait(60)
