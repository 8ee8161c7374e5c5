"""From the store to one file: a sweep leaves a machine without a server."""

import contextlib
import hashlib
import io
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dn_distributed.config import RESULT_VERSION, Cell
from dn_distributed.files import check_replaceable
from dn_distributed.text import one_line
from tracking import schema
from tracking.errors import StoreError
from tracking.manifest import Manifest
from tracking.portable import archive as portable
from tracking.portable import checks
from tracking.portable.archive import CHUNK, Track, no_progress
from tracking.reasons import as_store_error
from tracking.results import rows
from tracking.store import artifacts, checksums, runs
from tracking.store.cell_params import describe_cell
from tracking.store.location import StoreLocation
from tracking.store.queries import StoredRun
from tracking.store.record import MADE_BY, CellRecord, Contents, DataRecord, Record, has_curve
from tracking.store.runs import State
from tracking.store.sweep_store import SweepStore

_MADE_BY = re.compile(MADE_BY)
_ADDRESS = re.compile(r"\b[a-zA-Z][\w+.-]*://\S+")
_FOLDERS = re.compile(r"(?<=['\"])/[^'\"]*/|(?<![\w.])/(?:[^\s/'\":]+/)+")


@dataclass(frozen=True)
class Exported:
    """What a file holds, and what of the store it does not."""

    states: Counter[State]
    undecided: int
    """Replicates without a result, which are left out."""
    unknown: int
    """Replicates whose cell the store does not know, which are left out: of an earlier version of the results, say."""
    compacted: int
    """Replicates with a smaller network, whose files are left out: ``dn compact`` makes them again of the weights."""


def export(
    location: StoreLocation, name: str, target: Path, track: Track = no_progress, *, force: bool = False
) -> Exported:
    """Write the sweep ``name`` to the file ``target``.

    StoreError where the store does not hold it, a file of it is damaged, or the target is there already and ``force``
    is not given.
    """
    sweep = SweepStore.find(location, name)
    _, manifest = runs.read_manifest(sweep)
    labelled = rows.read_cells(sweep)
    with as_store_error(target):
        cells = {cell.key: CellRecord(label=label, cell=cell) for label, found in labelled.items() for cell in found}
        for method in manifest.methods:
            for cell in method.cells:  # its run may have been deleted
                cells.setdefault(cell.key, CellRecord(label=method.label, cell=cell))
    stored = sweep.records("replicate", tags=None, params=None, metrics=True)
    counted = runs.one_per_replicate(stored).values()
    known = [record for record in counted if record.tags[schema.CELL_KEY] in cells]
    chosen = sorted((record for record in known if runs.state_of(record) != "incomplete"), key=_order)
    with _written(target, track, force=force) as archive:
        archive.add_sweep(manifest, list(cells.values()))
        for run in track(chosen, "exporting"):
            cell = cells[run.tags[schema.CELL_KEY]].cell
            record = _record(location, run, cell, target)
            with (
                artifacts.all_of(location, run.run_id) if record.finished else contextlib.nullcontext(Path()) as folder
            ):
                archive.add_replicate(record, cell, folder, run.tags.get(schema.SHA256, ""))
    compacted = sum(schema.compact_cost("after", "num_weights") in run.metrics for run in chosen)
    states = Counter(map(runs.state_of, chosen))
    return Exported(states, len(known) - len(chosen), len(counted) - len(known), compacted)


def _order(record: StoredRun) -> tuple[str, int]:
    return record.tags[schema.CELL_KEY], int(record.params[schema.SEED])


