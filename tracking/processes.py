"""Processes of this machine."""

import os


def is_alive(process: int) -> bool:
    """Return whether there is a process of this number, whoever owns it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
