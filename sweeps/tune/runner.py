"""Runs what a plan says is missing, in rounds. The store is the truth: what Ray keeps is scratch."""

import shutil
import time
from collections.abc import Collection, Sequence

from dn_distributed.data import Data
from dn_distributed.text import counted
from sweeps.cluster.connection import Capacity
from sweeps.cluster.preflight import Preflight
from sweeps.console import notify
from sweeps.ending import Ending
from sweeps.errors import ClusterError
from sweeps.planning.manifest import manifest_of
from sweeps.planning.packing import PackCost
from sweeps.planning.plan import Pack, Plan
from sweeps.planning.stored import plan_from_store
from sweeps.spec.own_modules import OwnModules, own_modules
from sweeps.spec.sweep import Method, Sweep
from sweeps.tune.experiment import Experiments
from sweeps.tune.progress import Progress
from sweeps.tune.recording import Recording
from sweeps.tune.round import Round
from tracking.results import cells
from tracking.results import rows as reader
from tracking.results.cells import CellResult
from tracking.store import report_run, runs
from tracking.store.lease import Lease
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore
from tracking.sweep_results import Results, read_results

PAUSES = (10, 60, 300)
"""Seconds before packs that were lost all the same are tried again; then they are left to the next command."""
CHECKPOINT_SECONDS = 30.0


