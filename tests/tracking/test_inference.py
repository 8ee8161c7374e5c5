"""Against values worked out by hand, scipy's own functions, and simulation."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.near import near
from tracking.results import inference
from tracking.results.inference import Interval

VALUES = [4.0, 5.0, 6.0]
T_975_2 = 4.302652729911275


HALF = T_975_2 / math.sqrt(3)


def test_an_interval_of_positive_values_is_students_of_their_logarithms() -> None:
    found = inference.mean_interval([math.exp(value) for value in VALUES])
    low, high = near(math.exp(5 - HALF)), near(math.exp(5 + HALF))
    assert found == Interval(low, high, of_logarithms=True)


def test_where_a_value_is_zero_the_interval_is_students_of_the_values() -> None:
    assert inference.mean_interval([0.0, 1.0, 2.0]) == Interval(near(1 - HALF), near(1 + HALF))


def test_one_value_far_off_does_not_change_the_rule() -> None:
    """No test of the values decides: with five of them none could."""
    found = inference.mean_interval([1e-6, 1e-6, 1e-6, 1.1e-6, 1.0])
    assert found is not None
    assert found.of_logarithms
    assert 0 < found.low < 1e-5 < found.high


def test_a_prediction_interval_is_for_one_more_run_of_what_cannot_be_negative() -> None:
    found = inference.prediction_interval([math.exp(value) for value in VALUES])
    half = T_975_2 * math.sqrt(1 + 1 / 3)
    assert found == Interval(near(math.exp(5 - half)), near(math.exp(5 + half)), of_logarithms=True)


def test_where_some_runs_have_nothing_left_one_more_is_not_predicted() -> None:
    assert inference.prediction_interval([0.0, 1.0, 2.0]) is None
    assert inference.prediction_interval([-1.0, 1.0]) is None


def test_runs_that_are_all_the_same_predict_nothing() -> None:
    assert inference.prediction_interval([2.0, 2.0, 2.0]) is None


def test_with_many_runs_of_which_some_have_nothing_left_the_outermost_are_cut_off() -> None:
    values = [float(value) for value in range(100)]
    assert inference.prediction_interval(values) == Interval(1.0, 98.0)
    assert inference.prediction_interval(values[:39]) == Interval(0.0, 38.0)
    assert inference.prediction_interval(values[:38]) is None


def test_a_prediction_keeps_to_what_there_can_be() -> None:
    found = inference.prediction_interval([0.9, 0.5, 0.99], most=1.0)
    assert found is not None
    assert found.high == 1.0
    above = inference.prediction_interval([1.1, 1.5, 4.0], least=1.0)
    assert above is not None
    assert above.low == 1.0 < above.high


def test_a_prediction_from_runs_that_differ_beyond_all_bounds_has_no_end() -> None:
    found = inference.prediction_interval([1e-300, 1e300])
    assert found == Interval(0.0, math.inf, of_logarithms=True)


@pytest.mark.parametrize(("ones", "low", "high"), [(10, 0.6915, 1.0), (1, 0.0025, 0.4450), (0, 0.0, 0.3085)])
def test_a_share_of_ten_is_uncertain_also_where_all_agree(ones: int, low: float, high: float) -> None:
    found = inference.share_interval([1.0] * ones + [0.0] * (10 - ones))
    assert found == Interval(near(low, abs=1e-4), near(high, abs=1e-4))


def test_the_ends_of_a_share_are_exact() -> None:
    found = inference.share_interval([0.0] * 100)
    assert found is not None
    assert found.high == near(1 - 0.025**0.01, abs=1e-15)


def test_of_no_values_there_is_no_share() -> None:
    assert inference.share_interval([]) is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_without_a_spread_there_is_no_interval(values: list[float]) -> None:
    assert inference.mean_interval(values) is None
    assert inference.prediction_interval(values) is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert inference.mean_interval([2.0] * 4) == Interval(2.0, 2.0)


def test_a_prediction_interval_holds_95_of_100_runs() -> None:
    draw = random.Random(0)
    trials = 4000
    inside = 0
    for _ in range(trials):
        *sample, one_more = (draw.lognormvariate(3, 2) for _ in range(11))
        interval = inference.prediction_interval(sample)
        assert interval is not None
        inside += interval.distance(one_more) == 0
    assert inside / trials == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("value", "distance"), [(0.5, -0.5), (1.0, 0.0), (1.5, 0.0), (2.0, 0.0), (2.25, 0.25)])
def test_distance_to_an_interval(value: float, distance: float) -> None:
    assert Interval(1.0, 2.0).distance(value) == distance


@pytest.mark.parametrize(
    ("low", "high", "distance"), [(0.0, 0.5, -0.5), (0.0, 1.0, 0.0), (0.5, 3.0, 0.0), (2.0, 3.0, 0.0), (2.5, 3.0, 0.5)]
)
def test_distance_of_a_range_to_an_interval(low: float, high: float, distance: float) -> None:
    assert Interval(1.0, 2.0).distance(low, high) == distance


def test_a_comparison_is_the_paired_t_test() -> None:
    a, b = {0: 1.0, 1: 2.5, 2: 3.0, 3: 4.5}, {0: 0.5, 1: 2.6, 2: 2.0, 3: 4.0}
    (found,) = inference.compare("q", {"a": a, "b": b})
    expected = stats.ttest_rel(list(a.values()), list(b.values()))
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == (near(interval.low), near(interval.high))
    assert (found.n, found.difference) == (4, near(0.475))


def test_logarithms_are_compared_as_ratios() -> None:
    samples = {"a": {0: 2.0, 1: 0.02}, "b": {0: 1.0, 1: 0.01}}
    logarithms = inference.logarithms(samples)
    assert logarithms is not None
    (found,) = inference.compare("q", logarithms, is_ratio=True)
    assert found.is_ratio
    assert math.exp(found.difference) == pytest.approx(2)
    assert inference.logarithms({"a": {0: 0.0}}) is None


def test_pairs_are_made_of_the_seeds_that_both_have() -> None:
    (found,) = inference.compare("q", {"a": {0: 1.0, 1: 2.0, 9: 99.0}, "b": {1: 1.0, 0: 0.5, 8: -99.0}})
    assert (found.n, found.difference) == (2, 0.75)
    assert inference.compare("q", {"a": {0: 1.0}, "b": {0: 2.0}}) == []


def test_of_the_same_difference_at_every_seed_the_signs_are_counted() -> None:
    (same,) = inference.compare("q", {"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 1: 2.0}})
    (apart,) = inference.compare("q", {"a": {0: 2.0, 1: 3.0}, "b": {0: 1.0, 1: 2.0}})
    assert (same.p, same.effect) == (1.0, 0.0)
    assert (apart.p, apart.effect) == (0.5, math.inf)
    (rounded,) = inference.compare("q", {"a": {0: 0.3, 1: 0.4}, "b": {0: 0.1, 1: 0.2}})
    assert rounded.p == 0.5
    (often,) = inference.compare("q", {"a": dict.fromkeys(range(10), 3.0), "b": dict.fromkeys(range(10), 1.0)})
    assert often.p == pytest.approx(stats.binomtest(10, 10).pvalue)


def with_p(p: float) -> inference.Comparison:
    return inference.Comparison("q", "a", "b", 6, 1.0, Interval(0, 2), 1.0, p, p)


def test_holms_correction_by_hand() -> None:
    found = inference.corrected([with_p(p) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [item.p_corrected for item in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [item.holds for item in found] == [True, False, False, True]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_correction_never_makes_p_smaller_and_keeps_the_order(ps: list[float]) -> None:
    found = inference.corrected([with_p(p) for p in ps])
    assert all(item.p <= item.p_corrected <= 1 for item in found)
    by_p = sorted(found, key=lambda item: item.p)
    assert [item.p_corrected for item in by_p] == sorted(item.p_corrected for item in found)
