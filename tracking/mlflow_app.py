"""MLflow's server as ``dn server`` and ``dn ui`` run it: what a store of results does not need is closed.

``python -m tracking.mlflow_app server …`` is ``mlflow server …`` with two differences. Its workers serve
``create_app``, which MLflow finds by the entry point ``dn`` of this package; and where there is a login, the
administrator has the password of today before the first request.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

NAME = "dn"
"""Name of the entry point in pyproject.toml, group ``mlflow.app``."""

LOGIN = "MLFLOW_AUTH_CONFIG_PATH"
"""MLflow's variable that names the configuration of its login; set if and only if there is one."""

PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
"""MLflow's variable for the password of its administrator."""

# MLflow's assistant runs commands on the server's machine for whoever calls from that machine.
_CLOSED = ("/ajax-api/3.0/mlflow/assistant",)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def create_app() -> _Application:
    """Return MLflow's application with ``bulk``'s path, and its login if there is one, less what is closed."""
    from mlflow.server import app as routes

    from tracking import bulk_route

    bulk_route.add_to(routes)
    if LOGIN not in os.environ:
        from mlflow.server.fastapi_app import app

        return without(_CLOSED, app)
    from mlflow.server import auth

    auth.BEFORE_REQUEST_VALIDATORS[bulk_route.KEY] = auth.validate_can_read_experiment
    return without(_CLOSED, auth.create_app())


def without(prefixes: tuple[str, ...], application: _Application) -> _Application:
    """Return the application with 404 for every path under ``prefixes``."""

    async def answer(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "lifespan" and scope["path"].startswith(prefixes):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await application(scope, receive, send)

    return answer


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
