"""MLflow's server as ``dn server`` and ``dn ui`` run it: what a store of results does not need is closed.

``python -m tracking.server.mlflow_app server …`` is ``mlflow server …`` with two differences. Its workers serve
``create_app``, which MLflow finds by the entry point ``dn`` of this package; and where there is a login, the
administrator has the password of today before the first request.
"""

import json
import os

from tracking.server import doors
from tracking.server.doors import Application, Scope

NAME = "dn"
"""Name of the entry point in pyproject.toml, group ``mlflow.app``."""

LOGIN = "MLFLOW_AUTH_CONFIG_PATH"
"""MLflow's variable that names the configuration of its login; set if and only if there is one."""

PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
"""MLflow's variable for the password of its administrator."""

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

_ARTIFACTS = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/")
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"  # MLflow keeps the name in one module or another
_LONGEST_BODY = 16_000_000  # bytes; MLflow's own limits, of what it keeps in memory, are lower


def create_app() -> Application:
    """Return MLflow's application with ``bulk``'s path and its login if there is one, behind ``doors``."""
    from mlflow.server import app as routes
    from mlflow.server import security_utils

    from tracking.server import artifact_root, runs_route

    artifact_root.hold(os.environ.get(_DESTINATION))
    routes.before_request(_refuse_deep_json)
    runs_route.add_to(routes)
    origins = security_utils.get_allowed_origins_from_env() or []
    return doors.without(_CLOSED, doors.only_from(origins, _behind_login() if LOGIN in os.environ else _open()))


def _open() -> Application:
    from mlflow.server.fastapi_app import app

    return _read_whole(app)


def _behind_login() -> Application:
    from mlflow.server import auth

    from tracking.server import runs_route

    auth.BEFORE_REQUEST_VALIDATORS[runs_route.KEY] = auth.validate_can_read_experiment

    def is_right(user: str, password: str) -> bool:
        return auth._authenticate_cached(user, password) is not None

    return doors.with_login(is_right, auth.is_unprotected_route, doors.Tries(), _read_whole(auth.create_app()))


def _read_whole(application: Application) -> Application:
    """Bound what the application, which keeps bodies in memory, has to keep."""
    return doors.up_to(_LONGEST_BODY, _is_upload, application)


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


def main() -> None:
    """Run MLflow's command line."""
    if LOGIN in os.environ:
        _update_administrator()
    from mlflow.cli import cli

    cli()


def _update_administrator() -> None:
    """MLflow takes the configured password only to create its administrator; here it also replaces an older one."""
    from mlflow.server import auth

    auth.bootstrap_admin_user()
    user, password = str(auth.auth_config.admin_username), str(auth.auth_config.admin_password)
    if not auth.store.authenticate_user(user, password) or not auth.store.get_user(user).is_admin:
        auth.store.update_user(user, password=password, is_admin=True)
    os.environ.pop(PASSWORD)  # the workers need not know it


if __name__ == "__main__":
    main()
