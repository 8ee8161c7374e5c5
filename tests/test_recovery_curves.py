"""Curves, comparisons, page and records of ``docs/results/recovery.py``, on records that are made up."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from tests.one_thread import one_thread as one_thread
from tests.test_results_page import RESULTS, module_at

SAMPLES, NONZEROS = (10, 20, 40, 80, 160), (2, 4, 8)
Shares = Mapping[str, Callable[[int, int], float]]


@pytest.fixture(scope="module")
def program() -> Any:
    """The program, which imports the modules beside it."""
    return module_at(RESULTS / "recovery.py")


@pytest.fixture(scope="module")
def curves(program: Any) -> Any:
    return sys.modules["recovery_curves"]


def made(shares: Shares, name: str = "sign-0", problems: int = 100) -> dict[str, Any]:
    """A record where each method recovers so large a share of the problems of a point, always the first ones."""
    points = []
    for k in NONZEROS:
        for m in SAMPLES:
            counts = [round(problems * share(m, k)) for share in shares.values()]
            bits = [f"{(1 << count) - 1:x}" for count in counts]
            points.append({"m": m, "k": k, "recovered": bits, "proposed": [count + 1 for count in counts]})
    return {"ensemble": name, "problems": problems, "methods": list(shares), "seconds": 90.0, "points": points}


def rising(factor: float) -> Callable[[int, int], float]:
    """The share is one half at ``m = factor * k``, and a straight line in log m."""
    return lambda m, k: min(1.0, max(0.0, 0.5 + 0.4 * math.log2(m / (factor * k))))


def test_monotone_is_isotonic_regression(curves: Any) -> None:
    shares = np.random.default_rng(1).random((20, 9))
    expected = [IsotonicRegression().fit_transform(np.arange(9), row) for row in shares]
    assert np.allclose(curves.monotone(shares), expected)


def test_the_curve_passes_where_half_is_recovered(curves: Any) -> None:
    ensemble = curves.Ensemble(made({"LASSO": rising(10), "OMP": rising(0.5), "DN 1": rising(1000)}))
    for k in NONZEROS:
        half = ensemble.halves["LASSO", k]
        assert half.inside
        assert half.samples == pytest.approx(10 * k, rel=0.02)
        assert half.low < half.samples < half.high
        assert ensemble.halves["OMP", k].samples == 0
        assert ensemble.halves["DN 1", k].samples == math.inf


def test_an_interval_is_as_wide_as_the_problems_are_few(curves: Any) -> None:
    """A share of one half of n problems has a standard error of 1 / (2 sqrt n); here 0.4 of it is a doubling of m."""
    widths = []
    for problems in (100, 400):
        half = curves.Ensemble(made({"LASSO": rising(10)}, problems=problems)).halves["LASSO", 4]
        widths.append(math.log2(half.high / half.low))
    assert widths[0] == pytest.approx(2 * 1.96 * 0.05 / 0.4, rel=0.25)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.2)


def test_a_comparison_has_the_ratio_and_its_verdict(curves: Any) -> None:
    found = curves.Ensemble(made({"LASSO": rising(10), "ℓ1 1": rising(15), "OMP": rising(0.5)}))
    (item,) = curves.corrected([found.compare(("ℓ1 1", "LASSO"))])
    assert math.exp(item.difference) == pytest.approx(1.5, rel=0.02)
    low, high = item.interval()
    assert 1 < low < 1.5 < high
    assert item.verdict == "holds"
    assert found.compare(("OMP", "LASSO")) is None
    unsure = [curves.Comparison("", ("", ""), (2,), 0.02, error, 0.3, 0.3) for error in (0.02, 0.2)]
    assert [item.verdict for item in unsure] == ["equal", "not shown"]
    same = curves.Ensemble(made({"LASSO": rising(10), "ℓ1 1": rising(10)})).compare(("ℓ1 1", "LASSO"))
    assert (same.difference, same.p) == (0, 1)


def test_problems_are_paired(curves: Any) -> None:
    """The same problems are recovered: the difference is far surer than either curve."""
    ensemble = curves.Ensemble(made({"LASSO": rising(10), "ℓ1 1": rising(10.5)}))
    error = ensemble.compare(("ℓ1 1", "LASSO")).error
    alone = np.std(ensemble.halves["LASSO", 4].resampled, ddof=1) / math.sqrt(len(NONZEROS))
    assert error < alone / 2


def test_correction_is_holms(curves: Any) -> None:
    items = [curves.Comparison("", ("", ""), (2,), 0.1, 0.1, p) for p in (0.03, 0.01, 0.04)]
    assert [item.p_corrected for item in curves.corrected(items)] == pytest.approx([0.06, 0.03, 0.06])


def test_agreement_is_by_problem(curves: Any) -> None:
    ensemble = curves.Ensemble(made({"LASSO": lambda m, k: 0.5, "ℓ1 1": lambda m, k: 0.6}))
    assert ensemble.agreement("ℓ1 1", "LASSO") == (15 * 90, 15 * 10, 0)
    assert ensemble.totals("LASSO") == (15 * 51, 15 * 50)


def test_what_is_expected_of_lasso_is_near_the_proven_threshold(curves: Any) -> None:
    """2 k ln(n - k) is for large n; signs have the longest z."""
    for k in (4, 16):
        lasso = curves.expected("sign", k, 100, False)
        assert lasso == pytest.approx(2 * k * math.log(100 - k), rel=0.25)
        dn = [curves.expected(values, k, 100, True) for values in ("normal", "uniform", "sign")]
        assert lasso < dn[0] < dn[1] < dn[2]


def test_the_page_shows_what_is_complete_and_says_what_is_missing(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = sys.modules["recovery_methods"].METHODS
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    monkeypatch.setattr(program, "POINTS", tuple((m, k) for k in NONZEROS for m in SAMPLES))
    program._save("sign-0", made({method: rising(8 + place) for place, method in enumerate(methods)}))
    partial = made({method: rising(10) for method in methods}, "normal-0")
    program._save("normal-0", {**partial, "points": partial["points"][:7]})
    text, ensembles = program.page()
    assert [ensemble.name for ensemble in ensembles] == ["sign-0"]
    assert "| N(0, 1), no noise | missing |  |" in text
    assert "| ±1, no noise | 15 | 2 |" in text
    assert "normal-0.png" not in text
    assert "| OMP / LASSO | 1.1" in text
    drawn = sys.modules["recovery_page"].figures(ensembles)
    assert list(drawn) == ["curves.png", "sign-0.png"]
    assert all(data.startswith(b"\x89PNG") for data in drawn.values())


def test_the_check_counts_what_lies_on_the_path_of_lasso(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods, checked = sys.modules["recovery_methods"], []
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    point = {"m": 10, "k": 2, "recovered": ["5", "d", "5", "2"], "proposed": [2, 3, 2, 1]}
    names = ["LASSO", "ℓ1 1", "ℓ1 2", "ℓ1 3"]
    program._save("sign-0", {"ensemble": "sign-0", "problems": 4, "methods": names, "seconds": 1.0, "points": [point]})

    def problems(values: str, noise: float, m: int, k: int, seeds: list[int]) -> Any:
        checked.append(seeds)
        return methods.Problems(torch.tensor([seed == 1001 for seed in seeds]), None, None)

    monkeypatch.setattr(methods, "problems", problems)
    monkeypatch.setattr(methods, "on_lasso_path", lambda train, truth: train)
    program.check("sign-0")
    assert checked == [[1003], [1001]]
    assert program.load("sign-0")["on_path"] == {"ℓ1 1": 0, "ℓ1 2": 0, "ℓ1 3": 1}


def test_a_run_goes_on_where_it_was_stopped(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = sys.modules["recovery_methods"]
    drawn: list[tuple[int, int]] = []

    def recovered(problems: tuple[int, int], samples: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        drawn.append(problems)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        among = torch.tensor([True, False, True])
        return dict.fromkeys(methods.METHODS, (among, among))

    monkeypatch.setattr(program, "FOLDER", tmp_path)
    monkeypatch.setattr(methods, "problems", lambda values, noise, m, k, seeds: (m, k))
    monkeypatch.setattr(methods, "recovered", recovered)
    points = [(10, 2), (20, 2), (40, 2)]
    with pytest.raises(KeyboardInterrupt):
        program.run("sign-0.1", points, range(3))
    assert [(point["m"], point["k"]) for point in program.load("sign-0.1")["points"]] == points[:1]
    program.run("sign-0.1", points, range(3))
    assert drawn == [(10, 2), (20, 2), (20, 2), (40, 2)]
    record = json.loads((tmp_path / "sign-0.1.json").read_text("utf-8"))
    assert [point["recovered"][0] for point in record["points"]] == ["5"] * 3
    assert [point["proposed"][0] for point in record["points"]] == [2] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["sign-0.1.json"]
