"""Runs of any store, read by MLflow's client: the slowest way, and the one that every store knows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.store import relocation
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.queries import LoggedPoint, RunQueries, RunQuery, StoredRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class ClientQueries(RunQueries):
    """Of the store at a location."""

    def __init__(self, location: StoreLocation) -> None:
        """MLflow's client is made when it is first needed."""
        self._location = location

    def experiment(self, name: str) -> tuple[str, str] | None:
        """As ``RunQueries``."""
        from mlflow.exceptions import MlflowException

        try:
            found = connect(self._location).get_experiment_by_name(name)
        except MlflowException as error:
            from tracking.store import outages, remote

            if not outages.is_denied(error):
                raise
            raise remote.denied(self._location, f"read the sweep {name!r}") from error
        return (str(found.experiment_id), found.lifecycle_stage) if found is not None else None

    def experiment_names(self) -> list[str]:
        """As ``RunQueries``."""
        return [item.name for item in connect(self._location).search_experiments()]

    def find(self, query: RunQuery) -> list[StoredRun]:
        """As ``RunQueries``."""
        return [
            StoredRun(
                run.info.run_id,
                run.info.status,
                run.info.start_time,
                run.info.end_time,
                _named(run.data.tags, query.tags),
                _named(run.data.params, query.params),
                dict(run.data.metrics) if query.metrics else {},
            )
            for run in search(connect(self._location), query.experiment_id, query.where)
        ]

    def histories(self, run_ids: Sequence[str], wanted: Callable[[str], bool]) -> list[LoggedPoint]:
        """As ``RunQueries``."""
        client = connect(self._location)
        return [
            (run_id, name, point.step, point.value)
            for run_id in run_ids
            for name in filter(wanted, client.get_run(run_id).data.metrics)
            for point in client.get_metric_history(run_id, name)
        ]

    def artifact_folders(self, run_ids: Sequence[str]) -> dict[str, Path | None]:
        """As ``RunQueries``. MlflowException for a run that is not there."""
        database = self._location.database
        if database is None:
            return dict.fromkeys(run_ids)
        client = connect(self._location)
        return {run: relocation.path_of(database, client.get_run(run).info.artifact_uri) for run in run_ids}


def _named(values: Mapping[str, str], names: Collection[str] | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if names is None or name in names}


def search(client: "MlflowClient", experiment_id: str, where: Mapping[str, str]) -> "list[Run]":
    """Return the runs with these tags as MLflow has them, oldest first."""
    clauses = " and ".join(f"tags.`{name}` = '{value}'" for name, value in where.items())
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], clauses, order_by=["attributes.start_time"], max_results=1000, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs
