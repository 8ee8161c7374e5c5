"""Who runs a sweep. Two drivers would train everything twice; the store says that one is at work.

MLflow has no compare-and-set, so a lease is a tag that its holder renews: who finds it unchanged for long enough may
take it. Two that take it in the same moment both look again, and the later writer has it. Should two run all the same,
the work is doubled and the results are not: replicates are found by their key, and a key counts once.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from types import TracebackType

from mlflow.exceptions import MlflowException

from tracking import schema
from tracking.errors import StoreError
from tracking.store.access import check_answers
from tracking.store.driver import Driver, driver_from_tags, this_driver
from tracking.store.sweep_store import SweepStore

BEAT_SECONDS = 5.0
"""Between two renewals."""
EXPIRY_SECONDS = 30.0
"""A lease that has not changed for so long has no holder."""
SETTLE_SECONDS = 0.5
"""After taking a lease, before looking whether another driver took it in the same moment."""


class Lease:
    """Held while a ``with`` block runs. StoreError on entry where another driver is at work."""

    def __init__(self, sweep: SweepStore, run_id: str, name: str, say: Callable[[str], None]) -> None:
        """``run_id``: the sweep's report run, which carries the lease. ``name``: what messages call the sweep.

        ``say`` gets a line before a wait, when the store stops answering, and when it answers again.
        """
        self._store, self._location = sweep.client, sweep.location
        self._run_id, self._name, self._say = run_id, name, say
        self._store_is_away = False
        self._driver = this_driver()
        self.waited = False
        """Whether another driver was at work when this one came: the store may have changed."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Take the lease."""
        self._wait_for_previous_driver()
        try:
            self._write()
        except MlflowException:  # a tag cannot be made twice in the same moment
            self._check_ours()
            raise
        time.sleep(SETTLE_SECONDS)
        self._check_ours()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        try:
            if self._is_ours():
                self._store.delete_tag(self._run_id, schema.DRIVER)
        except MlflowException:
            pass  # it runs out by itself

    def _wait_for_previous_driver(self) -> None:
        found = self._read()
        if found is None:
            return
        if found.is_known_dead:
            self._say(f"the driver that ran {self._name} (process {found.pid}) is gone; going on where it was")
            return
        self._say(f"{found.host} (process {found.pid}) was running {self._name}; waiting to see whether it still does")
        self.waited = True
        until = time.monotonic() + EXPIRY_SECONDS
        while time.monotonic() < until:
            time.sleep(BEAT_SECONDS / 2)
            now = self._read()
            if now is None:
                return
            if now != found:
                raise self._taken_by(now)

    def _check_ours(self) -> None:
        found = self._read()
        if found is not None and found.owner != self._driver.owner:
            raise self._taken_by(found)

    def _taken_by(self, driver: Driver) -> StoreError:
        since = time.strftime("%H:%M", time.localtime(driver.began))
        return StoreError(
            f"{self._name} is being run by {driver.host} (process {driver.pid}) since {since}; "
            f"`dn status {self._name} --watch` shows how far it is"
        )

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            if not self._store_answers():
                continue
            try:
                if not self._is_ours():
                    self._say(f"another driver has taken over {self._name}; what both train is counted once")
                    return
                self._driver = self._driver.model_copy(update={"beat": self._driver.beat + 1, "last": int(time.time())})
                self._write()
            except MlflowException:
                continue  # the store is away: again at the next beat

    def _store_answers(self) -> bool:
        """Whether the store is there; MLflow's own calls would wait for it in silence, for minutes."""
        try:
            check_answers(self._location)
        except (StoreError, sqlite3.Error) as error:
            if not self._store_is_away:
                self._say(f"{error}; packs go on, and wait for it when they have to write")
            self._store_is_away = True
            return False
        if self._store_is_away:
            self._say("the store answers again")
        self._store_is_away = False
        return True

    def _is_ours(self) -> bool:
        found = self._read()
        return found is not None and found.owner == self._driver.owner

    def _read(self) -> Driver | None:
        return driver_from_tags(self._store.get_run(self._run_id).data.tags)

    def _write(self) -> None:
        self._store.set_tag(self._run_id, schema.DRIVER, self._driver.model_dump_json())
