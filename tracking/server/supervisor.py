"""The tracking server of a cluster: MLflow's server with a PostgreSQL behind it, and nothing open that need not be."""

import configparser
import contextlib
import fcntl
import importlib.util
import io
import ipaddress
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from tracking.errors import StoreError
from tracking.processes import end_marked
from tracking.server import mlflow_internals
from tracking.server.database import Database, database_from_env
from tracking.server.mlflow_process import (
    MlflowServer,
    check_port_is_free,
    command,
    environment,
    loopback_names,
    netloc,
    own_netloc,
)
from tracking.server.postgres import Postgres
from tracking.store import secret_files
from tracking.variables import DATA_DIR, SERVER_MARK, SERVER_PASSWORD, SERVER_USER, UI_FOLDER, UI_STORE

_LEAST_LENGTH = 12  # of a password, in characters; MLflow's own limit
_SECONDS_TO_END = 15
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Login:
    """The administrator. MLflow's own means make other users, who may edit everything."""

    user: str
    password: str


@dataclass(frozen=True)
class Settings:
    """How a server runs. ``settings`` makes them, and refuses a server that others could reach without a login."""

    folder: Path
    host: str
    port: int
    workers: int
    names: tuple[str, ...]
    """The names, mostly with a port, by which clients may call it; no others are answered."""
    artifacts: str
    login: Login | None
    database: Database | None
    """None: a PostgreSQL of our own, in ``folder``."""


def settings(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    workers: int = 2,
    allowed_hosts: str | None = None,
    artifacts: str | None = None,
) -> Settings:
    """Return the settings of ``dn server``, with the secrets that the environment gives.

    StoreError for what is wrong, and for a server that other machines could reach without a login or by any name.
    """
    login = _login()
    names = _host_names(allowed_hosts, port) if allowed_hosts is not None else ()
    if not _is_loopback(host):
        _check_is_protected(host, login, names)
    if workers < 1:
        raise StoreError(f"--workers {workers}: expected at least 1")
    folder, artifacts = folder.absolute(), artifacts or str(folder / "artifacts")
    _check_is_installed("psycopg", "flask_wtf", *(["boto3"] if artifacts.startswith("s3:") else []))
    return Settings(
        folder,
        host,
        port,
        workers,
        names or loopback_names(port),
        artifacts if "://" in artifacts else str(Path(artifacts).absolute()),
        login,
        database_from_env(),
    )


def run(wanted: Settings, say: Callable[[str], None], complain: Callable[[str], None]) -> None:
    """Run a server until a signal ends it: SIGINT by KeyboardInterrupt, others by SystemExit.

    ``say`` gets a line when it is ready, ``complain`` one when a part of it has ended and is started again.
    """
    with ended_by_signals() as check_signals, contextlib.ExitStack() as stack:
        _make_folders(wanted)
        stack.enter_context(_lock_folder(wanted.folder))
        _end_leftover_processes(wanted.folder)
        check_port_is_free(wanted.host, wanted.port)
        parts: list[_Part] = []
        database = wanted.database
        if database is None:
            _clear_postgres_variables()
            own = Postgres(wanted.folder / "postgres", _secrets(wanted), _logs(wanted) / "postgres.log")
            stack.callback(own.stop)
            own.start()
            parts, database = [own], own.database
        database.check()
        shutil.rmtree(_pages(wanted), ignore_errors=True)
        _pages(wanted).mkdir(mode=0o700)
        server = _mlflow(wanted, database)
        stack.callback(server.stop)
        server.start()
        server.wait_until_ready(wanted.host, wanted.port)
        if wanted.database is None:  # one of somebody else's is left as it is
            database.prepare_tables()
        say(_description(wanted))
        _keep_running([*parts, server], complain, check_signals)


class _Part(Protocol):
    name: str
    log: Path

    def start(self) -> None: ...
    def is_running(self) -> bool: ...


def _keep_running(parts: Sequence[_Part], complain: Callable[[str], None], check_signals: Callable[[], None]) -> None:
    pause = 1.0
    while True:
        check_signals()
        time.sleep(pause)
        ended = [part for part in parts if not part.is_running()]
        pause = min(2 * pause, _LONGEST_PAUSE) if ended else 1.0
        for part in ended:
            complain(f"{part.name} has ended; starting it again (log: {part.log})")
            try:
                part.start()
            except StoreError as error:
                complain(str(error))


def _login() -> Login | None:
    password = secret_files.secret_from_env(SERVER_PASSWORD)
    if password is None:
        return None
    user = os.environ.get(SERVER_USER) or "admin"
    if ":" in user or not user.isprintable():
        raise StoreError(f"{SERVER_USER}: {user!r} cannot be the name of a user")
    if len(password) < _LEAST_LENGTH:
        raise StoreError(f"{SERVER_PASSWORD}: expected at least {_LEAST_LENGTH} characters, found {len(password)}")
    return Login(user, password)


