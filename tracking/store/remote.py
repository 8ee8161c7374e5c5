"""A tracking server as a store: one request to it, and whether it answers, and answers to us."""

import os
from typing import TYPE_CHECKING, Any

from tracking.errors import DeniedError, StoreError
from tracking.store import mlflow_internals
from tracking.store.connection import log_in
from tracking.store.location import EITHER_PASSWORD, StoreLocation
from tracking.variables import TRACKING_PASSWORD_FILE, TRACKING_USER

if TYPE_CHECKING:
    from requests import Response

_SECONDS_TO_ANSWER = 10
_CHEAP_CALL = "/api/2.0/mlflow/experiments/search?max_results=1"


def check_server(location: StoreLocation) -> None:
    """StoreError where a server does not answer, or not to us. MLflow's own client would try for minutes."""
    try:
        answer = ask(location, "GET", _CHEAP_CALL, timeout=_SECONDS_TO_ANSWER)
    except ConnectionError as error:
        raise StoreError(f"no MLflow server answers at {location.uri} ({error})" + _proxy_note(location)) from error
    refusal = _refusal(answer.status_code, answer.text, _user_of(location))
    if refusal is not None:
        note = _proxy_note(location)
        raise StoreError(f"{'what answers for' if note else 'the server at'} {location.uri} {refusal}{note}")


def denied(location: StoreLocation, what: str) -> DeniedError:
    """Return the error that says what a server does not let us do."""
    return DeniedError(f"the server at {location.uri} does not let {_in_words(_user_of(location))} {what}")


def _user_of(location: StoreLocation) -> str | None:
    """Whom we say we are; None where we say nothing."""
    login = mlflow_internals.credentials(location.uri)
    return login.username if login.password or os.environ.get(TRACKING_PASSWORD_FILE) else None


def _in_words(user: str | None) -> str:
    return "us" if user is None else f"the user {user!r}"


def _proxy_note(location: StoreLocation) -> str:
    """The proxy, if there is one: it may be what has answered."""
    from tracking.store import proxies

    return f" ({proxy})" if (proxy := proxies.through(location.uri)) else ""


def ask(location: StoreLocation, method: str, path: str, *, timeout: float, **options: Any) -> "Response":
    """Return what a server answers to one request with our login. ConnectionError where it does not answer at once.

    ``options`` as of ``requests.request``.
    """
    log_in()
    from mlflow.exceptions import MlflowException

    try:
        return mlflow_internals.request(location.uri, method, path, timeout=timeout, **options)
    except (MlflowException, OSError, ValueError) as error:
        raise ConnectionError(_reason(error)) from error


def _refusal(status: int, text: str, user: str | None) -> str | None:
    """What a server's answer to a harmless request means; None: it can be used."""
    if status == 200 and text.lstrip().startswith("{"):
        return None
    if status == 401:
        if user is None:
            return f"wants a login: set {TRACKING_USER}, and {EITHER_PASSWORD}"
        return f"refuses the name or the password of the user {user!r} ({TRACKING_USER}, {EITHER_PASSWORD})"
    if status == 403 and "Host header" in text:
        return "does not want to be called by this name: start it with the name in --allowed-hosts"
    if status == 403:
        return f"does not let {_in_words(user)} read experiments"
    if status in (200, 301, 302, 303, 307, 308, 404):
        return f"is no MLflow server, or stands under another address (it answers {status})"
    return f"answers {status}: {' '.join(text.split())[:200]}"


def _reason(error: BaseException) -> str:
    """What lies under the layers of an HTTP client."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())
