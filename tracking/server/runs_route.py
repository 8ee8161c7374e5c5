"""The server's side of ``bulk``: one path of MLflow's own application, behind its login and its permissions.

It reads MLflow's tables through MLflow's own definitions of them, on PostgreSQL and SQLite alike, and writes nothing.
"""

from collections.abc import Iterable, Sequence
from math import nan
from typing import Any

from flask import Flask, Response, request
from mlflow.server import handlers
from mlflow.store.tracking.dbmodels.models import SqlRun
from pydantic import ValidationError
from sqlalchemy import Connection, Select, Table, select

from tracking.store import http
from tracking.store.http import Question

KEY = (http.PATH, "POST")
"""Path and method, as MLflow's login lists what it asks permission for."""


def add_to(application: Flask) -> None:
    """Serve the path."""

    def answer() -> Response:
        try:
            # As MLflow's login has parsed it: what is answered must be what permission was asked for.
            question = Question.model_validate(request.get_json(force=True, silent=True))
        except ValidationError as error:
            return Response(str(error), status=400, mimetype="text/plain")
        store: Any = handlers._get_tracking_store()
        with store.engine.connect() as connection:
            return Response(read(connection, question), mimetype="application/json")

    path, method = KEY
    application.add_url_rule(path, "dn_runs", answer, methods=[method])


def read(connection: Connection, question: Question) -> str:
    """Return the answer to a question."""
    tables = SqlRun.metadata.tables
    run, tag, latest = tables["runs"].c, tables["tags"], tables["latest_metrics"].c
    found = select(run.run_uuid, run.status, run.start_time, run.end_time).where(
        run.experiment_id == int(question.experiment_id), run.lifecycle_stage == "active"
    )
    for name, value in question.where.items():
        has = tag.alias().c
        found = found.where(has.run_uuid == run.run_uuid, has.key == name, has.value == value)
    ids = found.with_only_columns(run.run_uuid)
    metrics = select(latest.run_uuid, latest.key, latest.value, latest.is_nan).where(latest.run_uuid.in_(ids))
    return http.encode(
        [tuple(row) for row in connection.execute(found.order_by(run.start_time, run.run_uuid))],
        {
            "tags": _texts(connection, tag, ids, question.tags),
            "params": _texts(connection, tables["params"], ids, question.params),
            "metrics": (
                (run_id, name, nan if is_nan else value)
                for run_id, name, value, is_nan in (connection.execute(metrics) if question.metrics else ())
            ),
        },
    )


def _texts(connection: Connection, table: Table, ids: Select[Any], names: Sequence[str]) -> Iterable[Any]:
    if not names:
        return ()
    texts = table.c
    query = select(texts.run_uuid, texts.key, texts.value)
    return connection.execute(query.where(texts.run_uuid.in_(ids), texts.key.in_(names)))
