"""Where a sweep's replicates were trained, and whether their stored files are what was written."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tracking import schema
from tracking.report.wording import distinct
from tracking.results.cells import MethodResult
from tracking.results.rows_file import Provenance
from tracking.store import artifacts, checksums
from tracking.store.location import StoreLocation
from tracking.store.queries import StoredRun
from tracking.store.sweep_store import SweepStore
from tracking.tables.number_text import MISSING

_SOFTWARE = ("torch", "ray", "mlflow", "python")
_COMMIT = "version.commit"
_TAGS = ("host", "device", _COMMIT, *(f"version.{name}" for name in _SOFTWARE))


def read(sweep: SweepStore, methods: Sequence[MethodResult]) -> Provenance:
    """Return with what software, on what machines and when the replicates that count were trained, by name."""
    made_by = sweep.records("replicate", tags=_TAGS)
    counted = {row.run_id for method in methods for result in method.tried for row in result.rows}
    ran = [run for run in made_by if run.run_id in counted]
    tags = [run.tags for run in ran]
    commits = [found.get(_COMMIT, "") for found in tags]
    return {
        "Software": distinct(_software(run) for run in ran),
        **({"Commit": distinct(commits)} if any(commits) else {}),
        "Machine": distinct(f"{found.get('host', '?')}, {found.get('device', '?')}" for found in tags),
        "Date": _period(ran),
    }


def _software(run: StoredRun) -> str:
    return ", ".join(f"{name} {run.tags.get(f'version.{name}', '?')}" for name in _SOFTWARE)


def _period(ran: Sequence[StoredRun]) -> str:
    """From the first start to the last end of the replicates."""
    if not ran:
        return MISSING
    ends = (min(run.start_time for run in ran), max(run.end_time or run.start_time for run in ran))
    first, last = (f"{datetime.fromtimestamp(end / 1000, UTC):%Y-%m-%d %H:%M}" for end in ends)
    return f"{first} to {last.removeprefix(first[:11])} UTC"


def damaged_files(location: StoreLocation, methods: Sequence[MethodResult]) -> list[str]:
    """Return what is wrong with the stored files of replicates that count, a sentence each.

    Files on a server are not fetched for it: of them nothing is said.
    """
    if location.database is None:
        return []
    rows = {row.run_id: (method.label, row) for method in methods for result in method.tried for row in result.rows}
    folders = artifacts.paths_of(location, list(rows), "")
    found = []
    for (label, row), folder in zip(rows.values(), folders, strict=True):
        try:
            names = checksums.read(row.sha256)
        except ValueError as error:
            found.append(checksums.damage_note(label, row.seed, ValueError(f"its checksums cannot be read ({error})")))
            continue
        for name in names or (schema.WEIGHTS_FILE, schema.MASKS_FILE):
            try:
                checksums.check(folder, name, row.sha256)
            except (ValueError, OSError) as error:
                found.append(checksums.damage_note(label, row.seed, error))
    return found
