"""Tables in CSV and Parquet files: a column to predict, and numbers in the others to predict it from."""

from __future__ import annotations

import hashlib
import os
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from dn_distributed.data.base import DataError, Samples, Split
from dn_distributed.data.samples import SampleDataset, check_samples
from dn_distributed.files import open_regular
from dn_distributed.seeds import generator
from dn_distributed.text import first_line, quoted

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("train", "validation", "test")
_MOST_CLASSES = 20
"""Whole numbers in the target with more values than these are taken for numbers, unless ``goal`` says otherwise."""
_SHOWN = 10
_UNNAMED = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""What pandas calls a column without a name, and pyarrow an index: numbers of rows, of which none tells anything."""
_PLAIN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d*)?|-?\.\d+")
"""A number without zeros in front or a power of ten: what else is read as one may be a code."""
_ZEROED = b"columns that are constant in training are 0"
"""Added to the checksum where it is so of rows elsewhere that differ: earlier versions read other numbers there."""
_INDEXED = b"named levels of the index are columns"
"""Added to the checksum where there are any: earlier versions left them out."""
_LARGEST_EXACT = 2**53
"""Of whole numbers: beyond it, several are one float64."""

_ROUNDING = 16 * np.finfo(np.float64).eps
"""The spread of numbers, of the largest of them, that a sum or a quotient in another order makes of one."""

Share = Annotated[float, Field(gt=0, lt=1)]


class Table(SampleDataset):
    """Rows of a file. Columns, and a target of numbers, are standardised: mean 0 and deviation 1 over training rows."""

    path: Annotated[str, Field(min_length=1)]
    """The file: beside the sweep file, or in the data folder (``--data-dir``). Its content, not its place, is part of
    the identity of results."""
    target: str
    """The column to predict."""
    goal: Literal["classification", "regression"] | None = None
    """Left out: classification where the target is text, true and false, or at most 20 different whole numbers."""
    ignore: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns that are not read."""
    split: str | None = None
    """A column that says of each row ``train``, ``validation`` or ``test``; left out: rows are drawn."""
    validation: Share = 0.15
    """The share of the rows that is drawn for validation."""
    test: Share = 0.15
    """The share that is drawn for testing."""
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the draw: the same rows for all seeds of the sweep."""

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self

    def check_written(self) -> None:
        """ValueError for options of a draw beside ``split``, and for a target that is to be ignored."""
        drawn = [key for key in ("validation", "test", "split_seed") if key in self.model_fields_set]
        if self.split is not None and drawn:
            raise ValueError(
                f"{drawn[0]} does nothing beside split: the column {quoted(self.split)} says which rows are for what; "
                "leave out one of them"
            )
        if self.target in self.ignore:
            raise ValueError(f"the target {quoted(self.target)} stands under ignore too: take it out there")

    def located_in(self, data_dir: Path, beside: Path) -> Path:
        """Return the folder of the sweep file where the file lies in it, else ``data_dir``."""
        return beside if os.path.exists(beside / self.path) else data_dir

    def check_present(self, data_dir: Path) -> None:
        """Nothing is ever downloaded: ``load`` says what is missing."""

    def load(self, data_dir: Path) -> Samples:
        """Read the file. DataError, in one line, for what cannot be trained on."""
        path = data_dir / Path(self.path).expanduser()
        try:
            with open_regular(path) as file:
                checksum = hashlib.sha256(file.read()).hexdigest()
                file.seek(0)
                frame = self._read(file)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except Exception as error:  # of pandas and pyarrow: ParserError, UnicodeDecodeError, ArrowInvalid and others
            raise DataError(f"{path}: no {self.name} file ({first_line(error)})") from error
        if levels := [place for place, name in enumerate(frame.index.names) if name is not None]:
            frame = frame.reset_index(level=levels, allow_duplicates=True)
            checksum = hashlib.sha256(checksum.encode() + _INDEXED).hexdigest()
        try:
            return self._samples(frame, checksum)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    @abstractmethod
    def _read(self, file: BinaryIO) -> pd.DataFrame:
        """Return the rows of the file."""

    def _samples(self, frame: pd.DataFrame, checksum: str) -> Samples:
        frame.columns = frame.columns.map(str)
        _check_names(frame.columns, self.ignore)
        for column in (self.target, *self.ignore, *filter(None, (self.split,))):
            if column not in frame.columns:
                raise DataError(f"no column {quoted(column)}; there are: {_list(frame.columns)}")
        frame = frame.drop(columns=[name for name in self.ignore if name not in (self.target, self.split)])
        _check_whole(frame)
        rows = self._rows(frame)
        target = frame[self.target]
        _check_target(target)
        inputs = frame.drop(columns=[self.target, *filter(None, (self.split,))])
        if not inputs.shape[1]:
            raise DataError("there is no column but the target")
        x, is_zeroed = _standardised(inputs, rows["train"])
        if is_zeroed:
            checksum = hashlib.sha256(checksum.encode() + _ZEROED).hexdigest()
        if self.goal == "classification" or (self.goal is None and _names_classes(target)):
            values = target.to_numpy() if _is_numeric(target) else target.astype(str).to_numpy(dtype=object)
            classes, labels = np.unique(values, return_inverse=True)
            _check_spaces(self.target, classes)
            _check_classes(classes, labels, rows)
            y, num_classes = torch.from_numpy(labels.astype(np.int64)), len(classes)
        else:
            _check_varies(target, rows["train"])
            y, num_classes = _standardised(target.to_frame(), rows["train"])[0], 0
        parts = {part: Split(x[rows[part]].contiguous(), y[rows[part]].contiguous()) for part in _PARTS}
        samples = Samples(**parts, num_classes=num_classes or None, checksum=checksum)
        check_samples(self.name, samples)
        return samples

    def _rows(self, frame: pd.DataFrame) -> dict[str, torch.Tensor]:
        """Return by part the places of its rows, each at least one."""
        if self.split is not None:
            said = frame[self.split].astype(str)
            if unknown := sorted(set(said) - set(_PARTS)):
                raise DataError(f"column {quoted(self.split)} says {quoted(unknown[0])}; valid: {', '.join(_PARTS)}")
            if unsaid := [part for part in _PARTS if part not in set(said)]:
                raise DataError(f"column {quoted(self.split)} never says {quoted(unsaid[0])}: each part needs a row")
            found = {part: torch.from_numpy(np.flatnonzero((said == part).to_numpy())) for part in _PARTS}
        else:
            order = torch.randperm(len(frame), generator=generator(self.split_seed, "split"))
            sizes = [round(share * len(frame)) for share in (self.validation, self.test)]
            validation, test, train = torch.split(order, [*sizes, len(frame) - sum(sizes)])
            found = {"train": train, "validation": validation, "test": test}
        if any(not len(rows) for rows in found.values()):
            counts = ", ".join(f"{len(rows)} {part}" for part, rows in found.items())
            raise DataError(f"{len(frame)} rows are too few ({counts}): each part needs one at least")
        return found


class Csv(Table):
    """A table in a CSV file whose first line names the columns."""

    name: Literal["csv"] = "csv"
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What stands between two values."""

    def _read(self, file: BinaryIO) -> pd.DataFrame:
        import pandas as pd

        first = pd.read_csv(file, sep=self.separator, header=None, nrows=1, dtype=str, keep_default_na=False)
        _check_doubled(first.iloc[0])  # pandas calls the second one of a name another
        file.seek(0)
        frame = pd.read_csv(file, sep=self.separator, low_memory=False)
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what has no name for names of rows
            raise DataError("lines have more values than the first one has names of columns")
        if self._holds_numbered_classes(frame):
            file.seek(0)
            texts = pd.read_csv(
                file, sep=self.separator, usecols=[self.target], dtype=str, keep_default_na=False, low_memory=False
            )
            _check_texts(texts[self.target], frame[self.target])
        return frame

    def _holds_numbered_classes(self, frame: pd.DataFrame) -> bool:
        """Return whether the target is whole, and numbers, or true and false, that name classes."""
        if self.target not in frame.columns:
            return False
        target = frame[self.target]
        is_classes = self.goal == "classification" or (self.goal is None and _names_classes(target))
        return is_classes and _is_numeric(target) and not target.isna().any()


