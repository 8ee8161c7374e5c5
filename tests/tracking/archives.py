"""A sweep that holds all there can be, made portable; and files of it that somebody has changed."""

import hashlib
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tracking.fabricated import Recorder, make_cell, make_epoch
from tracking import schema
from tracking.manifest import Manifest
from tracking.portable import archive
from tracking.portable.exporting import export
from tracking.portable.importing import import_file
from tracking.results import means
from tracking.store.location import StoreLocation

CELL, OTHER = make_cell(l1=1.0), make_cell(l1=2.0)

Entries = dict[str, bytes]
Edit = Callable[[Entries], None]
"""Changes the entries of a zip."""


def fill(recorder: Recorder) -> Manifest:
    """A sweep with all that can be: finished, failed, stopped and incomplete replicates, NaN and infinity."""
    recorder.finish(CELL, 0, epochs=2, test__nmse__after_pruning=math.nan)
    recorder.finish(CELL, 1, epochs=3, test__loss__after_pruning=-math.inf)
    recorder.finish(OTHER, 0, label="ℓ1")
    recorder.start(OTHER, 1, label="ℓ1")[0].fail("why")
    stopped, incomplete = recorder.start(make_cell(), 0, 1, label="P")
    stopped.log_epoch(make_epoch(1, validation__nmse=0.5), 0)
    stopped.stop("epoch 1")
    incomplete.log_epoch(make_epoch(1, validation__nmse=0.5), 0)
    incomplete.flush()
    manifest = recorder.announce({"M": [CELL], "ℓ1": [OTHER], "P": [make_cell()]})
    labelled = [(CELL, "M"), (OTHER, "ℓ1"), (make_cell(), "P")]
    means.summarize_rest(recorder.sweep, labelled, manifest.seeds, manifest.score)
    return manifest


def with_curve(recorder: Recorder, cell: Any, thresholds: list[float]) -> None:
    outcome = recorder.finish(cell, 0)[0]
    names = ("num_nonzero", "density", "neurons_alive", "neurons_published", "validation/nmse", "test/nmse")
    curve = [{"threshold": threshold, **dict.fromkeys(names, 1.0)} for threshold in thresholds]
    recorder.announce({"M": [cell]}, seeds=(outcome.seed,))
    (row,) = recorder.read().rows
    recorder.store.log_text(row.run_id, json.dumps(curve), schema.CURVE_FILE)


def carry(recorder: Recorder, to: StoreLocation, folder: Path) -> Recorder:
    """Export a sweep, import it elsewhere, and return what holds it there."""
    path = folder / "carried.zip"
    export(recorder.location, recorder.name, path, force=True)
    import_file(to, path)
    return Recorder(to, recorder.name)


def content(recorder: Recorder) -> str:
    """What is read of a sweep, as text: NaN is not equal to itself."""
    snapshot = recorder.read()
    rows = [(row.replicate_key, row.seed, row.counts, sorted(row.metrics.items())) for row in snapshot.rows]
    return repr((rows, snapshot.ended))


def points(recorder: Recorder, run_id: str) -> dict[str, list[tuple[int, str]]]:
    """Every stored value of every metric, doubles included."""
    names = recorder.store.get_run(run_id).data.metrics
    found = {name: recorder.store.get_metric_history(run_id, name) for name in names}
    return {name: [(point.step, repr(point.value)) for point in history] for name, history in found.items()}


def by_key(recorder: Recorder, kind: schema.Kind, tag: str) -> dict[str, Any]:
    runs = recorder.runs(kind)
    found = {run.data.tags[tag]: run for run in runs}
    assert len(found) == len(runs)
    return found


def read_entries(path: Path) -> Entries:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def repack(source: Path, target: Path, edit: Edit, *, sums: bool = True) -> Path:
    """Write the entries of ``source`` again, edited; ``sums``: with the checksums of what is then there."""
    entries = read_entries(source)
    edit(entries)
    if sums:
        others = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items() if name != archive.CONTENTS}
        contents = json.loads(entries.get(archive.CONTENTS, b"{}"))
        entries[archive.CONTENTS] = json.dumps({**contents, "sha256": others}).encode()
    with zipfile.ZipFile(target, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data, archive.compression(name))
    return target


def change(end: str, /, **values: Any) -> Edit:
    """Set keys of a JSON entry (``end``: of its name); of a replicate, of the first that has finished."""

    def edit(entries: Entries) -> None:
        found = [key for key in entries if key.endswith(end)]
        found = [key for key in found if b'"failed"' not in entries[key] and b'"stopped"' not in entries[key]]
        entries[found[0]] = json.dumps({**json.loads(entries[found[0]]), **values}).encode()

    return edit


def rename(name: str) -> Edit:
    return change(archive.SWEEP, name=name)


def first(entries: Entries, end: str) -> str:
    return next(name for name in entries if name.endswith(end))


def put(end: str, data: bytes) -> Edit:
    def edit(entries: Entries) -> None:
        entries[first(entries, end)] = data

    return edit


def add(name: str, data: bytes = b"{}") -> Edit:
    def edit(entries: Entries) -> None:
        entries[name.replace("KEY", first(entries, "weights.safetensors").split("/")[1])] = data

    return edit


def remove(end: str) -> Edit:
    def edit(entries: Entries) -> None:
        del entries[first(entries, end)]

    return edit


def remove_record(entries: Entries) -> None:
    del entries[first(entries, "weights.safetensors").replace("weights.safetensors", "replicate.json")]


def in_record(**values: Any) -> Edit:
    return change(archive.RECORD, **values)


def with_nested(key: str, /, **values: Any) -> Edit:
    """Set values of a dictionary of the first finished replicate."""

    def edit(entries: Entries) -> None:
        name = first(entries, "weights.safetensors").replace("weights.safetensors", archive.RECORD)
        record = json.loads(entries[name])
        entries[name] = json.dumps({**record, key: {**record[key], **values}}).encode()

    return edit


def with_file(end: str, write: Callable[[Path], None], folder: Path) -> Edit:
    write(folder / "made")
    return put(end, (folder / "made").read_bytes())
