"""A pack whose store refuses what is written: begun again once, and then the end of the sweep. Without Ray."""

import re
import sqlite3
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE
from rich.console import Console

from sweeps.tune import callbacks, trial
from sweeps.tune.callbacks import DriverCallback
from sweeps.tune.progress import Progress
from sweeps.tune.trial import PackTrial
from tracking.errors import StoreError

GONE = MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)


@pytest.fixture
def pack_trial(monkeypatch: pytest.MonkeyPatch) -> PackTrial:
    """A trial in a worker, less what Ray makes of it."""
    made = object.__new__(PackTrial)
    made.setup({})
    monkeypatch.setattr(made, "_context", None, raising=False)
    monkeypatch.setattr(trial, "pack_of", lambda *_: None)
    return made


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refused(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(trial, "PackTraining", refused)


def test_what_would_be_refused_again_is_tried_once_more_and_then_told(
    pack_trial: PackTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, GONE)
    first, second = pack_trial.step(), pack_trial.step()
    assert (first["done"], first["notes"]) == (False, ["begun again, from its last checkpoint: no such run"])
    assert (second["done"], second["refused"]) == (True, "no such run")


def test_what_can_pass_is_left_to_tune(pack_trial: PackTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, MlflowException("database is locked", TEMPORARILY_UNAVAILABLE))
    with pytest.raises(MlflowException, match="locked"):
        pack_trial.step()


def test_an_error_before_any_run_is_open_is_told(pack_trial: PackTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a worker runs the code without having it installed: no run could say why its replicate is missing."""
    refuse(monkeypatch, PackageNotFoundError("dropneuron-distributed"))
    result = pack_trial.step()
    assert result["done"]
    assert re.fullmatch(r".+: PackageNotFoundError: .*dropneuron-distributed", result["cannot_start"])


class Trial:
    """A trial as Tune shows it to the driver."""

    def __init__(self, **result: Any) -> None:
        self.trial_id, self.last_result = "1", result
        self.config: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("result", "recorded"), [({"refused": "no such run"}, ""), ({"done_training": True}, "M, seed 0: no such run")]
)
def test_the_driver_ends_the_sweep_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, result: dict[str, Any], recorded: str
) -> None:
    monkeypatch.setattr(callbacks, "pack_of", lambda *_: "M, seed 0")
    callback = DriverCallback(Progress(Console(quiet=True)), lambda *_: recorded, None)  # type: ignore[arg-type]
    callback.check()
    callback.on_trial_complete(0, [], Trial(**result))
    with pytest.raises(StoreError, match="refuses what is written to it: M, seed 0: no such run; what was finished"):
        callback.on_step_begin(0, [])


def test_a_database_that_is_busy_is_no_failure_of_the_task(
    pack_trial: PackTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store's own error says as little of the task as MLflow's."""
    busy = StoreError("the store mlflow.db cannot be read or written")
    busy.__cause__ = sqlite3.OperationalError("database is locked")
    busy.__cause__.sqlite_errorcode = sqlite3.SQLITE_BUSY
    refuse(monkeypatch, busy)
    with pytest.raises(StoreError, match="cannot be read or written"):
        pack_trial.step()


def test_a_database_that_is_damaged_ends_the_sweep_with_the_reason(
    pack_trial: PackTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, StoreError("mlflow.db is damaged"))
    assert [pack_trial.step()["done"], pack_trial.step().get("refused")] == [False, "mlflow.db is damaged"]