class Parquet(Table):
    """A table in a Parquet file."""

    name: Literal["parquet"] = "parquet"

    def _read(self, file: BinaryIO) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(file)


def _list(columns: Any) -> str:
    more = f" and {len(columns) - _SHOWN} more" * (len(columns) > _SHOWN)
    return ", ".join(columns[:_SHOWN]) + more


def _check_doubled(names: Iterable[str]) -> None:
    """DataError for a name that several columns have: which of them is meant is not known."""
    counts = Counter(name.strip() for name in names)
    for name, count in counts.items():
        if name and count > 1:
            raise DataError(f"{count} columns are called {quoted(name)}: give each a name of its own")


def _check_names(columns: Iterable[str], ignored: Iterable[str]) -> None:
    """DataError for names that are doubled, and for a column without a name: a row's number may tell its target."""
    _check_doubled(columns)
    for name in columns:
        if _UNNAMED.fullmatch(name) and name not in ignored:
            raise DataError(
                f"column {quoted(name)} has no name of its own, as pandas writes the numbers of rows: write the file "
                f"with index=False, or name {quoted(name)} under ignore"
            )


def _check_target(target: pd.Series[Any]) -> None:
    """DataError for a target that is neither text nor numbers nor true and false: it may be meant as either."""
    known = (str, bytes, np.bool_, Real)
    odd = [] if _is_numeric(target) else [value for value in target if not isinstance(value, known)]
    if odd:
        raise DataError(
            f"the target {quoted(str(target.name))} holds {quoted(str(odd[0]))} of the type {type(odd[0]).__name__}: "
            "save it as numbers, or as text where it names classes"
        )


