"""A PostgreSQL of our own, that runs while the tracking server does: its data made, its role and database in it."""

import os
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from tracking.errors import StoreError
from tracking.server import postgres_programs as programs
from tracking.server.database import SECONDS_TO_CONNECT, Database
from tracking.server.logs import last_line
from tracking.server.postmaster import Postmaster
from tracking.store import secret_files

_SUPERUSER = "postgres"
_NAME = "mlflow"  # of the role and of its database
_SOCKET = ".s.PGSQL.5432"
_SOCKET_LIMIT = 103  # bytes in the path of a socket: 107 on Linux, 103 on macOS
_SECONDS_TO_ASK = 300  # of one statement, as of making the database
_SECONDS_TO_MAKE = 600
_TRIES = 5


class Postgres:
    """A PostgreSQL of our own. It listens on a socket in its folder alone, and asks for passwords even there."""

    name = "PostgreSQL"

    def __init__(self, folder: Path, secrets: Path, log: Path) -> None:
        """``folder``: absolute; data and socket lie in it. ``secrets``: where the passwords are kept."""
        self.log = log
        self._folder, self._secrets = folder, secrets
        self._account = programs.account()
        self._postmaster = Postmaster(folder, log)

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
            if not self._postmaster.is_running():
                self._postmaster.launch()
            if self._postmaster.becomes_ready():
                return self._ensure_database()
        raise StoreError(f"PostgreSQL does not start: {last_line(self.log)} (log: {self.log})")

    def is_running(self) -> bool:
        """Return whether a PostgreSQL serves the data."""
        return self._postmaster.is_running()

    def stop(self) -> None:
        """End it, see ``Postmaster.stop``."""
        self._postmaster.stop()

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
        if programs.run(["test", "-w", str(self._folder)], self.log, programs.SECONDS_TO_LOOK):
            raise StoreError(
                f"the user {programs.ACCOUNT}, whom PostgreSQL runs as under root, cannot enter {self._folder}: choose "
                f"a --folder that other users can pass through, as /var/lib/dn-server"
            )
        if not (self._postmaster.data / "PG_VERSION").exists():
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
        command = [
            str(programs.binaries(self._postmaster.data) / "initdb"),
            "-D",
            str(partial),
            "-U",
            _SUPERUSER,
        ]
        command += [f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--data-checksums"]
        try:
            failed = programs.run(command, self.log, _SECONDS_TO_MAKE, folder=self._folder)
        finally:
            password.unlink()
        if failed:
            raise StoreError(f"initdb failed: {last_line(self.log)} (log: {self.log})")
        partial.rename(self._postmaster.data)

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
                connect_timeout=SECONDS_TO_CONNECT,
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
