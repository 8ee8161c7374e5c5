"""The database of a tracking server: a PostgreSQL that is there, or one of our own that runs while we do."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tracking.errors import StoreError
from tracking.processes import is_alive
from tracking.server.logs import last_line, open_log
from tracking.store import secret_files
from tracking.variables import DATABASE_PASSWORD, DATABASE_URL

_ACCOUNT = "postgres"  # whom PostgreSQL runs as where we are root: it refuses root itself
_SUPERUSER = "postgres"
_NAME = "mlflow"  # of the role and of its database
_SOCKET = ".s.PGSQL.5432"
_SOCKET_LIMIT = 103  # bytes in the path of a socket: 107 on Linux, 103 on macOS
_CONNECTIONS = 300  # a server worker holds up to 15 to each of its stores
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_ASK = 300  # of one statement, as of making the database
_SECONDS_TO_LOOK = 30  # for a program that changes nothing
_SECONDS_TO_MAKE = 600
_SECONDS_TO_START = 3600  # after a crash, with much to do again
_SECONDS_OF_SILENCE = 300  # while it starts: it logs every ten seconds what it does
_SECONDS_TO_STOP = 60
_TRIES = 5


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database: its address, which holds no password, and the password."""

    address: str
    password: str | None

    @property
    def for_sqlalchemy(self) -> str:
        """The address as SQLAlchemy wants it."""
        return self.address.replace("postgresql://", "postgresql+psycopg://", 1)

    def check(self) -> None:
        """StoreError where the database cannot be used."""
        import psycopg

        try:
            psycopg.connect(self.address, password=self.password, connect_timeout=_SECONDS_TO_CONNECT).close()
        except psycopg.Error as error:
            raise StoreError(f"cannot use the database {self.address}: {' '.join(str(error).split())}") from error


def database_from_env() -> Database | None:
    """Return the database that DN_DATABASE_URL (or the file DN_DATABASE_URL_FILE) names; None without it.

    Its password may stand in the address, or in DN_DATABASE_PASSWORD or the file DN_DATABASE_PASSWORD_FILE.
    """
    address = secret_files.secret_from_env(DATABASE_URL)
    if address is None:
        return None
    scheme, netloc, path, query, _ = urlsplit(address)
    if scheme.split("+")[0] not in ("postgresql", "postgres") or not path.strip("/"):
        raise StoreError(f"{DATABASE_URL}: expected postgresql://USER@HOST:PORT/DATABASE")
    login, at, host = netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = dict(parse_qsl(query))
    found = unquote(password) or options.get("password") or secret_files.secret_from_env(DATABASE_PASSWORD)
    options.pop("password", "")
    end = f"?{urlencode(options)}" if options else ""
    return Database(f"postgresql://{user}{at}{host}{path}{end}", found)