def _record(location: StoreLocation, run: StoredRun, cell: Cell, target: Path) -> Record:
    """What leaves the store of a replicate. ``target``: what errors call the file."""
    tags, params, metrics = run.tags, run.params, run.metrics
    state = runs.state_of(run)
    assert state != "incomplete"
    (curves,) = rows.read_histories(location, [run.run_id], has_curve)
    shown = {*describe_cell(cell), schema.SEED, schema.LAYERS}
    with as_store_error(target, f"{tags[schema.LABEL]} seed {params[schema.SEED]}"):
        return Record.model_validate(
            {
                "key": tags[schema.REPLICATE_KEY],
                "cell_key": cell.key,
                "seed": int(params[schema.SEED]),
                "label": tags[schema.LABEL],
                "state": state,
                "reason": "" if state == "finished" else without_places(runs.reason_of(run, state)),
                "start": run.start_time,
                "end": run.end_time,
                "data": DataRecord.of(cell) if state == "finished" else None,
                "tags": {name: tags[name] for name in sorted(filter(_MADE_BY.fullmatch, tags))},
                "params": {name: params[name] for name in sorted(params) if name in shown},
                "metrics": {name: rows.with_infinity(metrics[name]) for name in sorted(metrics) if not has_curve(name)},
                "curves": {name: tuple(sorted(curves[name].items())) for name in sorted(curves)},
            }
        )


def without_places(reason: str) -> str:
    """Return a reason as it is kept, without addresses, and with no more of a path than its last part."""
    return _FOLDERS.sub("…/", _ADDRESS.sub("…", one_line(reason, schema.LONGEST_TEXT))) or "no reason was given"


@contextlib.contextmanager
def _written(target: Path, track: Track, *, force: bool) -> Iterator["_Writer"]:
    """Give a writer of ``target``, which is there only once it is whole and has been read back."""
    with as_store_error(target):
        check_replaceable(target)
    if os.path.lexists(target) and not force:
        raise StoreError(f"{target}: is there already; give another name, or --force to replace it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with as_store_error(target):
            file = zipfile.ZipFile(part, "x")
        with file:
            archive = _Writer(file, target)
            yield archive
            archive.end()
        with portable.opened(part, track, shown=target):
            pass
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _check_files(record: Record, folder: Path, names: Iterable[str], sums: str) -> None:
    for name in dict.fromkeys(names):
        try:
            checksums.check(folder, name, sums)
        except (ValueError, OSError) as error:
            raise StoreError(
                f"{record.label} seed {record.seed} cannot be exported: {error}; delete its run, and `dn sweep` on the "
                "sweep's file trains it again"
            ) from error


class _Writer:
    """Adds entries. The same entries make the same bytes: neither time nor machine enters."""

    def __init__(self, file: zipfile.ZipFile, target: Path) -> None:
        """``target``: what errors call the file."""
        self._zip, self._target = file, target
        self._sums: dict[str, str] = {}

    def add_sweep(self, manifest: Manifest, cells: Sequence[CellRecord]) -> None:
        """Add the manifest and the cells."""
        self._add_text(portable.SWEEP, manifest.model_dump_json(indent=1))
        self._add_text(portable.CELLS, portable.CELL_RECORDS.dump_json(tuple(cells), indent=1).decode())

    def add_replicate(self, record: Record, cell: Cell, folder: Path, sums: str) -> None:
        """Add a replicate with its files from ``folder``, of which the store says that they are ``sums``.

        StoreError where one of them is not there, or not what was written.
        """
        own = f"{portable.REPLICATES}/{record.key}"
        self._add_text(f"{own}/{portable.RECORD}", record.model_dump_json())
        names = checks.file_names(record, cell)
        _check_files(record, folder, [*names, *checksums.read(sums)], sums)
        for name in names:
            path = folder / name
            with path.open("rb") as source:
                self._add(f"{own}/{name}", source, path.stat().st_size)

    def end(self) -> None:
        """Add the checksums, last."""
        contents = Contents(format=portable.FORMAT, result_version=RESULT_VERSION, sha256=dict(self._sums))
        self._add_text(portable.CONTENTS, contents.model_dump_json(indent=1))

    def _add_text(self, name: str, text: str) -> None:
        data = text.encode()
        self._add(name, io.BytesIO(data), len(data))

    def _add(self, name: str, source: BinaryIO, size: int) -> None:
        entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
        entry.compress_type, entry.file_size = portable.compression(name), size
        digest = hashlib.sha256()
        with as_store_error(self._target), self._zip.open(entry, "w") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
        self._sums[name] = digest.hexdigest()