class Runner:
    """One sweep, one store, one Ray."""

    def __init__(
        self,
        sweep: Sweep,
        data: Data,
        location: StoreLocation,
        *,
        modules: OwnModules | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        retry_failed: bool = False,
        ending: Ending | None = None,
    ) -> None:
        """Prepare the sweep's experiment in the store (made if absent). ``modules``: workers import them first."""
        self.sweep, self.data, self.location = sweep, data, location
        self.sweep_store = SweepStore.find_or_create(location, sweep.name)
        self._recording = Recording(sweep, self.sweep_store)
        self._experiments = Experiments(
            sweep,
            data,
            self.sweep_store,
            self._recording,
            modules=modules or own_modules(()),
            checkpoint_seconds=checkpoint_seconds,
            ending=ending or Ending(),
        )
        self._retry_failed = retry_failed
        self._failures: dict[str, int | None] | None = None
        """What had failed before this command, by replicate key, and when; None until the first plan."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run."""
        return self._experiments.interrupted

    def results(self) -> Results:
        """Return the results of the sweep as the store has them now."""
        return read_results(self.sweep_store)

    def plan(self) -> Plan:
        """Return the plan as the store stands now, or of what had failed before, if that alone is to run."""
        plan = self._whole_plan()
        if not self._retry_failed:
            return plan
        states = runs.read_states(self.sweep_store)
        failed = {item.replicate_key: item.end_time for item in states if item.state == "failed"}
        if self._failures is None:
            self._failures = failed
        return plan.restricted_to(restart=dict(failed.items() & self._failures.items()), resume=self._failures)

    def _whole_plan(self) -> Plan:
        return plan_from_store(self.sweep, self.data, self.sweep_store)

    def run(self, plan: Plan, capacity: Capacity | None, progress: Progress) -> Plan:
        """Run what is missing and return the plan as it stands afterwards.

        ``capacity`` may be None where there is nothing to run.
        """
        report_run_id = report_run.ensure_report_run(self.sweep_store)
        with Lease(self.sweep_store, report_run_id, self.sweep.name, notify) as lease:
            plan = self.plan() if lease.waited else plan
            report_run.begin_report(self.sweep_store, report_run_id)
            try:
                return self._run_alone(plan, capacity, progress, report_run_id)
            finally:
                report_run.end_report(self.sweep_store, report_run_id)

    def _run_alone(self, plan: Plan, capacity: Capacity | None, progress: Progress, report_run_id: str) -> Plan:
        self._recording.announce(plan, report_run_id)
        if capacity is not None:
            if advice := capacity.advice(self.sweep.resources.gpu):
                notify(f"{self.sweep.name}: {advice}")
            self._check_reachable(capacity, report_run_id)
            with progress.sweep(plan):
                self._run_rounds(plan, capacity, progress)
        after = self.plan()
        self._recording.finish(after, report_run_id)
        whole = self._whole_plan() if self._retry_failed else after
        if not whole.num_to_run:
            shutil.rmtree(self._experiments.scratch, ignore_errors=True)
        return after

    def _check_reachable(self, capacity: Capacity, report_run_id: str) -> None:
        if (capacity.nodes > 1 or capacity.grows) and self.location.database is not None:
            raise ClusterError(
                f"the store {self.location.shown} is a file of this machine, and the cluster has, or can have, others; "
                f"start an MLflow server that all of them reach and pass --tracking-uri http://HOST:PORT"
            )
        if capacity.joined:
            preflight = Preflight(self.location, report_run_id, notify)
            preflight.check()
            self._experiments.at_every_step = preflight.check_new_nodes

    def _run_rounds(self, plan: Plan, capacity: Capacity, progress: Progress) -> None:
        """Run all packs, then those again, smaller or after a pause, that were too large or were lost."""
        resources = self.sweep.resources
        if capacity.joined:
            self._experiments.use_nodes()
        slots = capacity.slots(resources.cpu, resources.gpu)
        cost = self._measured(plan) if plan.measures_packs else None
        largest: dict[str, int] = {}
        pauses = iter(PAUSES)
        while True:
            ended = self._run_round(plan, plan.packs(slots, cost, largest), progress)
            for pack in ended.too_large:
                self._halve(pack, largest)
            pause = next(pauses, None) if ended.lost else 0
            if self.interrupted or pause is None or not (ended.lost or ended.too_large):
                return
            if pause:
                notify(f"{counted(len(ended.lost), 'pack')} lost; trying again in {pause} s")
            time.sleep(pause)
            plan = self.plan()

    def _run_round(self, plan: Plan, packs: Sequence[Pack], progress: Progress) -> Round:
        kept = plan.kept
        ended = [
            self._experiments.run_packs(group, progress, judged=kept.isdisjoint(pack.cell.key for pack in group))
            for group in self._groups(packs, kept)
        ]
        for method in self.sweep.methods:
            samples = plan.open_samples.get(method.label, 0)
            if samples and not self.interrupted:
                ended.append(self._experiments.search(method, samples, self._tried(method), progress))
        return sum(ended, start=Round())

    def _tried(self, method: Method) -> Sequence[CellResult]:
        """The cells of a method that the store holds now."""
        found = cells.gather(manifest_of(self.plan()), reader.read(self.sweep_store))
        return next(result.tried for result in found if result.label == method.label)

    def _measured(self, plan: Plan) -> PackCost | None:
        from sweeps.tune import probe

        return probe.measure_packs(self._experiments.context(None), plan)

    def _halve(self, pack: Pack, largest: dict[str, int]) -> None:
        """Have the pack's replicates tried in packs of half the size; record them as failed where that cannot be."""
        size = len(pack.seeds) // 2
        if size and not self.sweep.has_scheduler:
            notify(f"{pack}: out of memory; trying packs of {size}")
            largest[pack.cell.key] = size
            return
        why = "a search with a scheduler needs all seeds in one pack" if size else "with a single replicate"
        self._recording.fail(pack, f"out of memory; {why}")

    def _groups(self, packs: Sequence[Pack], kept: Collection[str]) -> list[list[Pack]]:
        """All packs at once; where a scheduler compares them, one method at a time, those of cells ``kept`` apart."""
        if not self.sweep.has_scheduler:
            return [list(packs)]
        groups: dict[tuple[str, bool], list[Pack]] = {}
        for pack in packs:
            groups.setdefault((pack.method, pack.cell.key in kept), []).append(pack)
        return list(groups.values())
