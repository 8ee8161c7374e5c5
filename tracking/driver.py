"""The driver that runs a sweep, as the store has it."""

import socket
from collections.abc import Mapping

from pydantic import ValidationError

from dn_distributed.config import FrozenModel
from tracking import schema
from tracking.processes import is_alive


class Holder(FrozenModel):
    """A driver, and its last sign of life."""

    owner: str
    host: str
    pid: int
    began: int
    """Seconds since 1970."""
    beat: int
    """Counts up."""
    last: int = 0
    """When it did so, in seconds since 1970 by the driver's clock; 0 where an earlier version wrote it."""

    @property
    def is_known_dead(self) -> bool:
        """Whether this was a process of this very machine that is no more."""
        return self.host == this_host() and not is_alive(self.pid)


def holder_in(tags: Mapping[str, str]) -> Holder | None:
    """Return the driver that the tags of a sweep's report run name; None if there is none."""
    text = tags.get(schema.DRIVER)
    try:
        return Holder.model_validate_json(text) if text else None
    except ValidationError:
        return None  # of another version


def this_host() -> str:
    """Return what drivers of this machine call it."""
    return socket.gethostname()
