"""How runs are made and ended: by MLflow's client, which every store knows, or by SQL in an embedded store's file."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow.entities import DatasetInput, Metric, Param, RunTag

if TYPE_CHECKING:
    from mlflow import MlflowClient

_WITH_THE_TAGS = 500
"""Metrics that are written in one request with the tags that say how the run ended; MLflow takes 1000 entities."""


@dataclass(frozen=True)
class NewRun:
    """A run to be made."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    start: int | None = None
    """In milliseconds since 1970; None: now."""


@dataclass(frozen=True)
class Ending:
    """What is written of a run when it ends."""

    status: str
    metrics: Sequence[Metric]
    tags: Mapping[str, str]
    """One of them says how the run ended: nothing is written after it but the status."""
    params: Mapping[str, str] = field(default_factory=dict)
    data: DatasetInput | None = None
    end: int | None = None
    """In milliseconds since 1970; None: now."""


class RunWriter(ABC):
    """Writes the runs of a store. Whatever it cannot write is an error as of MLflow's client."""

    @abstractmethod
    def create(self, experiment_id: str, runs: Sequence[NewRun]) -> list[tuple[str, int]]:
        """Make runs, and return of each its id and when it began, in milliseconds since 1970."""

    @abstractmethod
    def end(self, run_id: str, ending: Ending) -> None:
        """Write the rest of a run and end it."""


class ClientWriter(RunWriter):
    """By MLflow's client: a request for each step."""

    def __init__(self, client: "MlflowClient") -> None:
        """``client``: of the store."""
        self._client = client

    def create(self, experiment_id: str, runs: Sequence[NewRun]) -> list[tuple[str, int]]:
        """As ``RunWriter``."""
        return [self._create(experiment_id, run) for run in runs]

    def _create(self, experiment_id: str, run: NewRun) -> tuple[str, int]:
        start = run.start or now()
        run_id = self._make(experiment_id, run, start)
        self._client.log_batch(run_id, params=_params(run.params))
        return run_id, start

    def _make(self, experiment_id: str, run: NewRun, start: int) -> str:
        """Make a run that began at ``start``, and return its id."""
        return str(self._client.create_run(experiment_id, start, dict(run.tags), run.name).info.run_id)

    def end(self, run_id: str, ending: Ending) -> None:
        """As ``RunWriter``. The tags come with the last request."""
        metrics, client = ending.metrics, self._client
        if ending.data is not None:
            client.log_inputs(run_id, datasets=[ending.data])
        client.log_batch(run_id, metrics=metrics[:-_WITH_THE_TAGS])
        tags = [RunTag(key, value) for key, value in ending.tags.items()]
        client.log_batch(run_id, metrics=metrics[-_WITH_THE_TAGS:], params=_params(ending.params), tags=tags)
        client.set_terminated(run_id, ending.status, ending.end)


def now() -> int:
    """Return the time as runs have it, in milliseconds since 1970."""
    return int(time.time() * 1000)


def _params(values: Mapping[str, str]) -> list[Param]:
    return [Param(key, value) for key, value in values.items()]
