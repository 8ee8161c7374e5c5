"""The report run of a sweep: the manifest, the driver's lease, and the finished report."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from mlflow.exceptions import MlflowException

from tracking import schema
from tracking.manifest import Manifest
from tracking.store import artifacts, notes, ui_view
from tracking.store.run_writer import NewRun, now
from tracking.store.sweep_store import SweepStore


def ensure_report_run(sweep: SweepStore) -> str:
    """Return the id of the experiment's report run, made if absent."""
    found = sweep.records("report")
    if found:
        return found[0].run_id
    ((made, _),) = sweep.writer.create(sweep.experiment_id, [NewRun(schema.REPORT_NAME, {schema.KIND: "report"})])
    first = sweep.records("report")[0].run_id
    if first != made:  # another driver was quicker
        sweep.client.delete_run(made)
    return first


def write_manifest(sweep: SweepStore, report_run_id: str, manifest: Manifest) -> None:
    """Write what the sweep compares to its report run, and how the UI shows it to the experiment."""
    artifacts.add_text(sweep.client, report_run_id, manifest.model_dump_json(indent=1), schema.MANIFEST_FILE)
    if manifest.source:
        artifacts.add_text(sweep.client, report_run_id, manifest.source, schema.SWEEP_FILE)
    if ui_view.TAG not in sweep.client.get_experiment(sweep.experiment_id).tags:
        _set_view(sweep, manifest, ())
    notes.write_link(sweep, manifest.name)


def write_view(sweep: SweepStore, manifest: Manifest) -> None:
    """Write how the UI shows the sweep, with the figures that its cells have by now."""
    _set_view(sweep, manifest, {name for record in sweep.records("cell", metrics=True) for name in record.metrics})


def _set_view(sweep: SweepStore, manifest: Manifest, measured: Collection[str]) -> None:
    sweep.client.set_experiment_tag(sweep.experiment_id, ui_view.TAG, ui_view.tag(manifest, now(), measured))


def attach_report(sweep: SweepStore, run_id: str, folder: Path) -> None:
    """Attach the files of a finished report to its run."""
    artifacts.add_folder(sweep.client, run_id, folder, "report")
    sweep.client.set_terminated(run_id, "FINISHED")


def begin_report(sweep: SweepStore, run_id: str) -> None:
    """Show the report run as running: a driver is at work."""
    sweep.client.update_run(run_id, status="RUNNING")


def end_report(sweep: SweepStore, run_id: str) -> None:
    """Show the report run as ended: no driver is at work any more. A store that is away is let be."""
    with contextlib.suppress(MlflowException):
        sweep.client.set_terminated(run_id, "FINISHED")
