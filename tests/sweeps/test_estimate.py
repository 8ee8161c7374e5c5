"""How long a sweep takes is said by what is measured: in proportion to what is to run."""

from pathlib import Path
from typing import Any

import pytest

from sweeps.cli import main as cli
from sweeps.planning import plan as planning
from sweeps.planning.data import fit_to_data
from sweeps.planning.plan import Plan
from sweeps.spec import load as spec
from sweeps.tune import estimate

SWEEP: dict[str, Any] = {
    "name": "timed",
    "task": "regression",
    "seeds": 4,
    "training": {"epochs": 3},
    "methods": [{"label": "M"}, {"label": "N", "l1": {"grid": [1, 2]}}],
    "resources": {"pack": 2},
}


def plan_of(**changes: Any) -> Plan:
    sweep, data = fit_to_data(spec.load({**SWEEP, **changes}), None)
    return planning.make(sweep, data, {}, {})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the packs that are measured: a step takes a second for each replicate."""
    sizes: list[int] = []

    def seconds_a_step(trainer: Any, *_: object) -> float:
        sizes.append(len(trainer.seeds))
        return float(len(trainer.seeds))

    monkeypatch.setattr(estimate, "seconds_a_step", seconds_a_step)
    monkeypatch.setattr(estimate.time, "monotonic", lambda: 0.0)  # type: ignore[attr-defined]
    return sizes


def test_one_pack_of_each_kind_is_measured_and_all_are_counted(steps: list[int]) -> None:
    plan = plan_of()
    num_steps = 3 * 500  # of a replicate
    assert estimate.seconds(plan, 1) == num_steps * 12
    assert estimate.seconds(plan, 3) == num_steps * 12 / 3
    assert estimate.seconds(plan, 100) == num_steps * 2  # the longest pack
    assert steps == [2, 2, 2]


def test_kinds_that_are_not_measured_count_as_the_mean(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MOST_KINDS", 1)
    plan = plan_of(methods=[{"label": "M"}], seeds=3)  # packs of two and of one
    assert estimate.seconds(plan, 1) == 1500 * 3
    assert steps == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"resources": {"pack": "auto"}},
        {"resources": {"gpu": 1}},
        {"methods": [{"label": "LASSO", "baseline": "lasso"}]},
        {
            "methods": [{"label": "M", "l1": {"loguniform": [1, 2]}}],
            "search": {"algorithm": "optuna", "samples": 3},
            "resources": {},
        },
    ],
)
def test_what_cannot_be_known_is_not_said(changes: dict[str, Any], steps: list[int]) -> None:
    assert estimate.seconds(plan_of(**changes), 2) is None
    assert steps == []


def test_a_dry_run_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", "demo/regression", "--dry-run", "--set", "training.epochs=1"]) == 0
    assert "training takes about " in capsys.readouterr().out