def _check_texts(texts: pd.Series[str], values: pd.Series[Any]) -> None:
    """DataError where classes that are written differently, as 01 and 1, were read as one number: they may be codes."""
    different: dict[Any, dict[object, str]] = {}
    for text, value in dict.fromkeys(zip(texts.str.strip(), values, strict=True)):
        different.setdefault(value, {})[_meaning(text)] = text
    for forms in different.values():
        if len(forms) > 1:
            first, second = sorted(forms.values())[:2]
            raise DataError(
                f"the target {quoted(str(values.name))} holds {quoted(first)} and {quoted(second)}, which are one "
                "number: write them alike if they are one class, or with a letter in front if they are two"
            )


def _check_spaces(name: str, classes: Iterable[Any]) -> None:
    """DataError where names of classes differ by spaces alone, which nobody sees."""
    found: dict[str, str] = {}
    for text in classes:
        if not isinstance(text, str):
            continue
        other = found.setdefault(" ".join(text.split()), text)
        if other != text:
            raise DataError(
                f"the target {quoted(name)} holds {quoted(other)} and {quoted(text)}, which differ by spaces alone: "
                "write them alike if they are one class, or with another letter if they are two"
            )


def _meaning(text: str) -> object:
    """Return the number that a text is as people write numbers, ``1.50`` and ``1.5`` alike; of others the text."""
    if _PLAIN.fullmatch(text):
        return Decimal(text)
    return text.lower() if text.lower() in ("true", "false") else text


def _check_exact(frame: pd.DataFrame) -> None:
    """DataError at the first column with whole numbers that are not exact as float64: different ones would be one."""
    from pandas.api import types

    for name, column in frame.items():
        if types.is_integer_dtype(column):
            largest = max(int(column.max()), int(column.min()), key=abs)
            if abs(largest) > _LARGEST_EXACT:
                raise DataError(
                    f"column {quoted(str(name))} holds {largest}: of whole numbers beyond 2**53 the last digits would "
                    "be lost; name it under ignore if it numbers rows, or save it smaller"
                )


