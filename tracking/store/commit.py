"""Which commit of this project is at work."""

import os
import re
import subprocess
from pathlib import Path

_SECONDS = 10
_COMMIT = re.compile(r"[0-9a-f]{40}(-dirty)?")


def of(folder: Path) -> str:
    """Return the commit of the checkout ``folder``, with ``-dirty`` where files were changed.

    Empty outside of a checkout, without git, and where git says something else. Git's variables, which a hook or a
    script inherits, may name another checkout, and so may a folder above this one: neither is asked.
    """
    if not (folder / ".git").exists():  # installed, maybe inside of another project's checkout
        return ""
    words = ["git", f"--git-dir={folder / '.git'}", f"--work-tree={folder}", "-c", "core.fsmonitor=false"]
    words += ["describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    variables["GIT_OPTIONAL_LOCKS"] = "0"  # it looks, and leaves the index as it is
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    said = done.stdout.strip()
    return said if _COMMIT.fullmatch(said) else ""
