"""PostgreSQL's programs: where they are, as whom they run, and what they are given."""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tracking.errors import StoreError
from tracking.server.logs import last_line, open_log
from tracking.variables import DATABASE_URL

ACCOUNT = "postgres"
"""Whom PostgreSQL runs as where we are root: it refuses root itself."""
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
"""PostgreSQL is given none of our variables: some are secrets."""
SECONDS_TO_LOOK = 30
"""For a program that changes nothing."""


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
            timeout=SECONDS_TO_LOOK,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\) (\d+)", said)
    return found[1] if found else ""


def account() -> dict[str, Any]:
    """Return whom PostgreSQL runs as, in subprocess's words; empty: as we do."""
    if os.geteuid() != 0:
        return {}
    try:
        group = pwd.getpwnam(ACCOUNT).pw_gid
    except KeyError:
        raise StoreError(
            f"PostgreSQL does not run as root, and there is no user {ACCOUNT}: install the package postgresql, run "
            f"dn server as another user, or name a database of yours in {DATABASE_URL}"
        ) from None
    return {"user": ACCOUNT, "group": group, "extra_groups": []}


def run(command: list[str], log: Path, seconds: float, *, folder: Path | None = None) -> int:
    """Run a program as PostgreSQL's user, in ``folder``; return its exit code. StoreError if it does not end."""
    try:
        with open_log(log) as output:
            return subprocess.run(
                command,
                cwd=folder,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                **account(),
            ).returncode
    except subprocess.TimeoutExpired:
        said = f"{last_line(log)} (log: {log})"
        raise StoreError(f"{Path(command[0]).name} has not ended after {seconds:g} s: {said}") from None
