"""The password in a file, for MLflow's client, which else reads it from the environment: all processes of a sweep
would inherit it there, those of Ray and git as well.
"""

import os
from functools import cache
from pathlib import Path

from tracking.store import mlflow_internals, secret_files
from tracking.variables import TRACKING_PASSWORD, TRACKING_PASSWORD_FILE, TRACKING_USER


def use_password_file() -> None:
    """Let MLflow's client in this process send the password that DN_TRACKING_PASSWORD_FILE names. StoreError as
    ``secret_files.read``.
    """
    _password()
    _register()


@cache
def _register() -> None:
    mlflow_internals.send_login(_login)


def _login() -> mlflow_internals.Login | None:
    """What the environment says at this moment; None where it names no file, or the password itself."""
    known = os.environ.get(TRACKING_PASSWORD_FILE) and os.environ.get(TRACKING_USER)
    return (os.environ[TRACKING_USER], _password()) if known and not os.environ.get(TRACKING_PASSWORD) else None


def _password() -> str:
    return secret_files.read(Path(os.environ[TRACKING_PASSWORD_FILE]), TRACKING_PASSWORD_FILE)
