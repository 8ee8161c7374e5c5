"""What the store uses of MLflow that MLflow does not promise. Checked with 3.17; a test says when it changes.

Besides, ``statements``, ``sqlite`` and ``relocation`` know its tables (an MLflow with others is asked by its client),
and ``ui_view`` how its UI keeps a view of runs (a UI that knows no views leaves it alone).
"""

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing it takes a second, which not all commands need
    from mlflow.utils.rest_utils import MlflowHostCreds
    from requests import Response

Login = tuple[str, str]
"""User and password."""


def send_login(login: Callable[[], Login | None]) -> None:
    """Have MLflow's client ask ``login`` at each request, and send what it returns; None: it does as ever."""
    from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
    from mlflow.tracking.request_header.registry import _request_header_provider_registry as providers

    class FromCaller(RequestHeaderProvider):
        def in_context(self) -> bool:
            return login() is not None

        def request_headers(self) -> dict[str, Any]:
            user, password = login() or ("", "")
            return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    providers.register(FromCaller)  # type: ignore[no-untyped-call]


def credentials(address: str) -> "MlflowHostCreds":
    """Return the login that MLflow's client would send to a server, with ``username`` and ``password``."""
    from mlflow.utils.credentials import get_default_host_creds

    return get_default_host_creds(address)  # type: ignore[no-any-return, no-untyped-call]


def request(address: str, method: str, path: str, *, timeout: float, **options: Any) -> "Response":
    """Return what a server answers to one request of MLflow's client, whatever its status; nothing is tried again.

    MlflowException, OSError or ValueError where it does not answer. ``options`` as of ``requests.request``.
    """
    from mlflow.utils.rest_utils import http_request

    once = {"max_retries": 0, "raise_on_status": False, "allow_redirects": False}
    return http_request(credentials(address), path, method, timeout=timeout, **once, **options)  # type: ignore[no-any-return, no-untyped-call]


def content(answer: "Response", path: str) -> dict[str, Any]:
    """Return what an answer of MLflow says. Its MlflowException where it is an error."""
    from mlflow.utils.rest_utils import verify_rest_response

    return verify_rest_response(answer, path).json()  # type: ignore[no-any-return]


def create_database(address: str, artifacts: str) -> None:
    """Make MLflow's tables at a SQLite address, in silence. ``artifacts``: address of the folder for files."""
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(address, artifacts).engine.dispose()  # type: ignore[no-untyped-call]
