"""Reading runs: one interface, which ``sqlite``, ``http`` and ``client`` implement and ``choice`` chooses among."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run, with what a query asked of it: tags, parameters and metrics by name."""

    run_id: str
    status: str
    start_time: int
    """Milliseconds since 1970, as all times here."""
    end_time: int | None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs of an experiment, and what of each."""

    experiment_id: str
    where: Mapping[str, str] = field(default_factory=dict)
    """Tags that a run must have, with their values."""
    tags: Collection[str] | None = ()
    """Names of the tags to read; None for all."""
    params: Collection[str] | None = ()
    """Names of the parameters to read; None for all."""
    metrics: bool = False
    """Whether to read the last value of each metric."""


LoggedPoint = tuple[str, str, int, float]
"""Run, metric, step and value."""


class RunQueries(ABC):
    """Reads the runs of a store; writes nothing. Runs and experiments that were deleted are not there.

    All implementations give the same answers. StoreError, or an error of MLflow's, where the store cannot be read.
    """

    @abstractmethod
    def experiment(self, name: str) -> tuple[str, str] | None:
        """Return the id and the stage (``active`` or ``deleted``) of the experiment ``name``; None without one.

        DeniedError where a server does not let us read it.
        """

    @abstractmethod
    def experiment_names(self) -> list[str]:
        """Return the names of the experiments that were not deleted."""

    @abstractmethod
    def find(self, query: RunQuery) -> list[StoredRun]:
        """Return the runs that have the tags asked for, oldest first."""

    @abstractmethod
    def histories(self, run_ids: Sequence[str], wanted: Callable[[str], bool]) -> list[LoggedPoint]:
        """Return all that the runs have logged of the wanted metrics, of each metric in the order of time."""

    @abstractmethod
    def artifact_folders(self, run_ids: Sequence[str]) -> dict[str, Path | None]:
        """Return by run the folder of its files on this machine; None where MLflow's client has to fetch them."""
