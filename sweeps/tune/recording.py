"""What the driver writes to the store: what is compared, the ends of packs, and the means of cells."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.exceptions import MlflowException

from dn_distributed.config import Cell
from sweeps.console import notify
from sweeps.planning.manifest import manifest_of
from sweeps.planning.plan import Pack, Plan
from sweeps.spec.sweep import Sweep
from tracking.errors import StoreError
from tracking.manifest import Manifest
from tracking.results import means
from tracking.results import rows as reader
from tracking.store import cell_runs, outages, replicate_runs, report_run
from tracking.store.sweep_store import SweepStore


class Recording:
    """The driver's part of what is stored of a sweep; trials write their replicates themselves."""

    def __init__(self, sweep: Sweep, sweep_store: SweepStore) -> None:
        """Nothing is written before ``announce``."""
        self.cell_run_ids: dict[str, str] = {}
        """Of the cells that are known, by cell key."""
        self._sweep, self._sweep_store = sweep, sweep_store
        self._open_seeds: dict[str, set[int]] = {}
        """By cell key, of the cells that are at work."""
        self._manifest: Manifest | None = None
        """Until the store's view of the sweep knows the figures of a cell."""

    def announce(self, plan: Plan, report_run_id: str) -> None:
        """Write what the sweep compares, and make the cell runs that are known: trials only fill them."""
        self._manifest = manifest_of(plan)
        report_run.write_manifest(self._sweep_store, report_run_id, self._manifest)
        if taken_up := {key for item in plan.distinct for key in item.cell.replicate_keys(item.taken_up)}:
            replicate_runs.forget_stops(self._sweep_store, taken_up)
        self._open_seeds = {item.cell.key: set(item.seeds_in(None, "incomplete")) for item in plan.distinct}
        self.cell_run_ids |= cell_runs.ensure_cells(self._sweep_store, _labelled(plan))

    def finish(self, plan: Plan, report_run_id: str) -> None:
        """Write what the sweep compares now, cells that a search proposed too, and the means that are still missing."""
        manifest = manifest_of(plan)
        report_run.write_manifest(self._sweep_store, report_run_id, manifest)
        means.summarize_rest(self._sweep_store, _labelled(plan), self._sweep.seeds, manifest.score)
        report_run.write_view(self._sweep_store, manifest)

    def pack_ended(self, pack: Pack, result: Mapping[str, Any]) -> str:
        """Record an early stop, or the cell's means once all its replicates are there.

        Returns why the store refuses that; nothing where it is done, or will be at the end.
        """
        try:
            if result.get("done_training"):
                self._summarize_complete(pack.cell, pack.method, pack.seeds)
            else:
                for run in self._open_runs(pack):
                    run.stop(f"by the search, after epoch {result.get('epoch')}")
        except (MlflowException, StoreError, OSError) as error:  # Tune would take it for a failure of the pack
            if not outages.is_transient(error):
                return f"{pack}: {outages.reason(error)}"
            notify(f"{pack}: the store did not answer ({outages.reason(error)}); means are written at the end")
        return ""

    def fail(self, pack: Pack, reason: str) -> None:
        """Record that the pack's replicates have failed."""
        for run in self._open_runs(pack):
            run.fail(reason)

    def _open_runs(self, pack: Pack) -> list[replicate_runs.ReplicateRun]:
        run_id = cell_runs.ensure_cell(self._sweep_store, pack.cell, pack.method)
        return replicate_runs.start_replicates(self._sweep_store, run_id, pack.cell, pack.method, pack.seeds)

    def _summarize_complete(self, cell: Cell, label: str, ended: Sequence[int]) -> None:
        """Summarize the cell if its last pack has ended: before that, there is no need to look into the store."""
        still_open = self._open_seeds.setdefault(cell.key, set(self._sweep.seeds))
        still_open.difference_update(ended)
        if still_open:
            return
        found = reader.read(self._sweep_store, cell.key).rows
        rows = [row for row in found if row.seed in self._sweep.seeds]
        if len(rows) == len(self._sweep.seeds):
            means.summarize_cell(self._sweep_store, cell, label, rows, self._sweep.task.scores[0].name)
            if self._manifest is not None:
                report_run.write_view(self._sweep_store, self._manifest)
                self._manifest = None


def _labelled(plan: Plan) -> list[tuple[Cell, str]]:
    return [(item.cell, item.method.label) for item in plan.distinct]
