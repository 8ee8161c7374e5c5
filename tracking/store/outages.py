"""Whether an error of the store, its server or a disk is transient, or would be the same the next time."""

import errno
import re
import sqlite3
import ssl

import requests
from mlflow.exceptions import InvalidUrlException, MlflowException
from sqlalchemy import exc

_PERMANENT_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EDQUOT", "EEXIST", "EFBIG", "EINVAL", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOSPC",
        "ENOTDIR", "EPERM", "EROFS",
    )
)  # fmt: skip
_TRANSIENT_SQLITE = frozenset(
    (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA,
    )
)  # fmt: skip
"""A constraint: two wrote the same in one moment, and the second finds it when it looks again."""
_TRANSIENT_STATUS = frozenset((408, 409, 425, 429, 499))  # and all from 500 on
_DENIED = 403
_PERMANENT_CODES = ("INVALID_STATE", "DATA_LOSS", "NOT_IMPLEMENTED")
"""Codes of MLflow that stand for a status from 500 on."""
_ERRNO = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)")
_STATUS = re.compile(r"failed with error code (\d{3})\b")


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed later: nothing answers, a server is busy, a database is locked.

    False where it would fail the same way again: a bad request, no permission, no such run, a full disk; and for
    what is no error of a store.
    """
    return bool(_known_transient(error))


def is_denied(error: BaseException) -> bool:
    """Return whether a server knows who calls and does not let them."""
    return isinstance(error, MlflowException) and _mlflow_status(error) == _DENIED


def reason(error: BaseException) -> str:
    """Return in one line what lies under the layers of an error."""
    while (cause := _cause(error)) is not None:
        error = cause
    return " ".join(str(error).split()) or type(error).__name__


def _known_transient(error: BaseException) -> bool | None:
    """As ``is_transient``; None where nothing is known of this kind of error. A cause knows better than what it caused.

    Only causes that were named are believed: an error in whose handling another arose may have nothing to do with it.
    """
    cause = _cause(error)
    if cause is not None and (known := _known_transient(cause)) is not None:
        return known
    if isinstance(error, MlflowException):
        return _mlflow_is_transient(error)
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _TRANSIENT_SQLITE
    if isinstance(error, exc.SQLAlchemyError):
        return isinstance(error, exc.OperationalError | exc.IntegrityError | exc.TimeoutError)
    if isinstance(error, requests.RequestException):
        return _request_is_transient(error)
    if isinstance(error, ssl.SSLError):  # its numbers are not those of the system
        return not isinstance(error, ssl.SSLCertVerificationError)
    number = error.errno if isinstance(error, OSError) and error.errno else _errno_in(str(error))
    if number is not None or isinstance(error, OSError):
        return number not in _PERMANENT_ERRNOS
    return None


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (error.orig if isinstance(error, exc.DBAPIError) else None)


def _mlflow_is_transient(error: MlflowException) -> bool:
    if isinstance(error, InvalidUrlException) or error.error_code in _PERMANENT_CODES:
        return False
    return _status_is_transient(_mlflow_status(error))


def _mlflow_status(error: MlflowException) -> int:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def _request_is_transient(error: requests.RequestException) -> bool:
    if error.response is not None:
        return _status_is_transient(error.response.status_code)
    about_the_address = isinstance(error, ValueError) and not isinstance(error, requests.JSONDecodeError)
    return not about_the_address


def _status_is_transient(status: int) -> bool:
    return status >= 500 or status in _TRANSIENT_STATUS


def _errno_in(text: str) -> int | None:
    """The number of a system's error that a library has put into words."""
    found = _ERRNO.search(text)
    return int(found[1] or found[2]) if found else None
