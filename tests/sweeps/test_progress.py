"""What is shown of a sweep that runs: replicates by what became of them; few lines where nobody watches."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.console import Output
from sweeps.planning import plan as planning
from sweeps.planning.data import load_data
from sweeps.planning.plan import Plan
from sweeps.spec import load as spec
from sweeps.tune import progress
from sweeps.tune.progress import Progress

TEXT = "name: shown\ntask: regression\nseeds: 9\nmethods: [{label: M}]\n"


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "s.yaml").write_text(TEXT)
    sweep = spec.load(tmp_path / "s.yaml")
    data = load_data(sweep, None)
    (cell,) = planning.make(sweep, data, {}, {}).cells
    states = {cell.cell.replicate_key(seed): state for seed, state in ((0, "finished"), (1, "failed"))}
    return planning.make(sweep, data, states, {})  # type: ignore[arg-type]


def drawn(shown: Progress) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(shown._draw())
    return out.getvalue()


def test_replicates_of_a_pack_are_counted_by_what_became_of_each(plan: Plan) -> None:
    shown = Progress(Output(file=io.StringIO()))
    with shown.sweep(plan):
        shown.pack_started("a", "M", 3)
        shown.pack_ended("a", {"done_training": True, "num_failed": 1})
        shown.pack_started("b", "M", 2)
        shown.pack_ended("b", {})
        assert "3 done  0 running  2 left  1 failed  2 stopped early" in drawn(shown)  # one was done before


def test_a_score_of_zero_is_shown(plan: Plan) -> None:
    shown = Progress(Output(file=io.StringIO()))
    with shown.sweep(plan):
        shown.pack_started("a", "M", 1)
        shown.pack_reported("a", {"epoch": 1, "num_epochs": 2, "score": 0.0})
        assert drawn(shown).rstrip().endswith("epoch 1 of 2, validation nmse 0")


def test_where_nobody_watches_each_pack_and_each_minute_gives_a_line(
    plan: Plan, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Progress(Output(file=io.StringIO()))

    def said() -> str:
        shown.time_passes()
        return capsys.readouterr().err

    with shown.sweep(plan):
        shown.pack_started("a", "M", 3)
        clock.now = 54
        assert said() == ""
        clock.now = 59
        assert said() == "dn: shown: replicates 1 done, 3 running, 4 left\n"
        shown.pack_reported("a", {"epoch": 2, "num_epochs": 2, "score": 0.25})
        shown.pack_ended("a", {"done_training": True, "num_failed": 1})
        line = (
            "dn: shown: M × 3: 2 done, 1 failed, validation nmse 0.25; replicates 3 done, 0 running, 4 left, 1 failed"
        )
        assert said() == f"{line}, about 1 min 19 s to go\n"
        shown.pack_started("b", "M", 4)
        clock.now = 61
        shown.pack_ended("b", {})
        assert said().startswith("dn: shown: M × 4 stopped early; replicates 3 done, 0 running, 0 left, 1 failed, 4 st")


def test_a_pack_of_which_all_failed_is_not_called_done(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(Output(file=io.StringIO()))
    with shown.sweep(plan):
        shown.pack_started("a", "M", 2)
        shown.pack_ended("a", {"done_training": True, "num_failed": 2})
    assert capsys.readouterr().err.startswith("dn: shown: M × 2 failed; replicates 1 done, ")


def time_to_go(shown: Progress) -> str:
    return drawn(shown).partition("about ")[2].partition(" to go")[0]


def test_neither_the_start_nor_what_a_checkpoint_holds_counts_as_work_of_now(plan: Plan, clock: Clock) -> None:
    shown = Progress(Output(file=io.StringIO(), force_terminal=True))
    with shown.sweep(plan):  # seven replicates
        clock.now = 1000  # workers start
        shown.pack_started("a", "M", 1)
        shown.pack_reported("a", {"epoch": 0, "first_epoch": 0, "num_epochs": 10})
        assert time_to_go(shown) == ""
        clock.now += 6
        shown.pack_reported("a", {"epoch": 6, "first_epoch": 5, "num_epochs": 10})
        assert time_to_go(shown) == "6 min 24 s"  # 64 epochs of 6 s
        clock.now += 24
        shown.pack_ended("a", {"done_training": True})
        assert time_to_go(shown) == "6 min 0 s"
        shown.pack_started("b", "M", 2)
        clock.now += 30
        shown.pack_reported("b", {"epoch": 9, "first_epoch": 8, "num_epochs": 10})  # of two replicates
        assert time_to_go(shown) == "6 min 0 s"  # 42 epochs, at 7 in 60 s


def test_a_pack_whose_worker_is_lost_runs_no_more_until_it_begins_again(plan: Plan) -> None:
    shown = Progress(Output(file=io.StringIO(), force_terminal=True))
    with shown.sweep(plan):
        shown.pack_started("a", "M", 3)
        shown.pack_put_back("a")
        assert "1 done  0 running  7 left" in drawn(shown)
        shown.pack_started("a", "M", 3)
        assert "1 done  3 running  4 left" in drawn(shown)


def test_a_terminal_gets_no_lines(plan: Plan, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(Output(file=io.StringIO(), force_terminal=True))
    with shown.sweep(plan):
        shown.pack_started("a", "M", 3)
        clock.now = 4000
        shown.time_passes()
        shown.pack_ended("a", {"done_training": True})
    assert capsys.readouterr().err == ""
