"""Tables in files: what is read from them, and what is refused."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dn_distributed.data import DATASETS, DataError, Samples
from dn_distributed.data.table import Csv


@pytest.fixture
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": draw.normal(5, 2, 40),
            "b": draw.integers(0, 9, 40),
            "kind": np.where(np.arange(40) % 4 == 0, "x", "y"),
            "price": draw.normal(100, 20, 40),
            "part": ["train"] * 20 + ["validation"] * 10 + ["test"] * 10,
        }
    )


def load(frame: pd.DataFrame, folder: Path, name: str = "csv", **options: Any) -> Samples:
    if name == "csv":
        frame.to_csv(folder / "table", index=False)
    else:
        frame.to_parquet(folder / "table")
    defaults = {"target": "kind", "ignore": ["price", "part"]}
    dataset = DATASETS[name](**{"name": name, "path": "table", **defaults, **options})
    samples = dataset.load(folder)
    assert isinstance(samples, Samples)
    assert dataset.digest(samples) == samples.checksum
    return samples


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_text_is_a_label_and_numbers_are_standardised_on_training_rows(
    frame: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    samples = load(frame, tmp_path, name)
    assert (samples.num_classes, samples.input_shape) == (2, (2,))
    assert [len(split.inputs) for split in samples.parts.values()] == [28, 6, 6]
    train = samples.train.inputs
    torch.testing.assert_close(train.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(2))
    assert set(samples.train.targets.tolist()) == {0, 1}


def test_a_column_may_say_which_rows_are_for_what(frame: pd.DataFrame, tmp_path: Path) -> None:
    samples = load(frame, tmp_path, split="part", ignore=["kind"], target="price")
    assert samples.num_classes is None
    assert samples.num_outputs == 1
    a = torch.tensor(frame["a"].to_numpy())
    expected = (a - a[:20].mean()) / a[:20].std(correction=0)
    torch.testing.assert_close(samples.train.inputs[:, 0], expected[:20].float())
    torch.testing.assert_close(samples.test.inputs[:, 0], expected[30:].float())
    torch.testing.assert_close(samples.train.targets.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_the_drawn_rows_follow_from_their_seed_alone(frame: pd.DataFrame, tmp_path: Path) -> None:
    first, again, other = (load(frame, tmp_path, split_seed=seed).test.inputs for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whole_numbers_are_labels_unless_the_goal_says_otherwise(frame: pd.DataFrame, tmp_path: Path) -> None:
    numbers = frame.assign(kind=np.arange(40) % 3)
    assert load(numbers, tmp_path).num_classes == 3
    assert load(numbers, tmp_path, goal="regression").num_classes is None


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"target": "cost"}, "no column 'cost'; there are: a, b, kind, price, part"),
        ({"a": [np.nan, *range(39)]}, {}, "column 'a': 1 of 40 values are missing, the first in row 1"),
        ({"a": ["blue"] * 40}, {}, "column 'a' holds 'blue', which is no number"),
        ({"a": [np.inf, *range(39)]}, {}, "column 'a' holds an infinite number"),
        ({"kind": ["x"] * 39 + ["z"]}, {"split": "part", "ignore": ["price"]}, "class 'z' .* no row to train on"),
        ({"kind": ["x"] * 40}, {}, "nothing is to be told apart"),
        ({"part": ["learn"] * 40}, {"split": "part", "ignore": ["price"]}, "says 'learn'; valid: train, validation"),
        (
            {"part": ["train"] * 40},
            {"split": "part", "ignore": ["price"]},
            "never says .validation.: each",
        ),
        ({}, {"ignore": ["a", "b", "price", "part"]}, "no column but the target"),
        ({"a": [1e300, *range(39)]}, {}, "column 'a' cannot be standardised"),
        ({"price": [1e300, *range(39)]}, {"target": "price", "ignore": ["kind", "part"]}, "'price' cannot be stand"),
        (
            {"price": [3.0] * 20 + [4.0] * 20},
            {"target": "price", "goal": "regression", "split": "part", "ignore": ["kind"]},
            "the target is 3.0 in every row to train on",
        ),
        ({" kind": range(40)}, {}, "2 columns are called 'kind': give each a name of its own"),
        (
            {"Unnamed: 0": range(40)},
            {},
            "column 'Unnamed: 0' has no name .* index=False, or name 'Unnamed: 0' under ignore",
        ),
        ({"a": range(2**60, 2**60 + 40)}, {}, f"column 'a' holds {2**60 + 39}: of whole numbers beyond 2"),
        ({"a": range(-(2**53) - 1, -(2**53) + 39)}, {}, f"column 'a' holds {-(2**53) - 1}: of whole numbers beyond 2"),
        (
            {"price": range(2**60, 2**60 + 40)},
            {"target": "price", "ignore": ["kind", "part"]},
            f"column 'price' holds {2**60 + 39}: of whole numbers beyond 2",
        ),
        ({"a": [1e-200, *[0] * 39]}, {"split": "part", "ignore": ["price"]}, "column 'a' cannot be standardised"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(
    frame: pd.DataFrame, tmp_path: Path, change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(frame.assign(**change), tmp_path, **options)
    assert "\n" not in str(caught.value)


def of_labels(folder: Path, labels: Sequence[str], **options: Any) -> Samples:
    """A CSV file with these labels, as they are, in turns."""
    lines = [f"{number / 7},{labels[number % len(labels)]}" for number in range(20 * len(labels))]
    (folder / "t.csv").write_text("\n".join(["x,y", *lines]) + "\n", encoding="utf-8")
    return Csv(path="t.csv", target="y", **options).load(folder)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["01", "1", "10"], "'01' and '1'"),
        (['"01"', '"1"', '"10"'], "'01' and '1'"),
        (["1e1", "10", "2"], "'10' and '1e1'"),
        (["+1", "1", "2"], r"'\+1' and '1'"),
        (["1", "1.", "007", "7"], "'007' and '7'"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"goal": "classification"}])
def test_classes_that_are_written_differently_are_not_one_number(
    tmp_path: Path, labels: list[str], named: str, options: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match=f"^[^\n]*holds {named}, which are one number: [^\n]*$"):
        of_labels(tmp_path, labels, **options)


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        (["01", "02", "10"], 3),  # nothing is lost
        (["1", "1.0", " 1", "2"], 2),
        (["-0.0", "0", "1.50", "1.5"], 2),
        (["True", "TRUE", "false"], 2),
        (["a1", "a01"], 2),
    ],
)
def test_classes_that_are_numbers_may_be_written_with_more_decimals(
    tmp_path: Path, labels: list[str], count: int
) -> None:
    assert of_labels(tmp_path, labels, goal="classification").num_classes == count


@pytest.mark.parametrize("other", [" no", "no ", "no\t"])
def test_classes_that_differ_by_spaces_alone_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(DataError, match=r"which differ by spaces alone: write them alike if they are one class"):
        of_labels(tmp_path, ["no", other, "yes"])


def test_a_number_to_predict_may_be_written_as_anyone_likes(tmp_path: Path) -> None:
    assert of_labels(tmp_path, ["01", "1", "1e1"], goal="regression").num_classes is None


def test_a_column_that_is_constant_in_training_rows_is_0_in_all(frame: pd.DataFrame, tmp_path: Path) -> None:
    constant = load(frame.assign(a=[0.1] * 39 + [5e6]), tmp_path, split="part", ignore=["price"])
    assert not any(split.inputs[:, 0].any() for split in constant.parts.values())
    assert constant.checksum != hashlib.sha256((tmp_path / "table").read_bytes()).hexdigest()
    everywhere = load(frame.assign(a=0.1), tmp_path, split="part", ignore=["price"])
    assert everywhere.checksum == hashlib.sha256((tmp_path / "table").read_bytes()).hexdigest()


@pytest.mark.parametrize("other", [1 - 9 * 2**-53, 1 + 5 * 2**-52])
def test_a_column_that_is_constant_but_for_rounding_is_0_too(frame: pd.DataFrame, tmp_path: Path, other: float) -> None:
    near = [1.0, other] * 20
    samples = load(frame.assign(a=near), tmp_path, split="part", ignore=["price"])
    assert not any(split.inputs[:, 0].any() for split in samples.parts.values())
    assert samples.checksum != hashlib.sha256((tmp_path / "table").read_bytes()).hexdigest()
    with pytest.raises(DataError, match=r"the target is 1\.0 in every row to train on"):
        load(frame.assign(price=near), tmp_path, split="part", target="price", ignore=["kind"], goal="regression")
    small = load(frame.assign(a=[1e-20, 3e-20] * 20), tmp_path, split="part", ignore=["price"])
    assert small.train.inputs[:, 0].std(unbiased=False) == pytest.approx(1)


def test_numbers_of_rows_are_no_input(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.sort_values("kind").to_csv(tmp_path / "table")
    options: dict[str, Any] = {"name": "csv", "path": "table", "target": "kind"}
    with pytest.raises(DataError, match="table: column 'Unnamed: 0' has no name of its own"):
        DATASETS["csv"](**{**options, "ignore": ["price", "part"]}).load(tmp_path)
    samples = DATASETS["csv"](**{**options, "ignore": ["price", "part", "Unnamed: 0"]}).load(tmp_path)
    assert isinstance(samples, Samples)
    assert samples.input_shape == (2,)


def test_whole_numbers_that_float64_holds_are_read(frame: pd.DataFrame, tmp_path: Path) -> None:
    inputs = load(frame.assign(a=range(2**53 - 39, 2**53 + 1)), tmp_path).train.inputs[:, 0]
    assert len(set(inputs.tolist())) == 28
    labels = load(frame.assign(kind=[2**60, 2**60 + 1] * 20), tmp_path)
    assert labels.num_classes == 2


def test_a_named_index_of_a_parquet_file_is_a_column(frame: pd.DataFrame, tmp_path: Path) -> None:
    without = load(frame, tmp_path, "parquet")
    samples = load(frame.set_index("b"), tmp_path, "parquet")
    assert torch.equal(samples.train.inputs, without.train.inputs[:, [1, 0]])
    assert samples.checksum != hashlib.sha256((tmp_path / "table").read_bytes()).hexdigest()
    unnamed = load(frame.set_index(frame["b"].rename(None)), tmp_path, "parquet")
    assert torch.equal(unnamed.train.inputs, without.train.inputs)
    assert load(frame.set_index(["price", "b"]), tmp_path, "parquet").input_shape == (2,)
    assert load(frame.set_index("kind"), tmp_path, "parquet").num_classes == 2
    with pytest.raises(DataError, match="2 columns are called 'b'"):
        load(frame.set_index(frame["a"].rename(" b")), tmp_path, "parquet")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.to_timedelta(range(40), unit="s"), "the target 'kind' holds '0 days .*' of the type Timedelta: save it"),
        (pd.date_range("2020", periods=40), "the target 'kind' holds '2020-01-01 .*' of the type Timestamp: save it"),
        ([Decimal("1.5"), Decimal(2)] * 20, "the target 'kind' holds '1.5.*' of the type Decimal: save it as numbers"),
        ([[1], [2]] * 20, "the target 'kind' holds '.1.' of the type ndarray: save it"),
    ],
    ids=["duration", "date", "decimal", "list"],
)
def test_a_target_of_another_type_is_refused_in_one_line(
    frame: pd.DataFrame, tmp_path: Path, column: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(frame.assign(kind=column), tmp_path, "parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["category", "boolean", "bool", "bytes", "Int64"])
def test_a_target_of_classes_may_be_written_in_several_ways(frame: pd.DataFrame, tmp_path: Path, kind: str) -> None:
    values = pd.Series([b"x", b"y"] * 20) if kind == "bytes" else pd.Series([0, 1] * 20).astype(kind)
    assert load(frame.assign(kind=values), tmp_path, "parquet").num_classes == 2


def test_inputs_that_are_neither_text_nor_numbers_are_not_to_be_encoded(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no number: cast it to numbers \(astype\(float\)\), or name it under ignore"):
        load(frame.assign(a=[Decimal("1.5"), Decimal(2)] * 20), tmp_path, "parquet")
    with pytest.raises(DataError, match="no number: save it as numbers, or name it under ignore"):
        load(frame.assign(a=pd.date_range("2020", periods=40)), tmp_path, "parquet")


@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_the_second_column_of_a_name_is_no_input(tmp_path: Path, start: str) -> None:
    (tmp_path / "table").write_text(start + '"x","y", y\n' + "1,0,0\n2,1,1\n" * 20)
    dataset = DATASETS["csv"](**{"name": "csv", "path": "table", "target": "y"})
    with pytest.raises(DataError, match="2 columns are called 'y'"):
        dataset.load(tmp_path)


def test_the_second_column_of_a_name_in_a_parquet_file_is_no_input(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = [pa.array(range(40)), pa.array([0, 1] * 20), pa.array([0, 1] * 20)]
    pq.write_table(pa.table(columns, names=["x", "y", "y"]), tmp_path / "table")
    dataset = DATASETS["parquet"](**{"name": "parquet", "path": "table", "target": "y"})
    with pytest.raises(DataError, match=r"table: .*y"):
        dataset.load(tmp_path)


def test_the_column_of_parts_may_stand_among_the_ignored_ones(frame: pd.DataFrame, tmp_path: Path) -> None:
    one, other = (load(frame, tmp_path, split="part", ignore=ignore) for ignore in (["price"], ["price", "part"]))
    assert torch.equal(one.train.inputs, other.train.inputs)


def test_lines_with_a_value_more_than_the_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("a,b,x\n" + "1,2,3,4\n" * 40)
    dataset = DATASETS["csv"](**{"name": "csv", "path": "table", "target": "x"})
    with pytest.raises(DataError, match="lines have more values than the first one"):
        dataset.load(tmp_path)


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    dataset = DATASETS[name](**{"name": name, "path": "table", "target": "x"})
    with pytest.raises(DataError, match="No such file"):
        dataset.load(tmp_path)
    (tmp_path / "table").write_bytes(b"\x00\xff\xfe")
    with pytest.raises(DataError, match="table: no"):
        dataset.load(tmp_path)


def test_two_columns_of_one_name_are_no_fault_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("x,x,b\n" + "1,2,3\n" * 40)
    dataset = DATASETS["csv"](**{"name": "csv", "path": "table", "target": "x"})
    with pytest.raises(DataError, match=r"table: 2 columns are called 'x'"):
        dataset.load(tmp_path)
