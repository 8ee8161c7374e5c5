"""Reading runs: one interface, which ``sqlite``, ``http`` and ``client`` implement and ``choice`` chooses among."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What was asked for of a run."""

    run_id: str
    status: str
    start_time: int
    """Milliseconds since 1970, as all times here."""
    end_time: int | None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""


LoggedPoint = tuple[str, str, int, float]
"""Run, metric, step and value."""


class RunQueries(ABC):
    """Reads the runs of a store; writes nothing. Runs and experiments that were deleted are not there.

    All implementations give the same answers. StoreError, or an error of MLflow's, where the store cannot be read.
    """

    @abstractmethod
    def experiment(self, name: str) -> tuple[str, str] | None:
        """Return the id and the stage (``active`` or ``deleted``) of the experiment ``name``; None without one."""

    @abstractmethod
    def experiment_names(self) -> list[str]:
        """Return the names of the experiments that were not deleted."""

    @abstractmethod
    def find(
        self,
        experiment_id: str,
        where: Mapping[str, str],
        *,
        tags: Collection[str] | None = (),
        params: Collection[str] | None = (),
        metrics: bool = False,
    ) -> list[StoredRun]:
        """Return the runs that have the tags ``where``, oldest first, each with the named tags and parameters.

        None names them all.
        """

    @abstractmethod
    def histories(self, run_ids: Sequence[str], wanted: Callable[[str], bool]) -> list[LoggedPoint]:
        """Return all that the runs have logged of the wanted metrics, of each metric in the order of time."""

    @abstractmethod
    def artifact_folders(self, run_ids: Sequence[str]) -> dict[str, Path | None]:
        """Return by run the folder of its files on this machine; None where they have to be asked for."""
