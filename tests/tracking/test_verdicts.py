"""Verdicts on figures whose place is plain."""

from collections import Counter
from fractions import Fraction

import pytest

from tests.near import near
from tracking import published_rows
from tracking.results.cells import Stat, stat
from tracking.tables import grids, published, verdicts
from tracking.tables.columns import COMPRESSION, SCORE_AFTER, Column
from tracking.tables.published import Figure
from tracking.tables.verdicts import Verdict

RATIO = Column("key", "title", lambda _row: None, "ratio")
FIVE = (10.0, 10.5, 9.5, 10.2, 9.8)


def judged(values: tuple[float, ...], figure: Figure) -> Verdict:
    found = stat(values)
    assert found is not None
    return verdicts.judge(RATIO, found, figure)


def test_a_figure_is_inside_or_outside_of_what_one_more_run_would_give() -> None:
    predicted = RATIO.prediction_interval(FIVE)
    assert predicted is not None
    assert judged(FIVE, Figure(Fraction(10))) == Verdict("inside", 0.0, predicted)
    above = judged(FIVE, Figure(Fraction(20)))
    assert (above.word, above.outside_by) == ("outside", near(20 - predicted.high))
    below = judged(FIVE, Figure(Fraction(5)))
    assert (below.word, below.outside_by) == ("outside", near(5 - predicted.low))


def test_of_fewer_than_five_runs_nothing_is_said() -> None:
    for figure in (Figure(Fraction(10)), Figure(Fraction(1000))):
        verdict = judged(FIVE[:4], figure)
        assert (verdict.word, verdict.outside_by) == ("none", 0.0)
        assert verdict.one_more_run is not None
    assert judged((7.0,) * 4, Figure(Fraction(7))).word == "none"


def test_no_verdict_is_finer_than_the_last_printed_digit() -> None:
    predicted = RATIO.prediction_interval(FIVE)
    assert predicted is not None
    value = Fraction("11.24")
    assert predicted.high == pytest.approx(11.2225, abs=1e-4)
    assert judged(FIVE, Figure(value, Fraction("0.05"))).word == "inside"
    fine = judged(FIVE, Figure(value, Fraction("0.005")))
    assert (fine.word, fine.outside_by) == ("outside", near(11.235 - predicted.high))


def test_what_is_the_same_in_every_run_is_equal_or_nothing_is_said() -> None:
    assert judged((784.0,) * 5, Figure(Fraction(784))) == Verdict("equal")
    assert judged((784.0,) * 5, Figure(Fraction(783))) == Verdict("none")
    assert judged((1.0042,) * 5, Figure.printed("1.004")) == Verdict("equal")


def test_nothing_is_said_of_what_is_missing_or_not_predicted() -> None:
    figure = Figure(Fraction(1))
    assert verdicts.judge(RATIO, None, figure) == Verdict("none")
    assert verdicts.judge(RATIO, Stat(0.5, None, 1, (0.5,)), figure) == Verdict("none")
    assert judged((0.0, 1.0, 2.0, 3.0, 4.0), figure) == Verdict("none")


def test_figures_are_counted_with_and_without_those_that_follow_from_others() -> None:
    found = verdicts.count(
        [(SCORE_AFTER, Verdict("inside")), (COMPRESSION, Verdict("outside", 1.0)), ("density_0", Verdict("none"))]
    )
    assert found.all == Counter({"inside": 1, "outside": 1, "none": 1})
    assert found.of_their_own == Counter({"inside": 1, "none": 1})
    all_of_them, their_own = grids.verdict_counts(found).split("; ")
    assert all_of_them == "3 (1 inside, 1 outside, 1 without a verdict)"
    assert their_own == "that do not follow from others, 2 (1 inside, 1 without a verdict)"


def test_146_figures_are_published_and_107_do_not_follow_from_others() -> None:
    figures = [
        key
        for task in ("regression", "autoencoder", "lenet300", "lenet5", "convnet")
        for row in published_rows.row_names(task)
        for key in published.as_printed(task, row)
    ]
    assert len(figures) == 146
    assert sum(key not in published.DERIVED for key in figures) == 107
