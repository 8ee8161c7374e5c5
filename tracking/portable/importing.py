"""From one file into a store: what it holds already stays as it is, and what is missing is added."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tracking import schema
from tracking.errors import StoreError
from tracking.manifest import Manifest, ManifestMethod
from tracking.portable import archive as portable
from tracking.portable.archive import Archive, Track, no_progress
from tracking.results import means
from tracking.store import access, cell_runs, embedded, report_run, restored_runs, runs
from tracking.store.lease import Lease
from tracking.store.location import StoreLocation
from tracking.store.queries import StoredRun
from tracking.store.record import CellRecord
from tracking.store.runs import State
from tracking.store.sweep_store import SweepStore


@dataclass(frozen=True)
class _CellRun:
    """The run of a cell in the store."""

    run_id: str
    label: str


@dataclass
class Imported:
    """What became of the replicates of a file."""

    name: str
    """Of the sweep."""
    written: Counter[State] = field(default_factory=Counter)
    present: int = 0
    """Replicates that the store had already."""


def import_file(
    location: StoreLocation, path: Path, track: Track = no_progress, say: Callable[[str], None] = lambda text: None
) -> Imported:
    """Add the sweep that ``dn export`` wrote to ``path`` to the store. Interrupted, it goes on when called again.

    ``say`` is as of ``Lease``: nobody trains the sweep meanwhile.

    StoreError, and a store that is untouched, where the file is not whole and consistent, or the store has another
    sweep of that name.
    """
    with portable.opened(path, track) as archive:
        manifest = archive.manifest
        stored = _stored_manifest(location, manifest.name)
        if stored is not None:
            manifest = united(stored, manifest)
        embedded.prepare(location)
        sweep = SweepStore.find_or_create(location, manifest.name)
        report_run_id = report_run.ensure_report_run(sweep)
        with Lease(sweep, report_run_id, manifest.name, say):
            if manifest != stored:
                report_run.write_manifest(sweep, report_run_id, manifest)
            runs_of_cells = _ensure_cells(sweep, archive.cells)
            done = _add_replicates(sweep, archive, runs_of_cells, track)
            labelled = [(item.cell, runs_of_cells[key].label) for key, item in archive.cells.items()]
            means.summarize_rest(sweep, labelled, manifest.seeds, manifest.score)
            report_run.write_view(sweep, manifest)
    return done


def _stored_manifest(location: StoreLocation, name: str) -> Manifest | None:
    """The manifest that the store has under this name."""
    if not access.exists(location):
        return None
    sweep = SweepStore.find_or_none(location, name)
    found = runs.find_manifest(sweep) if sweep is not None else None
    return found[1] if found is not None else None


def united(stored: Manifest, added: Manifest) -> Manifest:
    """Return the manifest after ``added`` has come to ``stored``: of the two, the one that covers the other.

    Of equal methods the seeds are united. StoreError where they are two sweeps of one name.
    """
    for one, other in ((stored, added), (added, stored)):
        if _comparison(one) == _comparison(other) and _covers(one, other):
            return one
    if _comparison(stored) == _comparison(added) and stored.methods == added.methods:
        return stored.model_copy(update={"seeds": tuple(sorted({*stored.seeds, *added.seeds}))})
    raise StoreError(
        f"the store has another sweep of the name {stored.name!r}: its methods or settings differ from the file's; "
        "import into another folder, or another store"
    )


def _comparison(manifest: Manifest) -> Manifest:
    """What two parts of one sweep have in common."""
    return manifest.model_copy(update={"methods": (), "seeds": (), "deviations": (), "source": ""})


def _covers(one: Manifest, other: Manifest) -> bool:
    methods = {method.label: method for method in one.methods}
    return set(one.seeds) >= set(other.seeds) and all(
        method.label in methods and _covers_method(methods[method.label], method) for method in other.methods
    )


def _covers_method(one: ManifestMethod, other: ManifestMethod) -> bool:
    asked = {"cells": (), "to_propose": 0}
    same = one.model_copy(update=asked) == other.model_copy(update=asked)
    return same and {cell.key for cell in one.cells} >= {cell.key for cell in other.cells}


def _ensure_cells(sweep: SweepStore, cells: Mapping[str, CellRecord]) -> dict[str, _CellRun]:
    """The cell runs by key, made where they are absent. What the store calls its own stays."""
    stored = runs.one_per_cell(cell_runs.cell_records(sweep))
    labels = {key: stored[key].tags[schema.LABEL] if key in stored else item.label for key, item in cells.items()}
    labelled = [(item.cell, labels[key]) for key, item in cells.items()]
    found = cell_runs.ensure_cells(sweep, labelled)
    return {key: _CellRun(run_id, labels[key]) for key, run_id in found.items()}


def _add_replicates(
    sweep: SweepStore, archive: Archive, runs_of_cells: Mapping[str, _CellRun], track: Track
) -> Imported:
    stored: dict[str, list[StoredRun]] = {}
    for run in sweep.records("replicate", tags=(schema.REPLICATE_KEY, *schema.MARKS)):
        stored.setdefault(run.tags[schema.REPLICATE_KEY], []).append(run)
    done = Imported(archive.manifest.name)
    for key in track(archive.keys, "importing"):
        present = stored.get(key, [])
        if not _adds(archive.states[key], present):
            done.present += 1
            continue
        with TemporaryDirectory(prefix="dn-") as folder:
            record = archive.unpack(key, Path(folder))
            cell = archive.cells[record.cell_key].cell
            place = runs_of_cells[record.cell_key].run_id
            replaced = [run.run_id for run in present]
            restored_runs.restore_replicate(sweep, place, cell, record, Path(folder), replaced)
        done.written[record.state] += 1
    return done


def _adds(state: State, present: Sequence[StoredRun]) -> bool:
    """Whether a replicate of the file says more than the store's runs of it: a result outweighs an early end."""
    stored = {runs.state_of(run) for run in present}
    return "finished" not in stored and (state == "finished" or stored <= {"incomplete"})
