"""MLflow's server as ``dn server`` and ``dn ui`` run it: what a store of results does not need is closed.

``python -m tracking.server.mlflow_app server …`` is ``mlflow server …`` with two differences. Its workers serve
``create_app``, which MLflow finds by the entry point ``dn`` of this package, with pages of sweeps; and
where there is a login, the administrator has the password of today before the first request.
"""

import json
import os
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tracking.server import middleware, mlflow_internals
from tracking.server.middleware import Application, Scope

if TYPE_CHECKING:
    from flask import Response

NAME = "dn"
"""Name of the entry point in pyproject.toml, group ``mlflow.app``."""

_PREFIXES = ("/api/2.0", "/ajax-api/2.0", "/api/3.0", "/ajax-api/3.0")
# Each runs commands, calls other machines, or opens files, for whoever asks; a store of results needs none of them.
_FEATURES = (
    *("assistant", "gateway", "gateway-proxy", "webhooks", "jobs", "scorer/invoke", "genai", "issues/invoke"),
    *("prompt-optimization", "demo", "workspaces", "runs/create-promptlab-run", "get-trace-artifact", "mcp"),
)
_CLOSED = (
    *(f"{prefix}/mlflow/{feature}" for prefix in _PREFIXES for feature in _FEATURES),
    "/gateway",
    "/ajax-api/3.0/jobs",
)

# The UI asks for models to call, and shows an empty error where it is refused. MLflow answers that there are none: of
# the server that it would call otherwise no variable tells it (mlflow_process.environment).
_ANSWERED = (("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),)

_ARTIFACTS = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/")
_LONGEST_BODY = 16_000_000  # bytes; MLflow's own limits, of what it keeps in memory, are lower


def create_app() -> Application:
    """Return MLflow's application with ``runs_route`` and its login if there is one, behind ``middleware``."""
    from tracking.server import artifact_root, runs_route, sweep_pages

    artifact_root.restrict_to(mlflow_internals.artifact_destination())
    routes = mlflow_internals.routes()
    routes.before_request(_refuse_deep_json)
    routes.register_error_handler(OperationalError, _say_that_database_is_away)  # MLflow's own routes have theirs
    runs_route.add_to(routes)
    sweep_pages.add_to(routes)
    has_login = mlflow_internals.CONFIG_OF_LOGIN in os.environ
    application = _behind_login() if has_login else _read_whole(mlflow_internals.open_application())
    of_our_pages = middleware.allow_origins(mlflow_internals.allowed_origins(), application)
    return middleware.close_paths(_CLOSED, of_our_pages, but=_ANSWERED)


def _behind_login() -> Application:
    from tracking.server import runs_route, sweep_pages

    mlflow_internals.open_to_readers(*runs_route.KEY)
    mlflow_internals.open_to_users(sweep_pages.is_page)
    application = _read_whole(mlflow_internals.application_behind_login())
    return middleware.require_login(
        mlflow_internals.is_right_login, mlflow_internals.needs_no_login, middleware.LoginAttempts(), application
    )


def _read_whole(application: Application) -> Application:
    """Bound what the application, which keeps bodies in memory, has to keep."""
    return middleware.limit_body(_LONGEST_BODY, _is_upload, application)


def _is_upload(scope: Scope) -> bool:
    """Whether MLflow hands the body on, piece by piece, to where artifacts lie."""
    return bool(scope["method"] == "PUT" and scope["path"].startswith(_ARTIFACTS))


def _refuse_deep_json() -> tuple[str, int] | None:
    from flask import request

    try:
        body = request.get_json(force=True, silent=True)  # kept by the request: it is read once
        if isinstance(body, str):  # MLflow reads such a text again
            json.loads(body)
    except RecursionError:
        return "the JSON is too deep", 400
    except ValueError:
        pass  # MLflow says so
    return None


def _say_that_database_is_away(_: Exception) -> "Response":
    from flask import Response

    return Response(f"{middleware.UNAVAILABLE}\n", status=503, mimetype="text/plain")


def main() -> None:
    """Run MLflow's command line."""
    if mlflow_internals.CONFIG_OF_LOGIN in os.environ:
        mlflow_internals.update_administrator()
    from mlflow.cli import cli

    cli()


if __name__ == "__main__":
    main()
