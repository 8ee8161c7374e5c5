"""What a request has to pass before MLflow reads any of it: its path, its page, its login, and its length.

Each function here wraps an application (ASGI) and returns one that passes on to it what may pass.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from math import ceil
from threading import Lock
from typing import Any, TypeVar

import anyio.to_thread

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

UNAVAILABLE = "the database of this server does not answer; try again later"
"""What is answered with 503."""

_FREE_ATTEMPTS = 10  # wrong passwords, of a user and of an address, before each further one waits its turn
_SECONDS_PER_ATTEMPT = 10.0
_DIGITS = 20  # of a length
_REMEMBERED = 10_000  # users and addresses; those that were seen last


def close_paths(
    prefixes: tuple[str, ...], application: Application, *, but: Collection[tuple[str, str]] = ()
) -> Application:
    """Answer 404 for every path under ``prefixes``, except where method and path are in ``but``."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_closed = scope["type"] != "lifespan" and scope["path"].startswith(prefixes)
        if is_closed and (scope.get("method"), scope["path"]) not in but:
            await _refuse(scope, send, 404, "")
        else:
            await application(scope, receive, send)

    return answer


def allow_origins(origins: Collection[str], application: Application) -> Application:
    """Answer 403 to pages of other origins, which a browser names, whatever they want."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        origin = _header(scope, b"origin")
        if scope["type"] != "lifespan" and origin is not None and origin.lower() not in origins:
            await _refuse(scope, send, 403, "Cross-origin request blocked")
        else:
            await application(scope, receive, send)

    return answer


def require_login(
    is_right: Callable[[str, str], bool],
    is_open: Callable[[str], bool],
    attempts: "LoginAttempts",
    application: Application,
) -> Application:
    """Answer 401 where name and password are not right, 429 after too many such; the body is not read.

    ``is_right`` may be slow, and raises ConnectionError where it cannot be known: 503. ``is_open``: of paths that need
    no login; they take no body then.
    """
    unread = limit_body(0, lambda _: False, application)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        if is_open(scope["path"]):
            await unread(scope, receive, send)
            return
        try:
            wait = await wait_of(scope)
        except ConnectionError:
            await _refuse(scope, send, 503, UNAVAILABLE)
            return
        if wait:
            text = f"too many wrong passwords: try again in {wait} s"
            await _refuse(scope, send, 429, text, (b"retry-after", b"%d" % wait))
        elif wait is None:
            text = "You are not authenticated."
            await _refuse(scope, send, 401, text, (b"www-authenticate", b'Basic realm="mlflow"'))
        else:
            await application(scope, receive, send)

    async def wait_of(scope: Scope) -> int | None:
        """0: let in; None: refused; else the seconds to wait."""
        login = _login(_header(scope, b"authorization"))
        if login is None:
            return None
        address = str((scope.get("client") or ("",))[0])
        wait = attempts.wait(*login, address)
        if wait is None or wait > 0:
            return None if wait is None else ceil(wait)
        right = await anyio.to_thread.run_sync(is_right, *login)
        attempts.record(*login, address, right)
        return 0 if right else None

    return answer


def limit_body(limit: int, is_exempt: Callable[[Scope], bool], application: Application) -> Application:
    """Answer 413 to bodies of more than ``limit`` bytes, except where ``is_exempt``; no more than that is kept."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_exempt(scope):
            await application(scope, receive, send)
            return
        read = await _read(receive, limit) if _length(scope) <= limit else None
        if read is None:
            await _refuse(scope, send, 413, f"the body is larger than {limit} bytes")
            return
        messages = iter(read)

        async def again() -> Scope:
            return next(messages, None) or await receive()

        await application(scope, again, send)

    return answer


async def _read(receive: Receive, limit: int) -> list[Scope] | None:
    """The messages of a body; None as soon as it is larger than the limit."""
    found, messages = 0, list[Scope]()
    while found <= limit:
        messages.append(await receive())
        found += len(messages[-1].get("body", b""))
        if not messages[-1].get("more_body", False):
            return messages if found <= limit else None
    return None


_Value = TypeVar("_Value")


class LoginAttempts:
    """How many wrong passwords have come lately, by user and by address, in one process. Its memory is bounded.

    A login that was right before is let through whoever else attempts: workers are not locked out by an attack. One
    that is wrong again and again, as of a worker with an old password, counts once: it guesses nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        """By what tried: how many, as they fade, and when that was reckoned."""
        self._logins: OrderedDict[bytes, float | None] = OrderedDict()
        """When one was last found wrong; None: it was right."""
        self._key = secrets.token_bytes(32)
        self._lock = Lock()

    def wait(self, user: str, password: str, address: str) -> float | None:
        """Return the seconds until this try may be made; 0: now; None: it was wrong a moment ago, and still is."""
        login = self._digest("login", user, password)
        with self._lock:
            if login in self._logins:
                wrong_at = self._logins[login]
                return None if wrong_at is not None and self._clock() - wrong_at < _SECONDS_PER_ATTEMPT else 0.0
            most = max(self._level(key) for key in self._who(user, address))
        return max(0.0, (most - (_FREE_ATTEMPTS - 1)) * _SECONDS_PER_ATTEMPT)

    def record(self, user: str, password: str, address: str, right: bool) -> None:
        """Note what became of a try."""
        login = self._digest("login", user, password)
        with self._lock:
            counts = not right and self._logins.get(login) is None
            self._put(self._logins, login, None if right else self._clock())
            for key in self._who(user, address) if counts else ():
                self._put(self._wrong, key, (self._level(key) + 1, self._clock()))

    def _put(self, where: OrderedDict[bytes, _Value], key: bytes, value: _Value) -> None:
        where[key] = value
        where.move_to_end(key)
        while len(where) > _REMEMBERED:
            where.popitem(last=False)

    def _level(self, key: bytes) -> float:
        level, when = self._wrong.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock() - when) / _SECONDS_PER_ATTEMPT)

    def _who(self, user: str, address: str) -> Iterator[bytes]:
        yield self._digest("user", user)
        yield self._digest("address", address)

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()


def _login(header: str | None) -> tuple[str, str] | None:
    """User and password, read as MLflow reads them."""
    from werkzeug.datastructures import Authorization

    found = Authorization.from_header(header)
    if found is None or found.type != "basic" or found.username is None or found.password is None:
        return None
    return found.username, found.password


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name), None)


def _length(scope: Scope) -> int:
    """The length that a request says its body has; 0 where it says none."""
    said = _header(scope, b"content-length") or "0"
    return int(said) if said.isdecimal() and len(said) < _DIGITS else 10**_DIGITS


async def _refuse(scope: Scope, send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    sent = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": text.encode()})
