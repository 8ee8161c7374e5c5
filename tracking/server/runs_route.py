"""The server's side of ``store.http``: one path of MLflow's own application, behind its login and its permissions.

It reads MLflow's tables, on PostgreSQL and SQLite alike, and writes nothing.
"""

from flask import Flask, Response, request
from pydantic import ValidationError
from sqlalchemy import Connection, text

from dn_distributed.text import one_line
from tracking.server import mlflow_internals
from tracking.store import http, statements
from tracking.store.http import RequestedQuery
from tracking.store.queries import RunQuery

KEY = (http.PATH, "POST")
"""Path and method, as MLflow's login lists what it asks permission for."""


def add_to(application: Flask) -> None:
    """Serve the path."""

    def answer() -> Response:
        try:
            # As MLflow's login has parsed it: what is answered must be what permission was asked for.
            query = RequestedQuery.model_validate(request.get_json(force=True, silent=True))
        except ValidationError as error:
            return Response(f"{_in_words(error)}\n", status=400, mimetype="text/plain")
        with mlflow_internals.database().connect() as connection:
            if not _has(connection, query.experiment_id):
                return Response(f"no experiment {query.experiment_id}\n", status=404, mimetype="text/plain")
            return Response(read(connection, query), mimetype="application/json")

    path, method = KEY
    application.add_url_rule(path, "dn_runs", answer, methods=[method])


def _has(connection: Connection, experiment_id: str) -> bool:
    found = text("select 1 from experiments where experiment_id = :id and lifecycle_stage = 'active'")
    return connection.execute(found, {"id": int(experiment_id)}).first() is not None


def _in_words(error: ValidationError) -> str:
    """What is wrong with a question, on one line."""
    wrong = [
        ": ".join(filter(None, [".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")]))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return one_line("; ".join(wrong))


def read(connection: Connection, query: RequestedQuery) -> str:
    """Return the answer to a query."""
    runs, named = statements.find(
        lambda statement, values: connection.execute(text(statement), values), RunQuery(**query.model_dump())
    )
    return http.encode(runs, named)
