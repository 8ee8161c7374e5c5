"""Runs of a server in one answer: the query of ``sqlite``, sent to a server that ``dn`` runs.

MLflow's own search makes an object of every figure there is, on both sides, and takes milliseconds a run for it. A
server that has not this path (``server.runs_route``) is asked by MLflow's client.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tracking.store.client import ClientQueries
from tracking.store.location import StoreLocation
from tracking.store.queries import RunQuery, StoredRun
from tracking.store.remote import ask

PATH = "/api/2.0/dn/runs"
_SECONDS = 120

_LARGEST_ID = 2**31 - 1  # of the column in PostgreSQL


def _is_text(value: str) -> str:
    """PostgreSQL keeps neither NUL nor half a character."""
    value.encode()
    if "\0" in value:
        raise ValueError("the text has a NUL")
    return value


def _fits(value: str) -> str:
    if int(value) > _LARGEST_ID:
        raise ValueError("there is no such experiment")
    return value


_Text = Annotated[str, AfterValidator(_is_text)]
_Name = Annotated[_Text, Field(max_length=250)]
_Names = Annotated[tuple[_Name, ...], Field(max_length=100, strict=False)]


class HttpQueries(ClientQueries):
    """Of a server: runs in one answer where it knows the path, all else by MLflow's client."""

    def find(self, query: RunQuery) -> list[StoredRun]:
        """As ``RunQueries``."""
        answered = find(self._location, query)
        return super().find(query) if answered is None else answered


class RequestedQuery(BaseModel):
    """A ``RunQuery`` on its way to a server, which names what it asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    experiment_id: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$"), AfterValidator(_fits)]
    """Written in one way only: permissions are looked up by it as a text."""
    where: Annotated[dict[_Name, _Text], Field(max_length=10)]
    tags: _Names
    params: _Names
    metrics: bool


def find(location: StoreLocation, query: RunQuery) -> list[StoredRun] | None:
    """Return what ``RunQueries.find`` does; None where the server does not answer it, for whatever reason."""
    if query.tags is None or query.params is None:
        return None
    sent = RequestedQuery(
        experiment_id=query.experiment_id,
        where=dict(query.where),
        tags=tuple(query.tags),
        params=tuple(query.params),
        metrics=query.metrics,
    )
    try:
        answer = ask(location, "POST", PATH, timeout=_SECONDS, json=sent.model_dump())
    except ConnectionError:
        return None
    return decode(answer.text) if answer.status_code == 200 else None  # MLflow's client says why, or finds a way


def encode(
    runs: Iterable[tuple[str, str, int, int | None]], named: Mapping[str, Iterable[tuple[str, str, Any]]]
) -> str:
    """Return the answer: runs (id, status, start, end), and run, name and value of each tag, parameter and metric.

    A name stands once, with a list as long as there are runs: null for those that have it not.
    """
    rows = [tuple(run) for run in runs]
    places = {run_id: place for place, (run_id, *_) in enumerate(rows)}
    columns: dict[str, dict[str, list[Any]]] = {}
    for kind, triples in named.items():
        of_kind = columns[kind] = {}
        for run_id, name, value in triples:
            place = places.get(run_id)  # one that was made since the runs were read is not there
            if place is not None:
                if name not in of_kind:
                    of_kind[name] = _empty_column(len(rows))
                of_kind[name][place] = value
    return json.dumps({"runs": rows, **columns})


def _empty_column(length: int) -> list[Any]:
    return [None] * length


def decode(text: str) -> list[StoredRun]:
    """Return the runs of an answer."""
    answer = json.loads(text)
    found = [StoredRun(*run) for run in answer["runs"]]
    for kind in ("tags", "params", "metrics"):
        for name, values in answer[kind].items():
            for run, value in zip(found, values, strict=True):
                if value is not None:
                    getattr(run, kind)[name] = value
    return found