class Postgres:
    """A PostgreSQL of our own. It listens on a socket in its folder alone, and asks for passwords even there."""

    name = "PostgreSQL"

    def __init__(self, folder: Path, secrets: Path, log: Path) -> None:
        """``folder``: absolute; data and socket lie in it. ``secrets``: where the passwords are kept."""
        self.log = log
        self._folder, self._secrets = folder, secrets
        self._data = folder / "data"
        self._account = _account()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> Database:
        """The database for MLflow, whose role may do nothing else."""
        password = secret_files.load_or_create_secret(self._secrets / f"postgres-{_NAME}")
        return Database(self._address(_NAME, _NAME), password)

    def start(self) -> None:
        """Start it if it does not run, making the data first if there are none; StoreError if it will not start.

        One that an earlier, killed server left behind is taken over.
        """
        self._prepare()
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(1)  # processes of one that was killed may hold its memory for a moment
            if not self.is_running():
                self._launch()
            if self._becomes_ready():
                return self._ensure_database()
        raise StoreError(f"PostgreSQL does not start: {last_line(self.log)} (log: {self.log})")

    def is_running(self) -> bool:
        """Return whether a PostgreSQL serves the data."""
        return self._postmaster() is not None

    def stop(self) -> None:
        """End it, and wait until it has; whatever has been committed is on the disk either way.

        StoreError where it does not end.
        """
        for number in (signal.SIGINT, signal.SIGQUIT):  # disconnect everybody; then, without tidying up
            deadline = time.monotonic() + _SECONDS_TO_STOP
            found = self._postmaster() or self._child()
            if found is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found, number)
            while (self._postmaster() or self._child()) and time.monotonic() < deadline:
                time.sleep(0.1)
        if left := self._postmaster() or self._child():
            raise StoreError(
                f"PostgreSQL (process {left}) has not ended {2 * _SECONDS_TO_STOP} s after it was told to: "
                f"{last_line(self.log)} (log: {self.log})"
            )

    def _address(self, user: str, database: str) -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self._folder), safe='')}"

    def _prepare(self) -> None:
        if len(os.fsencode(self._folder / _SOCKET)) > _SOCKET_LIMIT:
            raise StoreError(
                f"the path of {self._folder} is too long for PostgreSQL's socket (limit: {_SOCKET_LIMIT} bytes with "
                f"/{_SOCKET}): choose a shorter --folder"
            )
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(self._folder)
        if self._run(["test", "-w", str(self._folder)], _SECONDS_TO_LOOK):
            raise StoreError(
                f"the user {_ACCOUNT}, whom PostgreSQL runs as under root, cannot enter {self._folder}: choose a "
                f"--folder that other users can pass through, as /var/lib/dn-server"
            )
        if not (self._data / "PG_VERSION").exists():
            self._make_data()

    def _hand_over(self, path: Path) -> None:
        if self._account:
            shutil.chown(path, self._account["user"], self._account["group"])

    def _make_data(self) -> None:
        """Made beside its place and moved there whole: a half-made folder would never start."""
        partial, password = self._folder / "data.partial", self._folder / "password.partial"
        shutil.rmtree(partial, ignore_errors=True)
        secret_files.write(password, secret_files.load_or_create_secret(self._secrets / f"postgres-{_SUPERUSER}"))
        self._hand_over(password)
        command = [str(binaries(self._data) / "initdb"), "-D", str(partial), "-U", _SUPERUSER]
        command += [f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--data-checksums"]
        try:
            failed = self._run(command, _SECONDS_TO_MAKE)
        finally:
            password.unlink()
        if failed:
            raise StoreError(f"initdb failed: {last_line(self.log)} (log: {self.log})")
        partial.rename(self._data)

    def _run(self, command: list[str], seconds: float) -> int:
        """Run a program in the folder as PostgreSQL's user and return its exit code; StoreError if it does not end."""
        try:
            with open_log(self.log) as log:
                return subprocess.run(
                    command,
                    cwd=self._folder if command[0] != "test" else None,
                    env=_ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    **self._account,
                ).returncode
        except subprocess.TimeoutExpired:
            said = f"{last_line(self.log)} (log: {self.log})"
            raise StoreError(f"{Path(command[0]).name} has not ended after {seconds:g} s: {said}") from None

    def _launch(self) -> None:
        self._remove_stale_lock()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._folder}"',
            "unix_socket_permissions": "0700",
            "max_connections": str(_CONNECTIONS),
            "log_checkpoints": "off",
        }
        command = [str(binaries(self._data) / "postgres"), "-D", str(self._data)]
        with open_log(self.log) as log:
            self._process = subprocess.Popen(
                [*command, *(part for item in settings.items() for part in ("-c", "=".join(item)))],
                cwd=self._folder,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: it ends after the server that uses it
                **self._account,
            )

    def _becomes_ready(self) -> bool:
        """Wait while it starts, which after a crash may take long; False if it ends instead.

        StoreError where it does neither.
        """
        began = heard = time.monotonic()
        said = ""
        while time.monotonic() - began < _SECONDS_TO_START and time.monotonic() - heard < _SECONDS_OF_SILENCE:
            if (line := last_line(self.log)) != said:
                said, heard = line, time.monotonic()
            status = self._lock_file()[7:8]
            if status and status[0].strip() == "ready" and self.is_running():
                return True
            if self._child() is None and not self.is_running():
                return False
            time.sleep(0.1)
        raise StoreError(
            f"PostgreSQL is not ready after {time.monotonic() - began:.0f} s; its last line is {said!r} "
            f"(log: {self.log})"
        )

    def _child(self) -> int | None:
        """The process that we started, if it lives. Takes leave of a dead one, whose number would stay taken."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _ensure_database(self) -> None:
        import psycopg
        from psycopg import sql

        password = secret_files.load_or_create_secret(self._secrets / f"postgres-{_SUPERUSER}")
        role, secret = sql.Identifier(_NAME), self.database.password
        try:
            with psycopg.connect(
                self._address(_SUPERUSER, "postgres"),
                password=password,
                autocommit=True,
                connect_timeout=_SECONDS_TO_CONNECT,
                options=f"-c statement_timeout={_SECONDS_TO_ASK}s",
            ) as connection:
                if not connection.execute("select 1 from pg_roles where rolname = %s", [_NAME]).fetchone():
                    scram = connection.pgconn.encrypt_password(str(secret).encode(), _NAME.encode(), b"scram-sha-256")
                    connection.execute(sql.SQL("create role {} login password {}").format(role, scram.decode()))
                if not connection.execute("select 1 from pg_database where datname = %s", [_NAME]).fetchone():
                    connection.execute(sql.SQL("create database {} owner {}").format(role, role))
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"cannot use the PostgreSQL in {self._folder}: {reason} (log: {self.log})") from error

    def _lock_file(self) -> list[str]:
        """The lines of postmaster.pid: 0 the process, 7 its state. It outlives a kill."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _postmaster(self) -> int | None:
        """The process that serves the data: alive, and not another that got the number after a kill."""
        self._child()
        process = _number(self._lock_file())
        if process is None or not is_alive(process):
            return None
        words = _command_line(process)
        return process if words is None or (_is_postgres(words) and str(self._data) in words) else None

    def _remove_stale_lock(self) -> None:
        """PostgreSQL does not start where the number in its lock file is now that of another process of its user."""
        process = _number(self._lock_file())
        words = _command_line(process) if process is not None else None
        if words is not None and not _is_postgres(words):
            (self._data / "postmaster.pid").unlink()


