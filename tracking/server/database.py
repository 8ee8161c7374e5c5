"""The database of a tracking server: its address, its password, and what the environment says of both."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tracking import schema
from tracking.errors import StoreError
from tracking.store import secret_files
from tracking.variables import DATABASE_PASSWORD, DATABASE_URL

if TYPE_CHECKING:
    import psycopg

SECONDS_TO_CONNECT = 10
INDEX = "dn_cell_key"
"""Of MLflow's table of tags, by which a pack finds what was begun of its cell: MLflow has none of values."""
STATISTICS = "dn_tags"
"""Of the same table: how many runs have which tag with which value. Without them PostgreSQL takes key and value for
independent, expects a twentieth of the runs that a status asks for, and looks each of them up by itself."""


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
        with self._connected():
            pass

    def prepare_tables(self) -> None:
        """Make the index of cells' keys and the statistics of tags, if there are none; MLflow's tables are there.

        StoreError where that cannot be done.
        """
        from psycopg import sql

        index = sql.SQL("create index if not exists {} on tags (value) where key = {}")
        statistics = sql.SQL("create statistics if not exists {} (mcv) on key, value from tags")
        with self._connected() as connection:
            connection.execute(index.format(sql.Identifier(INDEX), sql.Literal(schema.CELL_KEY)))
            connection.execute(statistics.format(sql.Identifier(STATISTICS)))
            connection.execute("analyze tags")  # PostgreSQL does so itself while they grow

    @contextlib.contextmanager
    def _connected(self) -> Iterator["psycopg.Connection"]:
        import psycopg

        try:
            with psycopg.connect(self.address, password=self.password, connect_timeout=SECONDS_TO_CONNECT) as found:
                yield found
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