def _host_names(allowed_hosts: str, port: int) -> tuple[str, ...]:
    names: list[str] = []
    for name in (part.strip() for part in allowed_hosts.lower().split(",")):
        found = re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:\d+)?", name)
        if found is None:
            raise StoreError(f"--allowed-hosts: expected NAME or NAME:PORT, no wildcards; found {name!r}")
        names += [name] if found[1] else [f"{name}:{port}", name]
    return tuple(names)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_is_protected(host: str, login: Login | None, names: Sequence[str]) -> None:
    missing = []
    if login is None:
        missing.append(f"a password of at least {_LEAST_LENGTH} characters in a file that {SERVER_PASSWORD}_FILE names")
    if not names:
        missing.append("--allowed-hosts NAME:PORT,… with the names by which clients call it")
    if missing:
        raise StoreError(f"--host {host}: other machines can reach it, so it needs {', and '.join(missing)}")


def _check_is_installed(*modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        extra = "boto3" if missing == ["boto3"] else "'dropneuron-distributed[server]'"
        raise StoreError(f"dn server needs {', '.join(missing)}: pip install {extra}")


def _secrets(wanted: Settings) -> Path:
    return wanted.folder / "secrets"


def _logs(wanted: Settings) -> Path:
    return wanted.folder / "log"


def _pages(wanted: Settings) -> Path:
    """Reports as they were last asked for: made again by each start."""
    return wanted.folder / "pages"


def _make_folders(wanted: Settings) -> None:
    artifacts = [] if "://" in wanted.artifacts else [Path(wanted.artifacts)]
    try:
        # Under root, PostgreSQL runs as another user, who has to pass through to the folder of its own.
        wanted.folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        for folder in (_secrets(wanted), _logs(wanted), *artifacts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {error.filename} ({error.strerror})") from error


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold a lock: two servers in one folder would end each other's PostgreSQL. StoreError where another has it."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another dn server runs in {folder}: end it, or give another --folder") from None
        yield


def _clear_postgres_variables() -> None:
    """PostgreSQL's clients, MLflow's too, take what an address leaves out from these variables, as its port."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _end_leftover_processes(folder: Path) -> None:
    """A server that was killed leaves processes of MLflow behind, which keep its port."""
    end_marked(SERVER_MARK, str(folder), signal.SIGTERM, _SECONDS_TO_END)
    if left := end_marked(SERVER_MARK, str(folder), signal.SIGKILL, _SECONDS_TO_END):
        raise StoreError(
            f"what an earlier dn server in {folder} has left does not end: processes {', '.join(map(str, left))} "
            f"(logs: {folder / 'log'})"
        )


def _mlflow(wanted: Settings, database: Database) -> MlflowServer:
    words = command(wanted.host, wanted.port, wanted.workers, wanted.names)
    variables = {SERVER_MARK: str(wanted.folder)}
    variables |= {UI_STORE: f"http://{own_netloc(wanted.host, wanted.port)}", UI_FOLDER: str(_pages(wanted))}
    variables |= {DATA_DIR: os.environ[DATA_DIR]} if os.environ.get(DATA_DIR) else {}
    if database.password is not None:
        variables["PGPASSWORD"] = database.password  # not in an address, which may be logged
    if wanted.login is not None:
        variables |= _login_variables(wanted, wanted.login, database)
    return MlflowServer(
        [*words, "--artifacts-destination", wanted.artifacts],
        environment(database.for_sqlalchemy, variables),
        _logs(wanted) / "mlflow.log",
    )


def _login_variables(wanted: Settings, login: Login, database: Database) -> dict[str, str]:
    configuration = configparser.ConfigParser(interpolation=None)
    configuration["mlflow"] = {
        "default_permission": "EDIT",
        "database_uri": database.for_sqlalchemy.replace("%", "%%"),
        "admin_username": login.user.replace("%", "%%"),
        "auth_cache_ttl_seconds": "60",  # each request would else compute a slow hash: eight times slower
    }
    text = io.StringIO()
    configuration.write(text)
    path = _secrets(wanted) / "login.ini"
    secret_files.write(path, text.getvalue())
    return {
        mlflow_internals.CONFIG_OF_LOGIN: str(path),
        mlflow_internals.ADMINISTRATOR_PASSWORD: login.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret_files.load_or_create_secret(_secrets(wanted) / "flask"),
    }


def _description(wanted: Settings) -> str:
    login = f"login required (administrator: {wanted.login.user})" if wanted.login else "no login"
    database = wanted.database.address if wanted.database else str(wanted.folder / "postgres")
    address = wanted.names[0] if not _is_loopback(wanted.host) else netloc(wanted.host, wanted.port)
    return (
        f"tracking server: http://{address}, {login}; database: {database}, artifacts: {wanted.artifacts}"
        "  (Ctrl-C ends it)"
    )


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """Signals end the block once; while it tidies up, further ones are ignored.

    Give a function that ends the block where a signal has come and yet it goes on: Python drops what a handler raises
    while a weak reference's callback or a ``__del__`` runs, and an import runs many. To be called now and then.
    """
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        came.append(number)
        check()

    def check() -> None:
        if came:
            raise KeyboardInterrupt if came[0] == signal.SIGINT else SystemExit(0)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]  # nohup
    for number in before:
        signal.signal(number, end)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
