from fractions import Fraction
from importlib.resources import files
from typing import Any

import pytest
import yaml

from dn_distributed.tasks import TASKS
from tests.dn_distributed.support import make_task, weight_shapes
from tracking import published_rows
from tracking.tables import columns, number_text, published
from tracking.tables.columns import Column
from tracking.tables.published import Figure

ENTRIES = yaml.safe_load(files("tracking").joinpath("published.yaml").read_text(encoding="utf-8"))
ROWS = [(task, row) for task, rows in ENTRIES.items() for row in rows]
ALL = pytest.mark.parametrize(("task", "row"), ROWS)


def shapes_of(task: str) -> list[tuple[int, ...]]:
    return weight_shapes(make_task(task))


def test_every_task_of_the_paper_has_published_rows() -> None:
    shipped = {name for name, task in TASKS.items() if task.__module__.startswith("dn_distributed.")}
    assert set(ENTRIES) == shipped - {"lenet5_caffe", "network"}  # not of the paper
    assert all(len(published_rows.row_names(task)) >= 2 for task in ENTRIES)


def test_a_task_of_your_own_has_none() -> None:
    assert published_rows.row_names("mine") == ()


@ALL
def test_every_figure_of_a_row_is_there(task: str, row: str) -> None:
    figures = published.figures(task, row)
    layers = range(len(shapes_of(task)))
    expected = {columns.SCORE_AFTER, columns.DENSITY, columns.COMPRESSION, columns.NEURONS}
    expected |= {columns.layer_density(layer) for layer in layers}
    expected |= {columns.layer_neurons(layer) for layer in (*layers, len(layers))}
    if task != "regression":  # its script prints the error after pruning only
        expected |= {columns.SCORE_BEFORE}
    assert set(figures) == expected


@ALL
def test_weights_are_those_of_the_network_and_add_up(task: str, row: str) -> None:
    nonzero, total = ENTRIES[task][row]["weights"]
    sizes = [n_out * n_in for n_out, n_in in shapes_of(task)]
    assert total == sum(sizes)
    shares = ENTRIES[task][row]["density"]
    added = sum(share / 100 * size for share, size in zip(shares, sizes, strict=True))
    assert added == pytest.approx(nonzero, rel=2e-3)


@ALL
def test_compression_is_weights_over_nonzero_weights(task: str, row: str) -> None:
    nonzero, total = ENTRIES[task][row]["weights"]
    assert ENTRIES[task][row]["compression"] == pytest.approx(total / nonzero, rel=5e-4)
    assert published.figures(task, row)[columns.DENSITY] == nonzero / total


@ALL
def test_neurons_add_up_and_fit_the_network(task: str, row: str) -> None:
    entry, shapes = ENTRIES[task][row], shapes_of(task)
    units = [shapes[0][1], *(n_out for n_out, _ in shapes)]
    assert entry["total"] == [sum(entry["neurons"]), sum(units)]
    assert all(0 < left <= unit for left, unit in zip(entry["neurons"], units, strict=True))


@ALL
def test_scores_are_in_their_range(task: str, row: str) -> None:
    figures = published.figures(task, row)
    low, high = (0.9, 1.0) if TASKS[task].scores[0].name == "accuracy" else (0.0, 1.0)
    assert all(low < figures[key] < high for key in (columns.SCORE_BEFORE, columns.SCORE_AFTER) if key in figures)


@pytest.mark.parametrize(
    ("task", "key", "value", "half_a_digit"),
    [
        ("convnet", columns.SCORE_AFTER, Fraction(989, 1000), Fraction(1, 2000)),  # an error of 1.1 %
        ("lenet5", columns.SCORE_AFTER, Fraction(9896, 10_000), Fraction(1, 20_000)),
        ("lenet5", columns.COMPRESSION, Fraction("17.95"), Fraction("0.005")),
        ("lenet5", columns.layer_density(0), Fraction("0.05425"), Fraction("0.000005")),
        ("regression", columns.layer_density(1), Fraction(1), Fraction("0.005")),  # printed as 100
        ("lenet5", columns.NEURONS, Fraction(1369), Fraction(0)),
        ("lenet5", columns.DENSITY, Fraction(89744, 1610752), Fraction(0)),
    ],
)
def test_a_figure_is_as_exact_as_it_was_printed(task: str, key: str, value: Fraction, half_a_digit: Fraction) -> None:
    figure = published.as_printed(task, "ℓ1+DO+P")[key]
    assert (figure.value, figure.half_a_digit) == (value, half_a_digit)


@pytest.mark.parametrize(
    ("kind", "figure", "text"),
    [
        ("percent", Figure.printed("0.990"), "99.0"),
        ("percent", Figure.printed("0.9817"), "98.17"),
        ("percent", Figure.printed("9.563", 2), "9.56"),
        ("percent", Figure.printed("100", 2), "100"),
        ("percent", Figure(Fraction(1, 3)), "33.33"),
        ("ratio", Figure.printed("35.0"), "35.0"),
        ("score", Figure.printed("3.58e-4"), "3.58e-04"),
        ("score", Figure.printed("0.539"), "0.539"),
        ("score", Figure.printed("0.0121184"), "0.01212"),
        ("count", Figure(Fraction(784)), "784"),
    ],
)
def test_no_digit_is_written_that_was_not_printed(kind: Any, figure: Figure, text: str) -> None:
    assert number_text.published(Column("key", "title", lambda _row: None, kind), figure) == text


def test_an_unpublished_row_is_an_error() -> None:
    with pytest.raises(KeyError):
        published.figures("lenet5", "no such row")
