"""Runs of a tracking server, each made once, whatever becomes of the answer.

MLflow's client sends a request again when no answer comes. A server that dies between writing a run and saying so has
then two of it, of which one stays RUNNING for ever.
"""

from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from tracking.store import mlflow_internals, outages
from tracking.store.location import StoreLocation
from tracking.store.remote import ask
from tracking.store.run_writer import ClientWriter, NewRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATH = "/api/2.0/mlflow/runs/create"
_SECONDS = 120  # as MLflow's client waits for an answer
_TRIES = 5


class ServerWriter(ClientWriter):
    """By MLflow's client, except that a run is not asked for again before it was looked for."""

    def __init__(self, location: StoreLocation, client: "MlflowClient") -> None:
        """``client``: of the server at ``location``."""
        super().__init__(client)
        self._location = location

    def _make(self, experiment_id: str, run: NewRun, start: int) -> str:
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._ask_once(experiment_id, run, start)
            except MlflowException as error:
                if not (tries_left and outages.is_transient(error)):
                    raise
            made = self._find(experiment_id, run, start)
            if made is not None:
                return made
        raise AssertionError("the last try returns or raises")

    def _ask_once(self, experiment_id: str, run: NewRun, start: int) -> str:
        tags = [{"key": key, "value": value} for key, value in run.tags.items()]
        body = {"experiment_id": experiment_id, "run_name": run.name, "start_time": start, "tags": tags}
        try:
            answer = ask(self._location, "POST", _PATH, timeout=_SECONDS, json=body)
        except ConnectionError as error:
            raise MlflowException(f"no answer to {_PATH}") from error
        return str(mlflow_internals.content(answer, _PATH)["run"]["info"]["run_id"])

    def _find(self, experiment_id: str, run: NewRun, start: int) -> str | None:
        """Return the id of the run, if the server has it after all. MLflow's client waits for a server that is away."""
        same_start = self._client.search_runs([experiment_id], f"attributes.start_time = {start}")
        for found in same_start:
            if found.info.run_name == run.name and run.tags.items() <= found.data.tags.items():
                return str(found.info.run_id)
        return None
