"""What the server uses of MLflow that MLflow does not promise. Checked with 3.17; a test says when it changes."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from flask import Flask, Response
from sqlalchemy import Engine, text

CONFIG_OF_LOGIN = "MLFLOW_AUTH_CONFIG_PATH"
"""MLflow's variable that names the configuration of its login; set if and only if there is one."""
ADMINISTRATOR_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
"""MLflow's variable for the password of its administrator."""
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"  # MLflow keeps the name in one module or another
_PAGE = "serve"  # the function that answers "/", as Flask knows it
_HEAD = "<head>"

Check = Callable[..., None]
"""Is called with the arguments of a function of MLflow before it, and raises where it must not run."""


def artifact_destination() -> str | None:
    """Return where this server keeps artifacts: a path or an address; None where it serves none."""
    return os.environ.get(_DESTINATION)


def routes() -> Flask:
    """Return the Flask application that has MLflow's paths."""
    from mlflow.server import app

    return app


def move_page(path: str, script: str) -> None:
    """Serve MLflow's own page, which is at ``/``, at ``path`` too: beside ``/``, whence it loads its parts.

    ``script`` is run there before MLflow's own.
    """
    application = routes()
    own, page = application.view_functions[_PAGE], Path(application.static_folder or "") / "index.html"

    def answer() -> Any:
        if not page.exists():  # a page without its parts, which MLflow explains
            return own()
        text = page.read_text("utf-8").replace(_HEAD, f"{_HEAD}<script>{script}</script>", 1)
        return Response(text, headers={"Cache-Control": "no-cache"})

    application.add_url_rule(path, "dn_mlflow_page", answer)


def replace_page(answer: Callable[[], Any]) -> None:
    """Answer ``/`` with what ``answer`` returns."""
    routes().view_functions[_PAGE] = answer


def allowed_origins() -> list[str]:
    """Return the origins of pages that may call, as ``--cors-allowed-origins`` names them."""
    from mlflow.server import security_utils

    return security_utils.get_allowed_origins_from_env() or []


def open_application() -> Any:
    """Return MLflow's application without a login."""
    from mlflow.server.fastapi_app import app

    return app


def application_behind_login() -> Any:
    """Return MLflow's application behind its login."""
    from mlflow.server import auth

    return auth.create_app()


def is_right_login(user: str, password: str) -> bool:
    """Return whether MLflow knows the user by this password. ConnectionError where the database does not say."""
    from mlflow.exceptions import MlflowException
    from mlflow.server import auth

    try:
        return auth._authenticate_cached(user, password) is not None
    except MlflowException as error:
        raise ConnectionError(str(error)) from error


def needs_no_login(path: str) -> bool:
    """Return whether MLflow answers a path to everybody."""
    from mlflow.server import auth

    return bool(auth.is_unprotected_route(path))


def open_to_readers(path: str, method: str) -> None:
    """Ask MLflow's login for the right to read the experiment that a request to ``path`` names."""
    from mlflow.server import auth

    auth.BEFORE_REQUEST_VALIDATORS[path, method] = auth.validate_can_read_experiment


def open_to_users(is_page: Callable[[str], bool]) -> None:
    """Show every user the pages at these paths: of a path that it does not know MLflow's login lets nobody read."""
    from mlflow.server import auth

    original = auth._find_validator

    @wraps(original)
    def find(request: Any) -> Callable[[], bool] | None:
        is_open = request.method in ("GET", "HEAD") and is_page(request.path)
        return (lambda: True) if is_open else original(request)

    auth._find_validator = find  # type: ignore[assignment]


def update_administrator() -> None:
    """MLflow takes the configured password only to create its administrator; here it also replaces an older one."""
    from mlflow.server import auth

    auth.bootstrap_admin_user()
    user, password = str(auth.auth_config.admin_username), str(auth.auth_config.admin_password)
    if not auth.store.authenticate_user(user, password) or not auth.store.get_user(user).is_admin:
        auth.store.update_user(user, password=password, is_admin=True)
    os.environ.pop(ADMINISTRATOR_PASSWORD)  # the workers need not know it


def database() -> Engine:
    """Return the engine of the database that this server has open."""
    from mlflow.server import handlers

    store: Any = handlers._get_tracking_store()
    engine: Engine = store.engine
    return engine


def state_of_database() -> str:
    """Return what changes with everything that is written to the PostgreSQL that this server has open."""
    with database().connect() as connection:
        return str(connection.execute(text("select pg_current_snapshot()")).scalar_one())


def check_before(*, opening: Check, proxying: Check, creating_experiment: Check, creating_model_version: Check) -> None:
    """Have checks called below MLflow's handlers, where all of them, today's and tomorrow's, have to pass.

    ``opening``: an address of artifacts; ``proxying``: an address that a client names as one of this server.
    """
    from mlflow.server import handlers
    from mlflow.store.artifact import artifact_repository_registry
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as ModelStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as RunStore

    _check_first(opening, artifact_repository_registry._artifact_repository_registry, "get_artifact_repository")
    _check_first(proxying, handlers, "_get_proxied_run_artifact_destination_path")
    _check_first(creating_experiment, RunStore, "create_experiment")
    _check_first(creating_model_version, ModelStore, "create_model_version")


def _check_first(check: Check, owner: Any, name: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def checked(*arguments: Any, **named: Any) -> Any:
        check(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, checked)
