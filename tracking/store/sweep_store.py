"""One sweep in one store: what reads and writes a sweep takes this object."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracking import schema
from tracking.errors import NoSweepError
from tracking.store.choice import queries_of, writer_of
from tracking.store.client import ClientQueries
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.queries import RunQuery, StoredRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tracking.store.run_writer import RunWriter


@dataclass(frozen=True)
class SweepStore:
    """The experiment of a sweep. It holds no connection, so it travels to workers as it is."""

    location: StoreLocation
    experiment_id: str
    name: str
    """What the store calls it: MLflow's UI can rename it."""

    @classmethod
    def names(cls, location: StoreLocation) -> list[str]:
        """Return the names of the experiments of a store, sorted: its sweeps, and what else is kept there."""
        return sorted(name for name in queries_of(location).experiment_names() if name != "Default")

    @classmethod
    def find(cls, location: StoreLocation, name: str) -> "SweepStore":
        """Return the sweep ``name``. NoSweepError names the ones there are; DeniedError where we may not read it."""
        found = cls.find_or_none(location, name)
        if found is not None:
            return found
        held = ", ".join(cls.names(location)) or "none"
        raise NoSweepError(f"no sweep {name!r} in the store {location.shown}; it holds: {held}")

    @classmethod
    def find_or_none(cls, location: StoreLocation, name: str) -> "SweepStore | None":
        """Return the sweep ``name``; None where there is none. NoSweepError where it was deleted."""
        found = queries_of(location).experiment(name)
        return cls._undeleted(location, name, *found) if found is not None else None

    @classmethod
    def find_or_create(cls, location: StoreLocation, name: str) -> "SweepStore":
        """Return the sweep ``name``, made if absent. Only a driver calls this.

        NoSweepError where it has been deleted: restored, it would have the runs too that were deleted one by one.
        DeniedError where it is somebody's, and we may not read it.
        """
        from mlflow.exceptions import MlflowException

        client = connect(location)
        known = ClientQueries(location)
        found = known.experiment(name)
        if found is None:
            folder = (location.artifacts / name).as_uri() if location.artifacts else None
            try:
                return cls(location, str(client.create_experiment(name, artifact_location=folder)), name)
            except MlflowException:
                found = known.experiment(name)
                if found is None:  # else another driver was quicker
                    raise
        return cls._undeleted(location, name, *found)

    @classmethod
    def _undeleted(cls, location: StoreLocation, name: str, experiment_id: str, stage: str) -> "SweepStore":
        if stage == "deleted":
            raise NoSweepError(
                f"the sweep {name!r} was deleted from the store: give this one another name, or restore it with "
                f"`mlflow experiments restore --experiment-id {experiment_id}`"
            )
        return cls(location, str(experiment_id), name)

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client of the store, made once in a process."""
        return connect(self.location)

    @property
    def writer(self) -> "RunWriter":
        """What makes and ends runs of the store."""
        return writer_of(self.location)

    def records(
        self,
        kind: schema.Kind,
        where: Mapping[str, str] | None = None,
        *,
        tags: Collection[str] | None = (),
        params: Collection[str] | None = (),
        metrics: bool = False,
    ) -> list[StoredRun]:
        """Return what is asked for of the runs of a kind that have the tags ``where``, oldest first.

        None for ``tags`` or ``params`` asks for all.
        """
        wanted = {**(where or {}), schema.KIND: kind}  # what most runs have comes last: it is looked up, not scanned
        query = RunQuery(self.experiment_id, wanted, tags, params, metrics)
        return queries_of(self.location).find(query)
