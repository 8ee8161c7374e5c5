"""What a request has to pass, one check after another, without a server behind it."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from tracking.server import middleware
from tracking.server.middleware import Application, LoginAttempts, Receive, Scope, Send


class Behind:
    """An application that keeps what reaches it."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.body = body
        await send({"type": "http.response.start", "status": 200, "headers": []})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def call(app: Application, path: str = "/", body: Iterator[bytes] | None = None, **headers: str) -> tuple[int, int]:
    """Return the status, and how many pieces of the body were read."""
    sent: list[Scope] = []
    read = 0

    async def receive() -> Scope:
        nonlocal read
        read += 1
        piece = next(body, None) if body is not None else None
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Scope) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "path": path,
        "headers": named,
        "client": ("192.0.2.1", 1),
        "method": "POST",
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], read


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def guarded(attempts: LoginAttempts | None = None, behind: Application | None = None) -> Application:
    """An application whose one user is ``a`` with the password ``right``."""
    return middleware.require_login(
        lambda user, password: (user, password) == ("a", "right"),
        lambda path: path == "/health",
        attempts or LoginAttempts(),
        behind or Behind(),
    )


@pytest.mark.parametrize(("path", "status"), [("/closed", 404), ("/closed/x", 404), ("/open", 200)])
def test_what_is_closed_is_not_found(path: str, status: int) -> None:
    assert call(middleware.close_paths(("/closed",), Behind()), path)[0] == status


def test_one_method_of_a_closed_path_may_be_open() -> None:
    for method, status in (("POST", 200), ("GET", 404)):
        app = middleware.close_paths(("/closed",), Behind(), but=[(method, "/closed/x")])
        assert call(app, "/closed/x")[0] == status
        assert call(app, "/closed/x/y")[0] == 404


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://own:5000", 200), ("HTTP://OWN:5000", 200), ("http://own:5001", 403), ("http://own", 403), ("null", 403)],
)
def test_only_pages_of_our_own_are_let_in(origin: str, status: int) -> None:
    app = middleware.allow_origins(["http://own:5000"], Behind())
    assert call(app)[0] == 200
    assert call(app, origin=origin)[0] == status


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Bearer right", basic("a", "wrong"), basic("b", "right")])
def test_without_the_login_nothing_of_a_body_is_read(header: str) -> None:
    assert call(guarded(), body=endless(), authorization=header) == (401, 0)
    assert call(guarded(), body=endless()) == (401, 0)


def test_with_the_login_the_body_comes_whole() -> None:
    behind = Behind()
    pieces = iter([b"one", b"two"])
    assert call(guarded(behind=behind), body=pieces, authorization=basic("a", "right"))[0] == 200
    assert behind.body == b"onetwo"


def test_what_needs_no_login_takes_no_body() -> None:
    assert call(guarded(), "/health")[0] == 200
    assert call(guarded(), "/health", endless()) == (413, 1)


def test_a_long_body_is_refused_before_it_is_kept() -> None:
    app = middleware.limit_body(2500, lambda scope: scope["path"] == "/large", Behind())
    assert call(app, body=endless(), content_length="2501") == (413, 0)
    assert call(app, body=endless(), content_length="9" * 5000) == (413, 0)
    assert call(app, body=endless(), content_length="2500") == (413, 3)  # whatever it says
    assert call(app, body=endless()) == (413, 3)
    assert call(app, body=iter([b"x" * 2500]))[0] == 200
    assert call(app, "/large", iter([b"x" * 1000] * 5), content_length="5000")[0] == 200


def test_wrong_passwords_soon_have_to_wait_and_the_wait_ends() -> None:
    clock = Clock()
    app = guarded(LoginAttempts(clock))
    statuses = [call(app, authorization=basic("a", f"wrong {number}"))[0] for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert call(app, authorization=basic("a", "right"))[0] == 429  # else it would tell that this one is right
    clock.now += 10
    assert call(app, authorization=basic("a", "right"))[0] == 200


def test_many_users_from_one_address_and_one_user_from_many_addresses_wait_too() -> None:
    attempts = LoginAttempts(Clock())
    for number in range(10):
        attempts.record(f"user {number}", "wrong", "an address", right=False)
    assert attempts.wait("another", "password", "an address") == 10
    assert attempts.wait("another", "password", "another address") == 0
    for number in range(10):
        attempts.record("a user", f"wrong {number}", f"address {number}", right=False)
    assert attempts.wait("a user", "another", "a new address") == 10


def test_a_login_that_was_right_is_not_locked_out_by_others() -> None:
    app = guarded(LoginAttempts(Clock()))
    assert call(app, authorization=basic("a", "right"))[0] == 200
    for number in range(20):
        call(app, authorization=basic("a", f"wrong {number}"))
    assert call(app, authorization=basic("a", "right"))[0] == 200
    assert call(app, authorization=basic("a", "another wrong one"))[0] == 429


def test_one_wrong_password_that_comes_again_and_again_counts_once_and_is_asked_for_rarely() -> None:
    login = mock.Mock(return_value=False)
    clock = Clock()
    app = middleware.require_login(login, lambda _: False, LoginAttempts(clock), Behind())
    for _ in range(30):
        assert call(app, authorization=basic("a", "old password"))[0] == 401
    assert login.call_count == 1
    clock.now += 10
    assert call(app, authorization=basic("a", "old password"))[0] == 401  # it might be right by now
    assert login.call_count == 2
    assert call(app, authorization=basic("a", "new password"))[0] == 401


def test_a_login_that_cannot_be_known_is_neither_right_nor_wrong() -> None:
    login = mock.Mock(side_effect=[*[ConnectionError("no database")] * 30, True])
    app = middleware.require_login(login, lambda _: False, LoginAttempts(Clock()), Behind())
    for _ in range(30):
        assert call(app, authorization=basic("a", "right"))[0] == 503
    assert call(app, authorization=basic("a", "right"))[0] == 200


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "_REMEMBERED", 50)
    attempts = LoginAttempts(Clock())
    for number in range(200):
        attempts.record(f"user {number}", "wrong" * 1000, "an address", right=False)
    assert len(attempts._wrong) == len(attempts._logins) == 50
    wait = attempts.wait("another", "password", "an address")
    assert wait is not None
    assert wait > 0  # that which attempts on is not forgotten
