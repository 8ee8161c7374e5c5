"""Runs sweeps on one store and one Ray: what ``dn sweep`` and ``sweeps.run`` are made of."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dn_distributed.data import Data
from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from sweeps.console import Output, notify
from sweeps.disk import explain_full_disk
from sweeps.ending import Ending
from sweeps.errors import ClusterError
from sweeps.planning.data import fit_to_data
from sweeps.planning.plan import Plan
from sweeps.spec.load import load
from sweeps.spec.own_modules import OwnModules, own_modules
from sweeps.spec.sweep import Sweep
from sweeps.tune.progress import Progress
from sweeps.tune.runner import CHECKPOINT_SECONDS, Runner
from tracking.store import embedded
from tracking.store.location import StoreLocation
from tracking.sweep_results import Results, locate_store


@dataclass(frozen=True)
class Settings:
    """How sweeps are run; results do not depend on it."""

    modules: OwnModules
    """Workers import them first."""
    address: str | None = None
    """Of a Ray cluster to join; left out, Ray is started here."""
    num_cpus: int | None = None
    """Of a Ray that is started here."""
    slots: int | None = None
    """Packs that the cluster runs at once, where it grows on demand."""
    retry_failed: bool = False
    """Run what is recorded as failed again, and nothing else."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    """Least time between two checkpoints of a pack."""


class Session:
    """One store, and one Ray, which is there from the first sweep on that has something to run."""

    def __init__(
        self, location: StoreLocation, settings: Settings, ending: Ending, stack: contextlib.ExitStack
    ) -> None:
        """``stack`` is closed at the end: Ray goes with it."""
        self._location, self._settings, self._ending, self._stack = location, settings, ending, stack
        self._capacity: Capacity | None = None

    def runner(self, sweep: Sweep, data: Data) -> Runner:
        """Return what plans and runs a sweep here."""
        return Runner(
            sweep,
            data,
            self._location,
            modules=self._settings.modules,
            checkpoint_seconds=self._settings.checkpoint_seconds,
            retry_failed=self._settings.retry_failed,
            ending=self._ending,
        )

    def run(self, runner: Runner, plan: Plan, progress: Progress) -> Plan:
        """Run what is missing of a sweep, and return the plan as it stands afterwards."""
        if plan.num_to_run and self._capacity is None:
            settings = self._settings
            ray = connection.connect(
                settings.address,
                settings.num_cpus,
                settings.slots,
                self._ending,
                preload="sweeps.tune.warming" if self._uses_most_cpus(plan) else "",
            )
            self._capacity = self._stack.enter_context(ray)
        return runner.run(plan, self._capacity, progress)

    def _uses_most_cpus(self, plan: Plan) -> bool:
        """Whether half of the CPUs or more get a pack: the workers of others import in vain what a pack needs.

        Each takes memory for torch. False with GPUs: what a worker may use of them is set after its start.
        """
        resources = plan.sweep.resources
        if resources.gpu or resources.cpu > 1:
            return False
        num_cpus = self._settings.num_cpus or os.cpu_count() or 1
        return 2 * (len(plan.packs(num_cpus)) + sum(plan.open_samples.values())) >= num_cpus


@contextlib.contextmanager
def session(location: StoreLocation, settings: Settings, ending: Ending) -> Iterator[Session]:
    """Prepare the store, which is made if it is not there; Ray goes at the end, if it was needed."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain_full_disk(location.scratch.parent, Path(tempfile.gettempdir())))
        embedded.prepare(location)
        yield Session(location, settings, ending, stack)


def silence_tune() -> None:
    """Have Tune log nothing: this project itself reports failures and an end by Ctrl-C."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def shortfall(plan: Plan) -> list[str]:
    """Return what a sweep that has been run lacks, one line each."""
    failed, left, name = plan.count("failed"), plan.num_to_run, plan.sweep.name
    lines = [f"{name}: {failed} replicates failed; the reasons are under the table"] * bool(failed)
    lines += [f"{name}: {left} replicates were lost with their workers; run the same command again"] * bool(left)
    return lines


def describe_stored(plan: Plan) -> str:
    """Return how much of a sweep is in the store."""
    return f"{plan.count('finished')} of {plan.total} replicates of {plan.sweep.name} are in the store"


def run(
    sweep: str | Path | Mapping[str, Any],
    *,
    store: StoreLocation | str | Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    data_dir: str | Path | None = None,
    imports: str | Sequence[str] = (),
    address: str | None = None,
    num_cpus: int | None = None,
    slots: int | None = None,
    retry_failed: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: bool = True,
) -> Results:
    """Run what is missing of a sweep, and return the results of all of it: ``dn sweep`` from Python.

    ``sweep``: path of a sweep file, or its content as a dictionary. ``overrides``: as of ``--set``, ``"key=value"`` or
    ``{key: value}`` with dotted keys. ``store``: an address (``http://HOST:PORT``), or a folder that is made if it is
    not there; left out, DN_TRACKING_URI, else ``./dn-store``. ``imports``: modules that register what is your own.
    The others are as the options of ``dn sweep``; ``progress`` shows how far it is.

    What has failed or was lost is missing in the results, and a line on standard error says so. Mistakes are
    exceptions with the messages of ``dn``: SpecError, DataError, StoreError, ClusterError. KeyboardInterrupt, once,
    comes when what runs has saved its state; run the same again to go on.
    """
    with Ending(exits=False) as ending:
        try:
            settings = Settings(
                modules=own_modules(imports).load(),
                address=address,
                num_cpus=num_cpus,
                slots=slots,
                retry_failed=retry_failed,
                checkpoint_seconds=checkpoint_seconds,
            )
            loaded, data = fit_to_data(load(sweep, overrides), Path(data_dir) if data_dir is not None else None)
            location = store if isinstance(store, StoreLocation) else locate_store(store)
            silence_tune()
            with session(location, settings, ending) as here:
                runner = here.runner(loaded, data)
                plan = runner.plan()
                for remark in plan.remarks:
                    notify(f"{loaded.name}: {remark}")
                after = here.run(runner, plan, Progress(Output(quiet=not progress)))
                if runner.interrupted:
                    raise KeyboardInterrupt(f"{describe_stored(after)}; run it again to go on")
                for line in shortfall(after):
                    notify(line)
                return runner.results()
        except KeyboardInterrupt as error:
            if ending.lost:
                raise ClusterError(ending.lost) from error
            raise
