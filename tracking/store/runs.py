"""Runs of a store: by SQL from an embedded store, in one answer from a server of ours, else by MLflow's client.

``dn status`` needs no more than this: importing it takes neither torch nor, for an embedded store, MLflow.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from dn_distributed.text import one_line
from tracking import schema
from tracking.manifest import Manifest
from tracking.store import artifacts, http, sqlite
from tracking.store.location import StoreError, StoreLocation, connect
from tracking.store.sqlite import StoredRun

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
    tags: Collection[str] | None = (),
    params: Collection[str] | None = (),
    metrics: bool = False,
) -> list[StoredRun]:
    """Return what is asked for of the runs of a kind that have the tags ``where``, oldest first. None asks for all."""
    database = location.database
    wanted = {**where, schema.KIND: kind}  # what most runs have comes last: it is looked up, not gone through
    if database is not None:
        with contextlib.suppress(sqlite3.OperationalError):  # an MLflow with other tables
            return sqlite.find(database, experiment_id, wanted, tags=tags, params=params, metrics=metrics)
    elif tags is not None and params is not None:
        answered = http.find(location, experiment_id, wanted, tags=tags, params=params, metrics=metrics)
        if answered is not None:
            return answered
    found = find_runs(connect(location), experiment_id, kind, where)
    return [
        StoredRun(
            run.info.run_id,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            {name: value for name, value in run.data.tags.items() if tags is None or name in tags},
            {name: value for name, value in run.data.params.items() if params is None or name in params},
            dict(run.data.metrics) if metrics else {},
        )
        for run in found
    ]


def find_experiment(location: StoreLocation, name: str) -> str:
    """Return the id of the experiment ``name``. StoreError names the ones there are."""
    found = experiment_named(location, name)
    if found is not None:
        return found
    names = sorted(other for other in _names(location) if other != "Default")
    raise StoreError(f"no sweep {name!r} in the store {location.shown}; it holds: {', '.join(names) or 'none'}")


def experiment_named(location: StoreLocation, name: str) -> str | None:
    """Return the id of the experiment ``name``; None where there is none. StoreError where it was deleted."""
    if location.database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            known = sqlite.experiments(location.database).get(name)
            if known is not None:
                refuse_deleted(name, *known)
            return known[0] if known is not None else None
    found = connect(location).get_experiment_by_name(name)
    if found is None:
        return None
    refuse_deleted(name, found.experiment_id, found.lifecycle_stage)
    return str(found.experiment_id)


def refuse_deleted(name: str, experiment_id: str, stage: str) -> None:
    """StoreError where the experiment of a sweep was deleted from the store: its ``stage`` as MLflow has it."""
    if stage == "deleted":
        raise StoreError(
            f"the sweep {name!r} was deleted from the store: give this one another name, or restore it with "
            f"`mlflow experiments restore --experiment-id {experiment_id}`"
        )


def _names(location: StoreLocation) -> list[str]:
    if location.database is not None:
        with contextlib.suppress(sqlite3.OperationalError):
            return [name for name, (_, stage) in sqlite.experiments(location.database).items() if stage == "active"]
    return [item.name for item in connect(location).search_experiments()]


def read_states(location: StoreLocation, experiment_id: str) -> list[Replicate]:
    """Return how far each replicate of a sweep is, without its figures. A key is there once, by its best run."""
    shown, params = (*_IDENTITY, schema.LABEL, schema.SEED_TAG, *schema.MARKS), (schema.SEED,)
    found = records(location, experiment_id, "replicate", {}, tags=shown, params=params)
    return list(map(_replicate, one_per_replicate(found).values()))


def one_per_replicate(found: Iterable[StoredRun]) -> dict[str, StoredRun]:
    """Return by replicate key the run that counts of those ``found``, oldest first: the furthest, of equals the oldest.

    They need the tags of their key and of how they ended.
    """
    counted: dict[str, StoredRun] = {}
    for record in found:
        known = counted.get(record.tags[schema.REPLICATE_KEY])
        if known is None or _RANK[state_of(record)] < _RANK[state_of(known)]:
            counted[record.tags[schema.REPLICATE_KEY]] = record
    return counted


def one_per_cell(found: Iterable[StoredRun]) -> dict[str, StoredRun]:
    """Return by cell key the run that counts of those ``found``, oldest first.

    Of those that carry their means it is the newest, which replaces the others; where none does, the oldest. They need
    the tags of their key and of their means.
    """
    counted: dict[str, StoredRun] = {}
    for record in found:
        key = record.tags[schema.CELL_KEY]
        if key not in counted or schema.SUMMARIZED in record.tags:
            counted[key] = record
    return counted


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
        if artifacts.has(location, record.run_id, schema.MANIFEST_FILE):
            text = artifacts.path_of(location, record.run_id, schema.MANIFEST_FILE).read_text("utf-8")
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