def _check_varies(target: pd.Series[Any], train: torch.Tensor) -> None:
    """DataError where numbers to predict are all the same in the training rows, but for rounding."""
    if _is_constant(_numbers(target.to_frame())[train.numpy()]).all():
        raise DataError(
            f"the target is {target.iloc[int(train[0])]} in every row to train on: there is nothing to learn"
        )


def _check_whole(frame: pd.DataFrame) -> None:
    """DataError at the first column in which a value is missing."""
    for name, missing in frame.isna().items():
        if count := int(missing.sum()):
            first = int(missing.to_numpy().argmax()) + 1
            raise DataError(
                f"column {quoted(name)}: {count} of {len(frame)} values are missing, the first in row {first}"
            )


def _numbers(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the columns as numbers ``[rows, columns]``. DataError at the first that is none."""
    for name, column in frame.items():
        if not _is_numeric(column):
            first = column.iloc[0]
            raise DataError(
                f"column {quoted(name)} holds {quoted(str(first))}, which is no number: {_advice(first)}, or name it "
                "under ignore"
            )
    _check_exact(frame)
    numbers: np.ndarray[Any, np.dtype[np.float64]] = frame.to_numpy(dtype=np.float64)
    for name, finite in zip(frame.columns, np.isfinite(numbers).all(0), strict=True):
        if not finite:
            raise DataError(f"column {quoted(name)} holds an infinite number")
    return numbers


def _advice(value: Any) -> str:
    if isinstance(value, Decimal):
        return "cast it to numbers (astype(float))"
    return "encode it as numbers (pandas.get_dummies)" if isinstance(value, str) else "save it as numbers"


def _standardised(frame: pd.DataFrame, train: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Return float32 with mean 0 and standard deviation 1 over the training rows; a column that is constant there is 0.

    So is one that is constant but for rounding, which would be a feature made of that alone. It is 0 in all rows: no
    weight learns what to make of another number. Returned too is whether there was one with other numbers.
    DataError at the first column whose numbers are too large, or too near one another.
    """
    numbers = _numbers(frame)
    of_train = numbers[train.numpy()]
    constant = _is_constant(of_train)
    with np.errstate(all="ignore"):
        mean = np.where(constant, of_train[0], of_train.mean(0))
        deviation = np.where(constant, 1, of_train.std(0))
        standardised = np.where(constant, 0, (numbers - mean) / deviation).astype(np.float32)
    for name, finite in zip(frame.columns, np.isfinite(standardised).all(0) & np.isfinite(deviation), strict=True):
        if not finite:
            raise DataError(f"column {quoted(name)} cannot be standardised: its numbers are too large or too near")
    is_zeroed = bool((numbers[:, constant] != of_train[0, constant]).any())
    return torch.from_numpy(standardised), is_zeroed


def _is_constant(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Return of each column whether it is one number, or what rounding makes of one; whole numbers are not rounded."""
    low, high = numbers.min(0), numbers.max(0)
    with np.errstate(over="ignore"):
        near = high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return (low == high) | (near & (numbers != np.round(numbers)).any(0))


def _is_numeric(column: pd.Series[Any]) -> bool:
    from pandas.api import types

    is_number = types.is_numeric_dtype(column) or types.is_bool_dtype(column)
    return bool(is_number and not types.is_complex_dtype(column))


def _names_classes(target: pd.Series[Any]) -> bool:
    if not _is_numeric(target) or target.dtype == bool:
        return True
    values = target.unique()
    return len(values) <= _MOST_CLASSES and bool((values == np.round(values)).all())


def _check_classes(classes: Any, labels: Any, rows: dict[str, torch.Tensor]) -> None:
    """DataError for one class alone, and for one that is in no training row."""
    if len(classes) < 2:
        raise DataError(f"the target is {quoted(str(classes[0]))} in every row: nothing is to be told apart")
    absent = set(range(len(classes))) - set(labels[rows["train"].numpy()].tolist())
    if absent:
        raise DataError(
            f"class {quoted(str(classes[min(absent)]))} of the target is in no row to train on "
            "(goal: regression, if the target is a number)"
        )
