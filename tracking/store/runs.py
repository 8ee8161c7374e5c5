"""What the runs of a sweep say: which of them count, how far each replicate is, and what the sweep compares.

``dn status`` needs no more than this: importing it takes neither torch nor, for an embedded store, MLflow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from dn_distributed.text import one_line
from tracking import schema
from tracking.errors import NoSweepError, StoreError
from tracking.manifest import Manifest, is_name
from tracking.store import artifacts
from tracking.store.queries import StoredRun
from tracking.store.sweep_store import SweepStore

Model = TypeVar("Model", bound=BaseModel)
State = Literal["finished", "failed", "stopped", "incomplete"]

_IDENTITY = (schema.CELL_KEY, schema.REPLICATE_KEY)
_RANK: Mapping[State, int] = {"finished": 0, "failed": 1, "stopped": 1, "incomplete": 2}


@dataclass(frozen=True)
class Outcome:
    """How far a replicate is."""

    state: State
    end_time: int | None
    reason: str
    """Why it ended without a result; else empty."""


@dataclass(frozen=True)
class Replicate(Outcome):
    """How far a replicate is, and which one it is."""

    run_id: str
    cell_key: str
    replicate_key: str
    label: str
    """Of the method."""
    seed: int | None
    """None where an earlier version began it and it has not ended."""
    running: bool
    """Whether a worker has it, or had when it went away."""
    start_time: int


def read_states(sweep: SweepStore) -> list[Replicate]:
    """Return how far each replicate of a sweep is, without its figures. A key is there once, by its best run."""
    shown, params = (*_IDENTITY, schema.LABEL, schema.SEED_TAG, *schema.MARKS), (schema.SEED,)
    found = sweep.records("replicate", tags=shown, params=params)
    return list(map(_replicate, one_per_replicate(found).values()))


def read_outcomes(sweep: SweepStore) -> dict[str, Outcome]:
    """Return how far each replicate of a sweep is, by its key: of all that ``read_states`` says it is soonest read."""
    counted = one_per_replicate(sweep.records("replicate", tags=(schema.REPLICATE_KEY, *schema.MARKS)))
    states = {key: state_of(record) for key, record in counted.items()}
    return {
        key: Outcome(states[key], record.end_time, reason_of(record, states[key])) for key, record in counted.items()
    }


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


def is_stopped(states: Iterable[State | None]) -> bool:
    """Return whether a search has stopped the cell whose seeds are in these states: it runs none of the others then.

    A cell of which a seed is finished was kept.
    """
    found = set(states)
    return "stopped" in found and "finished" not in found


def reason_of(record: StoredRun, state: State) -> str:
    """Return why a replicate ended without a result, as a line that can be shown; else an empty text."""
    tag = {"failed": schema.FAILURE, "stopped": schema.STOPPED}.get(state)
    return one_line(record.tags[tag]) if tag else ""


def read_manifest(sweep: SweepStore) -> tuple[str, Manifest]:
    """Return the report run's id and the manifest of the sweep. NoSweepError if there is none."""
    found = find_manifest(sweep)
    if found is None:
        raise NoSweepError("the store does not know what this sweep compares: run `dn sweep` on its file first")
    return found


def find_manifest(sweep: SweepStore) -> tuple[str, Manifest] | None:
    """Return what ``read_manifest`` does; None where no command has got so far as to write the manifest.

    A sweep that was renamed in the store has its new name, unless no sweep may be called so.
    """
    for record in sweep.records("report")[:1]:
        if artifacts.has(sweep.location, record.run_id, schema.MANIFEST_FILE):
            text = artifacts.path_of(sweep.location, record.run_id, schema.MANIFEST_FILE).read_text("utf-8")
            manifest = stored_as(Manifest, text)
            return record.run_id, manifest.model_copy(update={"name": sweep.name} if is_name(sweep.name) else {})
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
