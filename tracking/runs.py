"""Runs of a store, and their files: by SQL from an embedded store, in one answer from a server of ours, else by
MLflow's client.

``dn status`` needs no more than this: importing it takes neither torch nor, for an embedded store, MLflow.
"""

import contextlib
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote, urlparse

from pydantic import BaseModel, ValidationError

from dn_distributed.text import one_line
from tracking import bulk, embedded, schema
from tracking.embedded import StoredRun
from tracking.manifest import Manifest
from tracking.store import StoreError, StoreLocation, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Model = TypeVar("Model", bound=BaseModel)
State = Literal["finished", "failed", "stopped", "incomplete"]

_IDENTITY = (schema.CELL_KEY, schema.REPLICATE_KEY)
_RANK: Mapping[State, int] = {"finished": 0, "failed": 1, "stopped": 1, "incomplete": 2}


@dataclass(frozen=True)
class Replicate:
    """How far a replicate is, whatever has become of it."""

    run_id: str
    cell_key: str
    replicate_key: str
    label: str
    """Of the method."""
    seed: int | None
    """None where an earlier version began it and it has not ended."""
    state: State
    running: bool
    """Whether a worker has it, or had when it went away."""
    start_time: int
    end_time: int | None
    reason: str
    """Why it ended without a result; else empty."""


def find_runs(store: "MlflowClient", experiment_id: str, kind: schema.Kind, tags: Mapping[str, str]) -> "list[Run]":
    """Return the runs of a kind with these tags, oldest first."""
    clauses = [f"tags.`{name}` = '{value}'" for name, value in {schema.KIND: kind, **tags}.items()]
    runs: list[Run] = []
    token = None
    while True:
        page = store.search_runs(
            [experiment_id], " and ".join(clauses), order_by=["attributes.start_time"], max_results=1000,
            page_token=token,
        )  # fmt: skip
        runs += page
        token = page.token
        if not token:
            return runs


def records(
    location: StoreLocation,
    experiment_id: str,
    kind: schema.Kind,
    where: Mapping[str, str],
    *,
    tags: Collection[str] = (),
    params: Collection[str] = (),
    metrics: bool = False,
) -> list[StoredRun]:
    """Return what is asked for of the runs of a kind that have the tags ``where``, oldest first."""
    database = location.database
    wanted = {**where, schema.KIND: kind}  # what most runs have comes last: it is looked up, not gone through
    if database is not None:
        with contextlib.suppress(sqlite3.OperationalError):  # an MLflow with other tables, or a lock that stays
            return embedded.find(database, experiment_id, wanted, tags=tags, params=params, metrics=metrics)
    elif (
        answered := bulk.find(location, experiment_id, wanted, tags=tags, params=params, metrics=metrics)
    ) is not None:
        return answered
    found = find_runs(connect(location), experiment_id, kind, where)
    return [
        StoredRun(
            run.info.run_id,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            {name: value for name, value in run.data.tags.items() if name in tags},
            {name: value for name, value in run.data.params.items() if name in params},
            dict(run.data.metrics) if metrics else {},
        )
        for run in found
    ]


def find_experiment(location: StoreLocation, name: str) -> str:
    """Return the id of the experiment ``name``. StoreError names the ones there are."""
    if location.database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            known = embedded.experiment_id(location.database, name)
            if known is not None:
                return known
    store = connect(location)
    found = store.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "active":
        return str(found.experiment_id)
    names = sorted(e.name for e in store.search_experiments() if e.name != "Default")
    raise StoreError(f"no sweep {name!r} in the store {location.uri}; it holds: {', '.join(names) or 'none'}")


def read_states(location: StoreLocation, experiment_id: str) -> list[Replicate]:
    """Return how far each replicate of a sweep is, without its figures. A key is there once, by its best run."""
    shown, params = (*_IDENTITY, schema.LABEL, schema.SEED_TAG, *schema.MARKS), (schema.SEED,)
    found: dict[str, Replicate] = {}
    for record in records(location, experiment_id, "replicate", {}, tags=shown, params=params):
        replicate = _replicate(record)
        known = found.get(replicate.replicate_key)
        if known is None or _RANK[replicate.state] < _RANK[known.state]:
            found[replicate.replicate_key] = replicate
    return list(found.values())


