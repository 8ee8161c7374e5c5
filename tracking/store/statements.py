"""Queries of MLflow's tables for runs, in SQL that SQLite and PostgreSQL both understand.

It stands here once: ``sqlite`` runs it on a store's file, ``server.runs_route`` on the database of a server.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from math import nan
from typing import Any

from tracking.store.queries import RunQuery

Execute = Callable[[str, Mapping[str, Any]], Iterable[Any]]
"""Runs a statement with named parameters (``:name``) and returns its rows."""
Named = tuple[str, str, Any]
"""Run, name and value."""


def find(
    execute: Execute, query: RunQuery
) -> tuple[list[tuple[str, str, int, int | None]], dict[str, Iterable[Named]]]:
    """Return the runs (id, status, start, end), oldest first, and by kind what is named of them."""
    joins, values = "", dict[str, Any]({"experiment": int(query.experiment_id)})
    for number, (name, value) in enumerate(query.where.items()):
        has = f"has{number}"
        joins += (
            f" join tags {has} on {has}.run_uuid = runs.run_uuid and {has}.key = :key{number}"
            f" and {has}.value = :value{number}"
        )
        values |= {f"key{number}": name, f"value{number}": value}
    found = f"from runs{joins} where runs.experiment_id = :experiment and runs.lifecycle_stage = 'active'"
    columns = "runs.run_uuid, runs.status, runs.start_time, runs.end_time"
    runs = execute(f"select {columns} {found} order by runs.start_time, runs.run_uuid", values)
    of_these = f"where run_uuid in (select runs.run_uuid {found})"
    named: dict[str, Iterable[Named]] = {}
    for table, names in (("tags", query.tags), ("params", query.params)):
        named[table] = _texts(execute, table, of_these, values, names)
    latest = f"select run_uuid, key, value, is_nan from latest_metrics {of_these}"
    rows = execute(latest, values) if query.metrics else ()
    named["metrics"] = ((run_id, name, nan if is_nan else value) for run_id, name, value, is_nan in rows)
    return [tuple(run) for run in runs], named


def _texts(
    execute: Execute, table: str, of_these: str, values: Mapping[str, Any], names: Collection[str] | None
) -> Iterable[Named]:
    if names is None:
        return execute(f"select run_uuid, key, value from {table} {of_these}", values)
    if not names:
        return ()
    marks = {f"name{number}": name for number, name in enumerate(names)}
    listed = ", ".join(f":{mark}" for mark in marks)
    return execute(f"select run_uuid, key, value from {table} {of_these} and key in ({listed})", {**values, **marks})
