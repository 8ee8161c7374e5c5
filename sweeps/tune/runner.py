"""Runs the packs of a plan under Ray Tune. The store is the truth: what Ray keeps is scratch."""

import dataclasses
import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps.cluster.connection import Capacity, ClusterError
from sweeps.cluster.preflight import Preflight
from sweeps.ending import Ending
from sweeps.planning import plan as planning
from sweeps.planning.packing import PackCost, cost_of
from sweeps.planning.plan import Pack, Plan, Round
from sweeps.spec.file import Search
from sweeps.spec.own_modules import OwnModules, own_modules
from sweeps.spec.sweep import Method, Sweep
from sweeps.tune.checkpoints import CheckpointFolder, Checkpoints, RemoteCheckpoints
from sweeps.tune.progress import Progress, say
from sweeps.tune.search import known_rewards
from tracking.errors import StoreError
from tracking.results import cells, means
from tracking.results import rows as reader
from tracking.store import cell_runs, outages, replicate_runs, report_run, runs
from tracking.store.lease import Lease
from tracking.store.location import StoreLocation
from tracking.store.sweep_store import SweepStore
from tracking.sweep_results import Results, read_results

MAX_FAILURES = 3
"""Times a pack is taken up again at once after its worker, its node or the store went away."""
PAUSES = (10, 60, 300)
"""Seconds before packs that were lost all the same are tried again; then they are left to the next command."""
CHECKPOINT_SECONDS = 30.0
MOST_MEASURED = 128
"""Replicates of the largest pack that is tried where packs are measured."""
_NO_LAST_RUNG = 1_000_000


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
        self.interrupted = False
        """Whether a signal ended the run."""
        self._modules = modules or own_modules(())
        self._ending = ending or Ending()
        self._checkpoint_seconds, self._retry_failed = checkpoint_seconds, retry_failed
        self._folder = CheckpointFolder(self._scratch / "checkpoints")
        self._checkpoints: Checkpoints = self._folder
        self._failures: dict[str, int | None] | None = None
        """What had failed before this command, by replicate key, and when; None until the first plan."""
        self._cell_run_ids: dict[str, str] = {}
        self._preflight: Preflight | None = None
        self._open_seeds: dict[str, set[int]] = {}
        """By cell key, of the cells that are at work."""

    def plan(self) -> Plan:
        """Return the plan as the store stands now, or of what had failed before, if that alone is to run."""
        plan = self._whole_plan()
        if not self._retry_failed:
            return plan
        states = runs.read_states(self.sweep_store)
        failed = {item.replicate_key: item.end_time for item in states if item.state == "failed"}
        if self._failures is None:
            self._failures = failed
        return plan.only(again=dict(failed.items() & self._failures.items()), begun=self._failures)

    def _whole_plan(self) -> Plan:
        return plan_from_store(self.sweep, self.data, self.sweep_store)

    def run(self, plan: Plan, capacity: Capacity | None, progress: Progress) -> Plan:
        """Run what is missing and return the plan as it stands afterwards.

        ``capacity`` may be None where there is nothing to run.
        """
        report_run_id = report_run.ensure_report_run(self.sweep_store)
        with Lease(self.sweep_store, report_run_id, self.sweep.name, say) as lease:
            plan = self.plan() if lease.waited else plan
            report_run.begin_report(self.sweep_store, report_run_id)
            try:
                return self._run_alone(plan, capacity, progress, report_run_id)
            finally:
                report_run.end_report(self.sweep_store, report_run_id)

    def _run_alone(self, plan: Plan, capacity: Capacity | None, progress: Progress, report_run_id: str) -> Plan:
        self._announce(plan, report_run_id)
        if capacity is not None:
            if advice := capacity.advice(self.sweep.resources.gpu):
                say(f"{self.sweep.name}: {advice}")
            self._check_reachable(capacity, report_run_id)
            with progress.sweep(plan):
                self._run_rounds(plan, capacity, progress)
        after = self.plan()
        report_run.write_manifest(self.sweep_store, report_run_id, planning.manifest(after))
        self._summarize_rest(after)
        whole = self._whole_plan() if self._retry_failed else after
        if not whole.num_to_run:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return after

    def _check_reachable(self, capacity: Capacity, report_run_id: str) -> None:
        if (capacity.nodes > 1 or capacity.grows) and self.location.database is not None:
            raise ClusterError(
                f"the store {self.location.shown} is a file of this machine, and the cluster has, or can have, others; "
                f"start an MLflow server that all of them reach and pass --tracking-uri http://HOST:PORT"
            )
        if capacity.joined:
            self._preflight = Preflight(self.location, report_run_id, say)
            self._preflight.check()

    def _run_rounds(self, plan: Plan, capacity: Capacity, progress: Progress) -> None:
        """Run all packs, then those again, smaller or after a pause, that were too large or were lost."""
        resources = self.sweep.resources
        if capacity.joined:
            self._checkpoints = RemoteCheckpoints(self._folder)
        slots = capacity.slots(resources.cpu, resources.gpu)
        cost = self._measure_packs(plan) if plan.measures_packs else None
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
                say(f"{len(ended.lost)} packs were lost; trying again in {pause} s")
            time.sleep(pause)
            plan = self.plan()

    def _run_round(self, plan: Plan, packs: Sequence[Pack], progress: Progress) -> Round:
        ended = [self._fit(group, None, progress) for group in self._groups(packs)]
        for method in self.sweep.methods:
            ended.append(self._fit([], (method, plan.open_samples.get(method.label, 0)), progress))
        return sum(ended[1:], start=ended[0])

    def _measure_packs(self, plan: Plan) -> PackCost | None:
        """Train a moment with the cell that has most to run."""
        from ray.exceptions import RayError

        from sweeps.tune import probe

        packs = [pack for pack in plan.packs(1, PackCost({1: 1.0}, MOST_MEASURED)) if pack.cell.baseline is None]
        if not packs:
            return None
        pack = max(packs, key=lambda pack: len(pack.seeds))
        try:
            samples, memory = probe.measure_on_cluster(self._shared(None), pack)
        except RayError as error:  # a bug of the task, or no room for one: its replicates say so when they run
            reason = str(error).strip().splitlines()[-1]
            say(f"{self.sweep.name}: packs could not be measured and hold one replicate each: {reason}")
            return PackCost({1: 1.0}, largest=1)
        cost = cost_of(samples, memory)
        say(f"{self.sweep.name}: packs hold up to {cost.largest}: {'; '.join(map(str, samples))}")
        return cost

    def _halve(self, pack: Pack, largest: dict[str, int]) -> None:
        """Have the pack's replicates tried in packs of half the size; record them as failed where that cannot be."""
        size = len(pack.seeds) // 2
        if size and self._scheduler_name == "none":
            say(f"{pack}: out of memory; trying packs of {size}")
            largest[pack.cell.key] = size
            return
        why = "a search with a scheduler needs all seeds in one pack" if size else "with a single replicate"
        for run in self._open_runs(pack):
            run.fail(f"out of memory; {why}")

    @property
    def _scratch(self) -> Path:
        return self.location.scratch / self.sweep.name

    def _announce(self, plan: Plan, report_run_id: str) -> None:
        """Write what the sweep compares, and make the cell runs that are known: trials only fill them."""
        report_run.write_manifest(self.sweep_store, report_run_id, planning.manifest(plan))
        self._open_seeds = {item.cell.key: set(item.seeds_in(None, "incomplete")) for item in plan.distinct}
        labels = [(item.cell, item.method.label) for item in plan.distinct]
        self._cell_run_ids |= cell_runs.ensure_cells(self.sweep_store, labels)

    def _groups(self, packs: Sequence[Pack]) -> list[list[Pack]]:
        """All packs at once; one method at a time where a scheduler compares configurations."""
        if self._scheduler_name == "none":
            return [list(packs)]
        labels = dict.fromkeys(pack.method for pack in packs)
        return [[pack for pack in packs if pack.method == label] for label in labels]

    @property
    def _scheduler_name(self) -> str:
        return self.sweep.search.scheduler if self.sweep.search is not None else "none"

    def _fit(self, packs: Sequence[Pack], adaptive: tuple[Method, int] | None, progress: Progress) -> Round:
        """Run one Tune experiment: the given packs, or a method's remaining configurations by Optuna."""
        from ray import tune

        from sweeps.tune.callbacks import DriverCallback, StoppedError
        from sweeps.tune.trial import PackTrial, Sealed

        num_trials = adaptive[1] if adaptive else len(packs)
        if self.interrupted or not num_trials:
            return Round()

        resources = self.sweep.resources
        shared = self._shared(adaptive[0].label if adaptive else None)
        look = self._preflight.look if self._preflight is not None else lambda: None
        callback = DriverCallback(progress, self._pack_ended, shared, look, self._ending)
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(PackTrial, sealed=Sealed.of(shared)), {"cpu": resources.cpu, "gpu": resources.gpu}
            ),
            param_space=None if adaptive else {"pack": tune.grid_search([_config(pack) for pack in packs])},
            tune_config=self._tune_config(adaptive),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=str(self._scratch),
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # packs keep their own
            ),
        )
        self._ending.deferred = True  # in Tune's loop the callback sees a signal
        try:
            tuner.fit()
        except StoppedError:
            pass
        finally:
            self._ending.deferred = False
        callback.check()
        self.interrupted = self._ending.number is not None or len(callback.round.ended) < num_trials
        return callback.round

    @cached_property
    def _arrays(self) -> Any:
        """The data in Ray's object store: rounds and searches are many, and each node fetches them once."""
        from sweeps.tune.trial import share_arrays

        return share_arrays(self.data)

    def _shared(self, adaptive_label: str | None) -> Any:
        from sweeps.tune.trial import Shared

        selection = self.sweep.selection
        return Shared(
            modules=self._modules,
            sweep=self.sweep,
            data=dataclasses.replace(self.data, shared=None),
            arrays=self._arrays,
            sweep_store=self.sweep_store,
            cell_run_ids=self._cell_run_ids,
            adaptive_label=adaptive_label,
            device="cuda" if self.sweep.resources.gpu else "cpu",
            threads=max(1, int(self.sweep.resources.cpu)),
            objective=selection.objective if selection else None,
            every_epoch=self._scheduler_name != "none",
            checkpoints=self._checkpoints,
            checkpoint_seconds=self._checkpoint_seconds,
        )

    def _tune_config(self, adaptive: tuple[Method, int] | None) -> Any:
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler

        selection, search = self.sweep.selection, self.sweep.search or Search()
        scheduler = None
        if self._scheduler_name == "asha":
            scheduler = ASHAScheduler(
                time_attr="epoch",
                max_t=_NO_LAST_RUNG,
                grace_period=search.grace_epochs,
                reduction_factor=search.reduction_factor,
            )
        return tune.TuneConfig(
            metric="objective",
            mode="max" if selection is not None and selection.higher_is_better else "min",
            scheduler=scheduler,
            search_alg=self._optuna(adaptive[0]) if adaptive else None,
            num_samples=adaptive[1] if adaptive else 1,
            reuse_actors=True,
        )

    def _optuna(self, method: Method) -> Any:
        """Optuna's sampler, told of the configurations that the store holds already."""
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search, selection, plan = self.sweep.search, self.sweep.selection, self.plan()
        assert search is not None
        assert selection is not None
        methods = cells.gather(planning.manifest(plan), reader.read(self.sweep_store))
        tried = next(found.tried for found in methods if found.label == method.label)
        points, rewards = known_rewards(
            tried,
            selection.objective,
            lambda cell: self.sweep.assignment_of(method, cell, self.data.digest, self.data.num_train),
        )
        return OptunaSearch(
            space={name: space.domain() for name, space in method.spaces.items()},
            metric="objective",
            mode="max" if selection.higher_is_better else "min",
            seed=search.seed + len(tried),  # a search that goes on must not draw the same again
            points_to_evaluate=points or None,
            evaluated_rewards=rewards or None,
        )

    def _pack_ended(self, pack: Pack, result: Mapping[str, Any]) -> str:
        """Record an early stop, or the cell's means once all its replicates are there.

        Returns why the store refuses that; nothing where it is done, or will be at the end.
        """
        try:
            self._record_end(pack, result)
        except (MlflowException, StoreError, OSError) as error:  # Tune would take it for a failure of the pack
            if not outages.can_pass(error):
                return f"{pack}: {outages.reason(error)}"
            say(f"{pack}: the store did not answer ({outages.reason(error)}); means are written at the end")
        return ""

    def _record_end(self, pack: Pack, result: Mapping[str, Any]) -> None:
        self._checkpoints.remove(pack.key)
        if result.get("done_training"):
            self._summarize_complete(pack.cell, pack.method, pack.seeds)
            return
        for run in self._open_runs(pack):
            run.stop(f"by the search, after epoch {result.get('epoch')}")

    def _open_runs(self, pack: Pack) -> list[replicate_runs.ReplicateRun]:
        run_id = cell_runs.ensure_cell(self.sweep_store, pack.cell, pack.method)
        return replicate_runs.start_replicates(self.sweep_store, run_id, pack.cell, pack.method, pack.seeds)

    def _summarize_complete(self, cell: Cell, label: str, ended: Sequence[int]) -> None:
        """Summarize the cell if its last pack has ended: before that, there is no need to look into the store."""
        still_open = self._open_seeds.setdefault(cell.key, set(self.sweep.seeds))
        still_open.difference_update(ended)
        if still_open:
            return
        rows = self._rows(reader.read(self.sweep_store, cell.key).rows)
        if len(rows) == len(self.sweep.seeds):
            means.summarize_cell(self.sweep_store, cell, label, rows)

    def _summarize_rest(self, plan: Plan) -> None:
        """Summarize cells that stay incomplete, and what an earlier command was stopped before."""
        labelled = [(item.cell, item.method.label) for item in plan.distinct]
        means.summarize_rest(self.sweep_store, labelled, self.sweep.seeds)

    def results(self) -> Results:
        """Return the results of the sweep as the store has them now."""
        return read_results(self.sweep_store)

    def _rows(self, rows: Sequence[reader.Row]) -> list[reader.Row]:
        return [row for row in rows if row.seed in self.sweep.seeds]


def plan_from_store(sweep: Sweep, data: Data, sweep_store: SweepStore) -> Plan:
    """Return the plan of a sweep as the store stands."""
    found = runs.read_states(sweep_store)
    states = {item.replicate_key: item.state for item in found if item.state != "incomplete"}
    stored = reader.read_cells(sweep_store)
    plan = planning.make(sweep, data, states, stored)
    finished = Counter(item.cell_key for item in found if item.state == "finished")
    remarks = planning.left_behind(plan, itertools.chain.from_iterable(stored.values()), finished)
    return dataclasses.replace(plan, remarks=remarks)


def _config(pack: Pack) -> str:
    """Return what a trial gets to know its pack by; ``trial.pack_of`` reads it.

    It is text, for Tune's grid search copies all packs for each of them.
    """
    return json.dumps({"cell": pack.cell.model_dump_json(), "method": pack.method, "seeds": list(pack.seeds)})
