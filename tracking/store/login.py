"""The password in a file, for MLflow's client, which else reads it from the environment: all processes of a sweep
would inherit it there, those of Ray and git as well.
"""

import base64
import os
from functools import cache
from pathlib import Path
from typing import Any

from tracking.store import secret_files
from tracking.variables import TRACKING_PASSWORD, TRACKING_PASSWORD_FILE, TRACKING_USER


def use_password_file() -> None:
    """Let MLflow's client in this process send the password that DN_TRACKING_PASSWORD_FILE names. StoreError as
    ``private.read``.
    """
    _password()
    _register()


@cache
def _register() -> None:
    from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
    from mlflow.tracking.request_header.registry import _request_header_provider_registry as providers

    class FromFile(RequestHeaderProvider):
        def in_context(self) -> bool:
            known = os.environ.get(TRACKING_PASSWORD_FILE) and os.environ.get(TRACKING_USER)
            return bool(known) and not os.environ.get(TRACKING_PASSWORD)

        def request_headers(self) -> dict[str, Any]:
            login = f"{os.environ[TRACKING_USER]}:{_password()}".encode()
            return {"Authorization": "Basic " + base64.b64encode(login).decode()}

    providers.register(FromFile)  # type: ignore[no-untyped-call]


def _password() -> str:
    return secret_files.read(Path(os.environ[TRACKING_PASSWORD_FILE]), TRACKING_PASSWORD_FILE)
