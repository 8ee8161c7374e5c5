"""The driver that runs a sweep, as the store has it."""

import os
import socket
import time
import uuid
from collections.abc import Mapping

from pydantic import ValidationError

from dn_distributed.config import FrozenModel
from tracking import schema
from tracking.processes import Place, is_gone, start_of, this_place


class Driver(FrozenModel):
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

    boot: str = ""
    namespace: str = ""
    """Where ``pid`` is counted, as in ``Place``; empty where an earlier version wrote it."""
    start: int | None = None
    """When the process began, in ticks since the boot."""

    @property
    def is_known_dead(self) -> bool:
        """Whether this was a process that would be seen here, and is no more."""
        here = self.host == this_host() and Place(self.boot, self.namespace).is_here
        return here and is_gone(self.pid, self.start)


def driver_from_tags(tags: Mapping[str, str]) -> Driver | None:
    """Return the driver that the tags of a sweep's report run name; None if there is none."""
    text = tags.get(schema.DRIVER)
    try:
        return Driver.model_validate_json(text) if text else None
    except ValidationError:
        return None  # of another version


def this_driver() -> Driver:
    """Return this process as one that begins to drive a sweep."""
    place, pid = this_place(), os.getpid()
    return Driver(
        owner=uuid.uuid4().hex,
        host=this_host(),
        pid=pid,
        began=int(time.time()),
        beat=0,
        boot=place.boot,
        namespace=place.namespace,
        start=start_of(pid),
    )


def this_host() -> str:
    """Return what drivers of this machine call it."""
    return socket.gethostname()