_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}  # PostgreSQL is given none of our variables: some are secrets


def binaries(data: Path | None = None) -> Path:
    """Return the folder of PostgreSQL's programs, of the version that made ``data`` if there are any.

    First choice is what PATH names, then the newest in /usr/lib/postgresql. StoreError with the remedy if none fits.
    """
    remedy = f"or name a database of yours in {DATABASE_URL}"
    found: dict[str, Path] = {}
    for folder in _candidates():
        found.setdefault(_version(folder), folder)
    found.pop("", None)
    if not found:
        raise StoreError(f"no PostgreSQL is installed: install it (Debian: apt-get install postgresql), {remedy}")
    made_by = data / "PG_VERSION" if data else None
    if made_by is None or not made_by.exists():
        return next(iter(found.values()))
    wanted = made_by.read_text().strip()
    if wanted not in found:
        raise StoreError(
            f"{data} was made by PostgreSQL {wanted}, installed is {', '.join(found)}: install {wanted}, {remedy}"
        )
    return found[wanted]


def _candidates() -> list[Path]:
    on_path = shutil.which("initdb")
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(installed, key=lambda folder: _numbers(folder.parent.name), reverse=True)
    return [*([Path(on_path).resolve().parent] if on_path else []), *newest_first]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _version(folder: Path) -> str:
    """The version up to which data fit, as 15; empty if there is no PostgreSQL."""
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS_TO_LOOK,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\) (\d+)", said)
    return found[1] if found else ""


def _account() -> dict[str, Any]:
    """Return whom PostgreSQL runs as, in subprocess's words; empty: as we do."""
    if os.geteuid() != 0:
        return {}
    try:
        group = pwd.getpwnam(_ACCOUNT).pw_gid
    except KeyError:
        raise StoreError(
            f"PostgreSQL does not run as root, and there is no user {_ACCOUNT}: install the package postgresql, run "
            f"dn server as another user, or name a database of yours in {DATABASE_URL}"
        ) from None
    return {"user": _ACCOUNT, "group": group, "extra_groups": []}


def _number(lines: list[str]) -> int | None:
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _command_line(process: int) -> list[str] | None:
    """The words that started a process; empty for one that has ended; None where the system does not say."""
    if not Path("/proc/self/cmdline").exists():
        return None
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _is_postgres(words: list[str]) -> bool:
    return Path(words[0]).name in ("postgres", "postmaster") if words else False