def _replicate(record: StoredRun) -> Replicate:
    state, tags = state_of(record), record.tags
    seed = tags.get(schema.SEED_TAG, record.params.get(schema.SEED))
    return Replicate(
        run_id=record.run_id,
        cell_key=tags[schema.CELL_KEY],
        replicate_key=tags[schema.REPLICATE_KEY],
        label=tags[schema.LABEL],
        seed=None if seed is None else int(seed),
        state=state,
        running=record.status == "RUNNING",
        start_time=record.start_time,
        end_time=record.end_time,
        reason=reason_of(record, state),
    )


def state_of(record: StoredRun) -> State:
    """Return how far a replicate run is: what is not whole is incomplete."""
    if record.status == "FINISHED" and schema.COMPLETE in record.tags:
        return "finished"
    if record.status == "FAILED" and schema.FAILURE in record.tags:
        return "failed"
    if record.status == "KILLED" and schema.STOPPED in record.tags:
        return "stopped"
    return "incomplete"


def state_of_run(run: "Run") -> State:
    """Return how far a replicate run is, as MLflow's client gives it."""
    return state_of(StoredRun(run.info.run_id, run.info.status, run.info.start_time, run.info.end_time, run.data.tags))


def reason_of(record: StoredRun, state: State) -> str:
    """Return why a replicate ended without a result, as a line that can be shown; else an empty text."""
    tag = {"failed": schema.FAILURE, "stopped": schema.STOPPED}.get(state)
    return one_line(record.tags[tag]) if tag else ""


def read_manifest(location: StoreLocation, experiment_id: str) -> tuple[str, Manifest]:
    """Return the report run's id and the manifest of the sweep. StoreError if there is none."""
    found = find_manifest(location, experiment_id)
    if found is None:
        raise StoreError("the store does not know what this sweep compares: run `dn sweep` on its file first")
    return found


def find_manifest(location: StoreLocation, experiment_id: str) -> tuple[str, Manifest] | None:
    """Return what ``read_manifest`` does; None where no command has got so far as to write the manifest."""
    for record in records(location, experiment_id, "report", {})[:1]:
        if _has(location, record.run_id, schema.MANIFEST_FILE):
            text = download(location, record.run_id, schema.MANIFEST_FILE).read_text("utf-8")
            return record.run_id, stored_as(Manifest, text)
    return None


def stored_as(kind: type[Model], text: str) -> Model:
    """Return what a stored text says. StoreError in a line where another version of this project wrote it."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise StoreError(
            f"the store holds this sweep as another version of this project wrote it ({kind.__name__}: {place}): "
            "give it another name, or read it with that version"
        ) from error


def _has(location: StoreLocation, run_id: str, path: str) -> bool:
    folder = _local(_artifact_addresses(location, [run_id])[run_id])
    if folder is not None:
        return (folder / path).exists()
    return any(item.path == path for item in connect(location).list_artifacts(run_id))


def download(location: StoreLocation, run_id: str, path: str) -> Path:
    """Return a local path of a run's file or folder; an embedded store's own file is not copied."""
    return download_each(location, [run_id], path)[0]


def download_each(location: StoreLocation, run_ids: Sequence[str], path: str) -> list[Path]:
    """Return local paths of the file or folder that several runs have under the same name."""
    addresses = _artifact_addresses(location, run_ids)
    return [_download(location, run_id, path, _local(addresses[run_id])) for run_id in run_ids]


def _artifact_addresses(location: StoreLocation, run_ids: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    if location.database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            known = embedded.artifact_addresses(location.database, run_ids)
    for run_id in run_ids:
        if run_id not in known:
            known[run_id] = connect(location).get_run(run_id).info.artifact_uri
    return known


def _local(address: str) -> Path | None:
    """The folder of this machine that an address is, or None."""
    parts = urlparse(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _download(location: StoreLocation, run_id: str, path: str, stored: Path | None) -> Path:
    if stored is not None:
        return stored / path
    folder = Path(_downloads().name) / run_id  # of its own: files of the same name must not replace each other
    folder.mkdir(exist_ok=True)
    return Path(connect(location).download_artifacts(run_id, path, str(folder)))


@cache
def _downloads() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of a server, removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="dn-")


@contextlib.contextmanager
def files_of(store: "MlflowClient", run: "Run") -> Iterator[Path]:
    """Give a folder with the files of a run; what a server sent is removed afterwards."""
    stored = _local(run.info.artifact_uri)
    if stored is not None:
        yield stored
        return
    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        yield Path(store.download_artifacts(run.info.run_id, "", folder))
