"""Runs the packs of a plan under Ray Tune. The store is the truth: what Ray keeps is scratch."""

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dn_distributed.config import Cell
from dn_distributed.data import Data
from sweeps import plan as planning
from sweeps.cluster import Capacity, ClusterError
from sweeps.plan import Pack, Plan
from sweeps.progress import Progress
from sweeps.spec import Method, Search, Sweep
from tracking import cells, reader, schema, writer
from tracking.store import StoreLocation

MAX_FAILURES = 3
"""Times a pack is taken up again after its worker, its node or the store went away."""
CHECKPOINT_SECONDS = 30.0
_NO_LAST_RUNG = 1_000_000


class Runner:
    """One sweep, one store, one Ray."""

    def __init__(
        self,
        sweep: Sweep,
        data: Data,
        location: StoreLocation,
        *,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        retry_failed: bool = False,
    ) -> None:
        """Prepare the sweep's experiment in the store (made if absent)."""
        self.sweep, self.data, self.location = sweep, data, location
        self.store: MlflowClient = writer.client(location)
        self.experiment_id = writer.ensure_experiment(self.store, location, sweep.name)
        self.interrupted = False
        """Whether Ctrl-C ended the run."""
        self._checkpoint_seconds, self._retry_failed = checkpoint_seconds, retry_failed
        self._cell_run_ids: dict[str, str] = {}
        self._open_seeds: dict[str, set[int]] = {}
        """By cell key, of the cells that are at work."""

    def plan(self) -> Plan:
        """Return the plan as the store stands now."""
        plan = plan_from_store(self.sweep, self.data, self.store, self.experiment_id)
        return plan.without("failed") if self._retry_failed else plan

    def run(self, plan: Plan, capacity: Capacity | None, progress: Progress) -> Plan:
        """Run what is missing and return the plan as it stands afterwards.

        ``capacity`` may be None where there is nothing to run.
        """
        self._retry_failed = False
        self._announce(plan)
        if capacity is not None:
            self._check_reachable(capacity)
            resources = self.sweep.resources
            packs = plan.packs(capacity.slots(resources.cpu, resources.gpu))
            with progress.sweep(plan, packs):
                self._run_packs(plan, packs, progress)
        after = self.plan()
        writer.ensure_report_run(self.store, self.experiment_id, planning.manifest(after))
        self._summarize_rest(after)
        if not after.num_to_run:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return after

    def _check_reachable(self, capacity: Capacity) -> None:
        if capacity.nodes > 1 and self.location.database is not None:
            raise ClusterError(
                f"the store {self.location.uri} is a file of this machine, and the cluster has {capacity.nodes} nodes; "
                f"start an MLflow server that all of them reach and pass --tracking-uri http://HOST:PORT"
            )

    def _run_packs(self, plan: Plan, packs: Sequence[Pack], progress: Progress) -> None:
        for group in self._groups(packs):
            self._fit([self._pack_config(pack) for pack in group], None, progress)
        for method in self.sweep.methods:
            self._fit([], (method, plan.open_samples.get(method.label, 0)), progress)

    @property
    def _scratch(self) -> Path:
        return self.location.scratch / self.sweep.name

    def _announce(self, plan: Plan) -> None:
        """Write what the sweep compares, and make the cell runs that are known: trials only fill them."""
        writer.ensure_report_run(self.store, self.experiment_id, planning.manifest(plan))
        self._open_seeds = {item.cell.key: set(item.seeds_in(None, "incomplete")) for item in plan.distinct}
        labels = [(item.cell, item.method.label) for item in plan.distinct]
        self._cell_run_ids |= writer.ensure_cells(self.store, self.experiment_id, labels)

    def _groups(self, packs: Sequence[Pack]) -> list[list[Pack]]:
        """All packs at once; one method at a time where a scheduler compares configurations."""
        if self._scheduler_name == "none":
            return [list(packs)]
        labels = dict.fromkeys(pack.method for pack in packs)
        return [[pack for pack in packs if pack.method == label] for label in labels]

    @property
    def _scheduler_name(self) -> str:
        return self.sweep.search.scheduler if self.sweep.search is not None else "none"

    def _pack_config(self, pack: Pack) -> str:
        """Return a pack as a trial gets it: as text, for Tune's grid search copies all packs for each of them."""
        # Of any pack of the cell: packs may be cut otherwise than when an earlier command was stopped.
        checkpoints = self._scratch.glob(f"*/{pack.key.partition('-')[0]}-*/checkpoint_*/*.safetensors")
        newest_first = sorted(checkpoints, key=lambda path: path.stat().st_mtime, reverse=True)
        config = {
            "cell": pack.cell.model_dump_json(),
            "method": pack.method,
            "seeds": list(pack.seeds),
            "key": pack.key,
            "resume_from": [str(path) for path in newest_first],
        }
        return json.dumps(config)

    def _fit(self, configs: list[str], adaptive: tuple[Method, int] | None, progress: Progress) -> None:
        """Run one Tune experiment: the given packs, or a method's remaining configurations by Optuna."""
        num_trials = adaptive[1] if adaptive else len(configs)
        if self.interrupted or not num_trials:
            return
        from ray import tune

        from sweeps.callbacks import DriverCallback
        from sweeps.trial import PackTrial

        resources = self.sweep.resources
        shared = self._shared(adaptive[0].label if adaptive else None)
        callback = DriverCallback(progress, self._trial_ended, shared)
        tune.Tuner(
            tune.with_resources(
                tune.with_parameters(PackTrial, shared=shared), {"cpu": resources.cpu, "gpu": resources.gpu}
            ),
            param_space=None if adaptive else {"pack": tune.grid_search(configs)},
            tune_config=self._tune_config(adaptive),
            run_config=tune.RunConfig(
                name=time.strftime("%Y%m%d-%H%M%S"),
                storage_path=str(self._scratch),
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
            ),
        ).fit()
        self.interrupted = len(callback.ended) < num_trials

    def _shared(self, adaptive_label: str | None) -> Any:
        from sweeps.trial import Shared, share_arrays

        selection = self.sweep.selection
        return Shared(
            sweep=self.sweep,
            data=dataclasses.replace(self.data, shared=None),
            arrays=share_arrays(self.data),
            location=self.location,
            experiment_id=self.experiment_id,
            cell_run_ids=self._cell_run_ids,
            adaptive_label=adaptive_label,
            device="cuda" if self.sweep.resources.gpu else "cpu",
            threads=max(1, int(self.sweep.resources.cpu)),
            objective=selection.objective if selection else None,
            every_epoch=self._scheduler_name != "none",
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
            trial_dirname_creator=_trial_folder,
        )

    def _optuna(self, method: Method) -> Any:
        """Optuna's sampler, told of the configurations that the store holds already."""
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search, selection, plan = self.sweep.search, self.sweep.selection, self.plan()
        assert search is not None
        assert selection is not None
        methods = cells.gather(planning.manifest(plan), reader.read(self.store, self.experiment_id))
        tried = next(found.tried for found in methods if found.label == method.label)
        points, rewards = [], []
        for result in tried:
            objective = result.stat(lambda row: row.metrics.get(selection.objective))
            values = self.sweep.assignment_of(method, result.cell, self.data.digest, self.data.num_train)
            if objective is not None and values is not None:
                points.append(values)
                rewards.append(objective.mean)
        return OptunaSearch(
            space={name: space.domain() for name, space in method.spaces.items()},
            metric="objective",
            mode="max" if selection.higher_is_better else "min",
            seed=search.seed + len(tried),  # a search that goes on must not draw the same again
            points_to_evaluate=points or None,
            evaluated_rewards=rewards or None,
        )

    def _trial_ended(self, cell: Cell, label: str, seeds: Sequence[int], result: Mapping[str, Any]) -> None:
        """Record an early stop, or the cell's means once all its replicates are there."""
        try:
            self._record_end(cell, label, seeds, result)
        except (MlflowException, OSError) as error:  # Tune would take it for a failure of the pack
            print(f"dn: {label}: the store did not answer ({error}); means are written at the end", file=sys.stderr)

    def _record_end(self, cell: Cell, label: str, seeds: Sequence[int], result: Mapping[str, Any]) -> None:
        if result.get("done_training"):
            self._summarize_complete(cell, label, seeds)
            return
        run_id = writer.ensure_cell(self.store, self.experiment_id, cell, label)
        for run in writer.start_replicates(self.store, self.experiment_id, run_id, cell, label, seeds):
            run.stop(f"by the search, after epoch {result.get('epoch')}")

    def _summarize_complete(self, cell: Cell, label: str, ended: Sequence[int]) -> None:
        """Summarize the cell if its last pack has ended: before that, there is no need to look into the store."""
        still_open = self._open_seeds.setdefault(cell.key, set(self.sweep.seeds))
        still_open.difference_update(ended)
        if still_open:
            return
        rows = self._rows(reader.read(self.store, self.experiment_id, cell.key).rows)
        if len(rows) == len(self.sweep.seeds):
            writer.summarize_cell(self.store, self.experiment_id, cell, label, rows)

    def _summarize_rest(self, plan: Plan) -> None:
        """Summarize cells that stay incomplete, and what an earlier command was stopped before."""
        rows: dict[str, list[reader.Row]] = {}
        for row in self._rows(reader.read(self.store, self.experiment_id).rows):
            rows.setdefault(row.cell_key, []).append(row)
        done = reader.read_summarized(self.store, self.experiment_id)
        for item in plan.distinct:
            found = rows.get(item.cell.key, [])
            if done.get(item.cell.key, "") != schema.seed_list(row.seed for row in found):
                writer.summarize_cell(self.store, self.experiment_id, item.cell, item.method.label, found)

    def _rows(self, rows: Sequence[reader.Row]) -> list[reader.Row]:
        return [row for row in rows if row.seed in self.sweep.seeds]


def plan_from_store(sweep: Sweep, data: Data, store: MlflowClient, experiment_id: str) -> Plan:
    """Return the plan of a sweep as the store stands."""
    found = reader.read_states(store, experiment_id)
    states = {item.replicate_key: item.state for item in found if item.state != "incomplete"}
    return planning.make(sweep, data, states, reader.read_cells(store, experiment_id))


def _trial_folder(trial: Any) -> str:
    """Name a trial's folder by its pack, so that the next command finds its checkpoint."""
    pack = trial.config.get("pack")
    return str(json.loads(pack)["key"]) if pack else str(trial.trial_id)
